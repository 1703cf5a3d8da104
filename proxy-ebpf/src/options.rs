//! A segment's options (RFC 9293, section 3.1): where they lie in the frame, and which are there.
//!
//! Each option is loaded by itself: an offset into the packet is the helper's to check. In a buffer
//! it would be the verifier's, which would then follow every sum of lengths.

use core::hint::black_box;

use crate::{
    packet::Behind,
    parse::{Frame, Tcp},
};

pub const END: u8 = 0;
pub const NOTHING: u8 = 1;
pub const MSS: u8 = 2;
pub const MSS_LEN: u8 = 4;
/// RFC 2018, section 3.
const SACK: u8 = 5;
/// RFC 7323, section 3.2.
const TIMESTAMPS: u8 = 8;
const TIMESTAMPS_LEN: u8 = 10;
/// Kind and length.
pub const SMALLEST: u8 = 2;

pub const HEADER: u32 = size_of::<Tcp>() as u32;
/// What a header of fifteen words has room for.
pub const MAX_OPTIONS: u32 = 40;
/// All places among the options are below. It changes none of them: with it the verifier knows of
/// no place that it is beyond the options, and takes what it has seen of a step for all the others.
pub const PLACES: u32 = 63;

/// Two that do nothing, and the beginning of timestamps (RFC 7323, appendix A).
const USUAL_WORD: [u8; 4] = [NOTHING, NOTHING, TIMESTAMPS, TIMESTAMPS_LEN];

const USUAL_LEN: u32 = 12;

/// Options that are looked at; no stack sends half as many, and each costs the verifier.
const MOST_STEPS: u32 = 16;

/// A segment's options: where in the frame they begin, and how many bytes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub begin: u32,
    pub len: u32,
}

impl Options {
    pub const NONE: Self = Self { begin: 0, len: 0 };

    /// `None` if the header says that it is longer than the packet, which ends at `end`.
    #[inline(always)]
    pub fn of<I>(tcp: &Tcp, end: u32) -> Option<Self> {
        let begin = Frame::<I>::LEN;
        let len = (4 * u32::from(tcp.data_offset >> 4)).wrapping_sub(HEADER);
        (len <= MAX_OPTIONS && begin + len <= end).then_some(Self { begin, len })
    }
}

/// How many bytes an option takes; 0 if nothing can follow it.
#[inline(always)]
pub const fn step(kind: u8, len: u8) -> u32 {
    match (kind, len) {
        (END, _) => 0,
        (NOTHING, _) => 1,
        (_, len) if len < SMALLEST => 0,
        (_, len) => len as u32,
    }
}

/// Where in the frame the options are that are rewritten, in one word because the stack is small: a byte
/// for each holds its place among the options and one, or nothing. Of two of a kind the last counts,
/// as it does for Linux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places(u64);

impl Places {
    pub const NONE: Self = Self(0);
    /// There are more than are looked at.
    pub const UNREAD: Self = Self(1 << 63);
    const TIMESTAMPS: u32 = 0;
    const SACK: u32 = 8;
    const SACK_BYTES: u32 = 16;

    /// Those of [`usual`].
    pub const USUAL: Self = Self::NONE.with(Self::TIMESTAMPS, 2);

    #[inline(always)]
    const fn with(self, shift: u32, at: u32) -> Self {
        Self(self.0 & !(0xff << shift) | ((at + 1) as u64) << shift)
    }

    #[inline(always)]
    const fn byte(self, shift: u32) -> u32 {
        (self.0 >> shift) as u32 & 0xff
    }

    #[inline(always)]
    const fn place(self, shift: u32, options: Options) -> Option<u32> {
        match self.byte(shift) {
            0 => None,
            place => Some(options.begin + place - 1),
        }
    }

    #[inline(always)]
    pub const fn timestamps(self, options: Options) -> Option<u32> {
        self.place(Self::TIMESTAMPS, options)
    }

    #[inline(always)]
    pub const fn sack(self, options: Options) -> Option<u32> {
        self.place(Self::SACK, options)
    }

    /// Whole blocks of eight bytes, behind kind and length.
    #[inline(always)]
    pub const fn sack_blocks(self) -> u32 {
        // Its length is stored with one added, and two bytes of it are no blocks.
        self.byte(Self::SACK_BYTES).saturating_sub(3) / 8
    }

    #[inline(always)]
    const fn and(self, kind: u8, len: u8, at: u32) -> Self {
        match (kind, len) {
            (TIMESTAMPS, TIMESTAMPS_LEN) => self.with(Self::TIMESTAMPS, at),
            (SACK, _) => self.with(Self::SACK, at).with(Self::SACK_BYTES, len as u32),
            _ => self,
        }
    }
}

/// Of a segment with the options that nearly all have ([`crate::parse::Stamped`]) the sender's
/// timestamp, as it lies in memory.
#[inline(always)]
pub fn usual<P: Behind>(packet: &P, options: Options) -> Option<u32> {
    if options.len != USUAL_LEN {
        return None;
    }
    let [a, b, c, d, tsval @ ..] = packet.load::<8>(options.begin)?;
    ([a, b, c, d] == USUAL_WORD).then_some(u32::from_ne_bytes(tsval))
}

/// What lies behind an option of no possible length is not looked at.
#[inline(always)]
pub fn find<P: Behind>(packet: &P, options: Options, found: &mut Places) {
    *found = Places::NONE;
    if options.len != 0 {
        search(packet, options.begin, options.len, found);
    }
}

/// A function of its own, whose result goes through memory: of a number that is returned the verifier
/// would remember where it came from, and walk the loop once for each way that leads there.
#[inline(never)]
fn search<P: Behind>(packet: &P, begin: u32, options: u32, found: &mut Places) {
    let mut places = Places::NONE;
    let mut at = 0;
    for option in 0..=MOST_STEPS {
        if option == MOST_STEPS {
            places = Places::UNREAD;
            break;
        }
        if at + u32::from(SMALLEST) > options {
            break;
        }
        let Some([kind, len]) = packet.load(begin + at) else { break };
        let step = step(kind, len);
        if step == 0 || at + step > options {
            break;
        }
        places = places.and(kind, len, at);
        at = black_box(at + step) & PLACES;
    }
    *found = places;
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{vec, vec::Vec};

    use super::*;
    use crate::{
        fake::{CLIENT, CLIENT6, LISTEN, PROXY, PROXY6, Tcp},
        parse::{Flags, Ipv4, Ipv6},
    };
    use proptest::prelude::*;

    fn found(options: &[u8]) -> Places {
        let of = |client, proxy, begin| {
            let segment = Tcp {
                options: options.to_vec(),
                ..Tcp::new((client, 51_000), (proxy, LISTEN), Flags::ACK)
            };
            let len = 4 * options.len().div_ceil(4) as u32;
            let mut places = Places::NONE;
            find(&segment.frame(), Options { begin, len }, &mut places);
            places
        };
        let v4 = of(CLIENT, PROXY, Frame::<Ipv4>::LEN);
        assert_eq!(v4, of(CLIENT6, PROXY6, Frame::<Ipv6>::LEN));
        v4
    }

    const AT_0: Options = Options { begin: 0, len: 40 };

    #[test]
    fn a_syn_as_linux_sends_it_is_read() {
        let syn = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
        let places = found(&syn);
        assert_eq!((places.timestamps(AT_0), places.sack(AT_0)), (Some(6), None));
    }

    #[test]
    fn sack_blocks_are_found_behind_timestamps_and_alone() {
        let stamps = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
        let sack =
            |blocks: usize| [vec![1, 1, 5, 2 + 8 * blocks as u8], vec![7; 8 * blocks]].concat();
        let both = found(&[&stamps[..], &sack(3)].concat());
        assert_eq!((both.timestamps(AT_0), both.sack(AT_0)), (Some(2), Some(14)));
        assert_eq!(both.sack_blocks(), 3);
        let alone = found(&sack(4));
        assert_eq!((alone.timestamps(AT_0), alone.sack_blocks()), (None, 4));
        assert_eq!(found(&stamps), Places::USUAL, "as the short way says");
    }

    #[test]
    fn nothing_is_found_behind_the_end_or_beyond_the_header() {
        assert_eq!(found(&[0, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0]), Places::NONE);
        assert_eq!(found(&[1, 1, 8, 10]), Places::NONE, "it is cut off");
        assert_eq!(
            found(&[9, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]),
            Places::NONE,
            "of no possible length"
        );
    }

    #[test]
    fn more_options_than_anybody_sends_are_said_to_be_unread() {
        let nops = |count: usize| [vec![1; count], vec![8, 10, 0, 0, 0, 1, 0, 0, 0, 2]].concat();
        assert_eq!(found(&nops(13)).timestamps(AT_0), Some(13));
        assert_eq!(found(&nops(30)), Places::UNREAD);
    }

    proptest! {
        #[test]
        fn whatever_is_found_lies_inside(options in prop::collection::vec(0..12u8, 0..=40)) {
            let places = found(&options);
            let len = 4 * options.len().div_ceil(4) as u32;
            let ends: Vec<_> = [
                (places.timestamps(AT_0), 10),
                (places.sack(AT_0), 2 + 8 * places.sack_blocks()),
            ]
            .into_iter()
            .filter_map(|(place, bytes)| Some(place? + bytes))
            .collect();
            prop_assert!(ends.iter().all(|end| *end <= len), "{:?} of {}", ends, len);
        }
    }
}
