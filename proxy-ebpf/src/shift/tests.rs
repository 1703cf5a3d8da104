extern crate std;
use std::{vec, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::{
    fake::{CLIENT, CLIENT6, FakePacket, LISTEN, PROXY, PROXY6, Tcp, checksums_verify},
    seen::see,
};

const ACK: u8 = Flags::ACK;
const BY: Shift = Shift {
    sequence: 1_000,
    acknowledgement: 0u32.wrapping_sub(2_000),
    tsval: 30,
    tsecr: 0u32.wrapping_sub(40),
    scale_from: 7,
    scale_to: 7,
    padding: 0,
};

fn segment(family: Family, flags: u8, options: Vec<u8>) -> Tcp {
    let (client, proxy) = match family {
        Family::V4 => (CLIENT, PROXY),
        Family::V6 => (CLIENT6, PROXY6),
    };
    let payload = vec![1, 2, 3];
    let numbers = Tcp::new((client, 51_000), (proxy, LISTEN), flags);
    Tcp { options, payload, acknowledgement: 9_000, ..numbers }
}

fn shifted(segment: &Tcp, family: Family, by: &Shift) -> FakePacket {
    let mut frame = segment.frame();
    let mut seen = Seen::NOTHING;
    assert!(see(&mut frame, family, &mut seen));
    shift(&mut frame, family, &seen, by).expect("a frame can be written");
    assert!(checksums_verify(&frame), "{segment:?}");
    frame
}

fn numbers(first: u32, second: u32) -> Vec<u8> {
    [first.to_be_bytes(), second.to_be_bytes()].concat()
}

/// Timestamps, and blocks of SACK, at even and odd places.
fn options(stamps: Option<[u32; 2]>, blocks: &[[u32; 2]], odd: bool) -> Vec<u8> {
    let mut options = if odd { vec![1] } else { vec![1, 1] };
    if let Some([tsval, tsecr]) = stamps {
        options.extend([vec![8, 10], numbers(tsval, tsecr)].concat());
    }
    if !blocks.is_empty() {
        options.extend([5, 2 + 8 * blocks.len() as u8]);
        blocks.iter().for_each(|[left, right]| options.extend(numbers(*left, *right)));
    }
    options
}

#[test]
fn every_number_is_moved_by_its_own_offset_and_nothing_else_is() {
    for family in [Family::V4, Family::V6] {
        for odd in [false, true] {
            let with = |stamps, blocks: &[_]| options(Some(stamps), blocks, odd);
            let blocks = [[9_500, 9_600], [9_700, 9_800]];
            let before = segment(family, ACK, with([500, 600], &blocks));
            let blocks = [[7_500, 7_600], [7_700, 7_800]];
            let expected = Tcp {
                sequence: before.sequence + 1_000,
                acknowledgement: 7_000,
                options: with([530, 560], &blocks),
                ..before.clone()
            };
            assert_eq!(shifted(&before, family, &BY), expected.frame(), "{family:?}, odd: {odd}");
        }
    }
}

#[test]
fn windows_are_told_in_the_receivers_scale() {
    for (from, to, window, expected) in [
        (7, 7, 500, 500),
        (7, 3, 500, 8_000),
        (3, 7, 8_000, 500),
        (3, 7, 15, 0),
        (7, 0, 513, 65_535),
        (0, 14, 65_535, 3),
        (14, 0, 1, 16_384),
    ] {
        let by = Shift { scale_from: from, scale_to: to, ..Shift::NONE };
        let before = Tcp { window, ..segment(Family::V4, ACK, vec![]) };
        let after = Tcp { window: expected, ..before.clone() };
        assert_eq!(shifted(&before, Family::V4, &by), after.frame(), "{from} to {to}: {window}");
    }
}

#[test]
fn a_syn_keeps_its_window_and_a_packet_without_ack_its_zeros() {
    let by = Shift { scale_to: 3, ..BY };
    for flags in [Flags::SYN, Flags::RST] {
        let before = Tcp { acknowledgement: 0, ..segment(Family::V4, flags, vec![]) };
        let window = if flags == Flags::SYN { before.window } else { 0xffff };
        let after = Tcp { sequence: before.sequence + 1_000, window, ..before.clone() };
        assert_eq!(shifted(&before, Family::V4, &by), after.frame());
    }
}

proptest! {
    #[test]
    fn what_is_moved_there_and_back_is_as_it_was(
        stamps: Option<[u32; 2]>, blocks in prop::collection::vec(any::<[u32; 2]>(), 0..=3),
        odd: bool, sequence: u32, acknowledgement: u32, by: [u32; 4], is_v6: bool,
    ) {
        let family = if is_v6 { Family::V6 } else { Family::V4 };
        let options = options(stamps, &blocks, odd);
        let before = Tcp { sequence, acknowledgement, ..segment(family, ACK, options) };
        let [sequence, acknowledgement, tsval, tsecr] = by;
        let by = Shift { sequence, acknowledgement, tsval, tsecr, ..Shift::NONE };
        let back = Shift {
            sequence: by.sequence.wrapping_neg(),
            acknowledgement: by.acknowledgement.wrapping_neg(),
            tsval: by.tsval.wrapping_neg(),
            tsecr: by.tsecr.wrapping_neg(),
            ..by
        };
        let mut frame = shifted(&before, family, &by);
        let mut seen = Seen::NOTHING;
        prop_assert!(see(&mut frame, family, &mut seen));
        shift(&mut frame, family, &seen, &back).expect("a frame can be written");
        prop_assert_eq!(frame, before.frame());
    }
}
