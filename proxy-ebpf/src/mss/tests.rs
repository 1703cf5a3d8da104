extern crate std;

use std::{vec, vec::Vec};

use proptest::prelude::*;
use proxy_common::counter::Counter;

use crate::{
    fake::{
        CLIENT, CLIENT6, FakeEnvironment, FakePacket, LISTEN, PROXY, PROXY6, Tcp, checksums_verify,
        tcp_offset,
    },
    parse::Flags,
};

const MOST: u16 = 1_000;
const SYN: u8 = Flags::SYN;

fn syn(is_v6: bool, options: &[u8]) -> Tcp {
    let (client, proxy) = if is_v6 { (CLIENT6, PROXY6) } else { (CLIENT, PROXY) };
    let options = options.to_vec();
    Tcp { options, ..Tcp::new((client, 51_000), (proxy, LISTEN), SYN) }
}

/// How often it was lowered: once, or not at all.
fn clamped(frame: &mut FakePacket) -> u64 {
    let environment = FakeEnvironment::with_enis(0);
    super::clamp(frame, MOST, &environment).expect("a frame can be written");
    environment.counted(Counter::MssClamped)
}

/// Where in the options the offer of 1,460 bytes (0x05b4) became one of 1,000.
fn lowered_at(options: &[u8]) -> Option<usize> {
    let mut places = [false, true].map(|is_v6| {
        let before = syn(is_v6, options).frame();
        let mut after = before.clone();
        let count = clamped(&mut after);
        assert!(checksums_verify(&after), "{options:?}");
        let (before, after) = (before.bytes(), after.bytes());
        let begin = tcp_offset(&before) + 20;
        let place = (begin..before.len()).find(|at| before[*at] != after[*at]);
        assert_eq!(count, u64::from(place.is_some()), "{options:?}");
        if let Some(at) = place {
            assert_eq!(after[at..at + 2], MOST.to_be_bytes(), "{options:?}");
        }
        place.map(|at| at - begin)
    });
    assert_eq!(places[0], places[1], "the family makes no difference: {options:?}");
    places[0].take()
}

#[test]
fn a_larger_offer_is_lowered_wherever_it_stands() {
    let nops = |count: usize| [vec![1; count], vec![2, 4, 5, 0xb4]].concat();
    for (row, options, at) in [
        ("alone", nops(0), 2),
        ("at an odd place", nops(1), 3),
        ("behind two that do nothing", nops(2), 4),
        ("at the very end", nops(36), 38),
        ("behind the window's scale", vec![3, 3, 7, 2, 4, 5, 0xb4], 5),
        (
            "as Linux sends it",
            vec![2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7],
            2,
        ),
        ("before one that is cut off", vec![2, 4, 5, 0xb4, 8, 10, 0, 0], 2),
        ("behind one of a wrong length", vec![2, 3, 9, 1, 2, 4, 5, 0xb4], 6),
        ("the first of two", vec![2, 4, 5, 0xb4, 2, 4, 5, 0xb4], 2),
    ] {
        assert_eq!(lowered_at(&options), Some(at), "{row}");
    }
}

#[test]
fn what_is_no_larger_offer_stays_as_it_is() {
    for (row, options) in [
        ("no options", vec![]),
        ("the bound itself", vec![2, 4, 3, 0xe8]),
        ("one less", vec![2, 4, 3, 0xe7]),
        ("none among others", vec![4, 2, 1, 1, 3, 3, 7, 0]),
        ("behind the end of the list", vec![0, 0, 0, 0, 2, 4, 5, 0xb4]),
        ("behind an option of length 0", vec![9, 0, 1, 1, 2, 4, 5, 0xb4]),
        ("behind an option of length 1", vec![9, 1, 1, 1, 2, 4, 5, 0xb4]),
        ("behind an option that ends beyond the header", vec![9, 99, 1, 1, 2, 4, 5, 0xb4]),
        ("cut off by the header's end", vec![1, 2, 4, 5]),
        ("too short", vec![2, 3, 0xff, 0]),
        ("too long", vec![2, 5, 0xff, 0xff, 0xff, 0]),
    ] {
        assert_eq!(lowered_at(&options), None, "{row}");
    }
}

#[test]
fn an_answer_is_a_syn_too_and_other_segments_are_none() {
    let offer = |flags| Tcp { flags, ..syn(false, &[2, 4, 5, 0xb4]) };
    assert_eq!(clamped(&mut offer(SYN | Flags::ACK).frame()), 1);
    for flags in [Flags::ACK, Flags::FIN | Flags::ACK, Flags::RST] {
        assert_eq!(clamped(&mut offer(flags).frame()), 0, "{flags:#x}");
    }
}

/// The payload looks like options, and a header that reaches into it, or beyond it, would find one.
#[test]
fn a_header_that_lies_about_its_length_is_not_believed() {
    for is_v6 in [false, true] {
        let honest = Tcp { payload: vec![2, 4, 5, 0xb4], ..syn(is_v6, &[]) }.frame().bytes();
        let data_offset = tcp_offset(&honest) + 12;
        for words in [0, 4, 5, 7, 15_u8] {
            let mut lie = honest.clone();
            lie[data_offset] = words << 4;
            let mut frame = FakePacket::from_bytes(&lie);
            assert_eq!(clamped(&mut frame), 0, "{words} words");
            assert_eq!(frame.bytes(), lie, "{words} words");
        }
    }
}

/// Bytes behind the IP packet are the link's padding.
#[test]
fn options_end_where_the_packet_does() {
    let whole = syn(false, &[1, 1, 1, 1, 2, 4, 5, 0xb4]).frame().bytes();
    let mut padded = whole.clone();
    padded[17] -= 4;
    let mut frame = FakePacket::from_bytes(&padded);
    assert_eq!(clamped(&mut frame), 0);
    assert_eq!(frame.bytes(), padded);
}

/// A list as a sender would make it, or bytes that are none.
fn options() -> impl Strategy<Value = Vec<u8>> {
    let sized = |kind: u8, body: Vec<u8>| [vec![kind, 2 + body.len() as u8], body].concat();
    let option = prop_oneof![
        Just(vec![1]),
        any::<u16>().prop_map(move |mss| sized(2, mss.to_be_bytes().to_vec())),
        (3..40u8, prop::collection::vec(any::<u8>(), 0..10))
            .prop_map(move |(kind, body)| sized(kind, body)),
        prop::collection::vec(any::<u8>(), 1..5),
    ];
    prop::collection::vec(option, 0..12).prop_map(|list| {
        let mut options = list.concat();
        options.truncate(40);
        options
    })
}

proptest! {
    #[test]
    fn only_the_offer_and_the_checksum_change_and_only_once(
        options in options(), is_v6: bool, payload in prop::collection::vec(any::<u8>(), 0..9),
    ) {
        let before = Tcp { payload, ..syn(is_v6, &options) }.frame();
        let mut after = before.clone();
        let count = clamped(&mut after);
        prop_assert!(checksums_verify(&after));
        let (old, new) = (before.bytes(), after.bytes());
        let tcp = tcp_offset(&old);
        let differs: Vec<usize> = (0..old.len())
            .filter(|at| old[*at] != new[*at] && !(tcp + 16..tcp + 18).contains(at))
            .collect();
        prop_assert_eq!(count == 0, before == after);
        if let Some(first) = differs.first() {
            // The high byte of a larger number may be the same.
            let at = [*first, first - 1].into_iter().find(|at| new[*at..at + 2] == MOST.to_be_bytes());
            let at = at.expect("it was lowered to the bound");
            prop_assert!(differs.iter().all(|other| (at..at + 2).contains(other)));
            prop_assert!(u16::from_be_bytes([old[at], old[at + 1]]) > MOST);
            prop_assert_eq!(&old[at - 2..at], &[2, 4]);
        }
        let once = after.clone();
        prop_assert_eq!(clamped(&mut after), 0);
        prop_assert_eq!(after, once);
    }
}
