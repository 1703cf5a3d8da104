//! The Internet checksum (RFC 1071), brought up to date by what changed (RFC 1624, equation 3).

/// The sum of what new words add to a checksummed area and of what old ones take from it.
///
/// All words are as loaded from memory: the ones' complement sum does not mind the byte order, as
/// long as it is the same for all (RFC 1071, section 2 B).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change(u64);

impl Change {
    pub const NONE: Self = Self(0);

    #[inline(always)]
    #[must_use]
    pub const fn word16(self, old: u16, new: u16) -> Self {
        Self(self.0 + (!old) as u64 + new as u64)
    }

    /// Two bytes that lie `offset` bytes from the beginning of the area: at an odd one each byte
    /// counts in the other half of a word, as if they were swapped (RFC 1071, section 2 B).
    #[inline(always)]
    #[must_use]
    pub const fn bytes(self, offset: u32, old: [u8; 2], new: [u8; 2]) -> Self {
        let (old, new) = (u16::from_ne_bytes(old), u16::from_ne_bytes(new));
        if offset.is_multiple_of(2) {
            self.word16(old, new)
        } else {
            self.word16(old.swap_bytes(), new.swap_bytes())
        }
    }

    #[inline(always)]
    #[must_use]
    pub const fn word32(self, old: u32, new: u32) -> Self {
        Self(self.0 + (!old) as u64 + new as u64)
    }

    /// The same for four bytes: where each counts in the other half, the sum is the same as of a word
    /// turned by a byte.
    #[inline(always)]
    #[must_use]
    pub const fn word32_at(self, offset: u32, old: u32, new: u32) -> Self {
        if offset.is_multiple_of(2) {
            self.word32(old, new)
        } else {
            self.word32(old.rotate_left(8), new.rotate_left(8))
        }
    }

    #[inline(always)]
    #[must_use]
    pub const fn words(self, old: [u32; 4], new: [u32; 4]) -> Self {
        self.word32(old[0], new[0])
            .word32(old[1], new[1])
            .word32(old[2], new[2])
            .word32(old[3], new[3])
    }

    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// As the kernel's `__wsum`, which `bpf_l4_csum_replace` takes.
    #[inline(always)]
    pub const fn wsum(self) -> u32 {
        let folded = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        ((folded & 0xffff_ffff) + (folded >> 32)) as u32
    }

    /// The checksum field after the change.
    #[inline(always)]
    pub const fn apply(self, check: u16) -> u16 {
        let mut sum = self.wsum() as u64 + (!check) as u64;
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        !(sum as u16)
    }
}

/// Does an area with its checksum in place sum up to what it must (RFC 1071, section 1)? `sum`: of
/// its words of 16 or 32 bits, unfolded.
#[inline(always)]
pub const fn verifies(sum: u64) -> bool {
    let folded = (sum & 0xffff_ffff) + (sum >> 32);
    let folded = (folded & 0xffff) + (folded >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    (folded & 0xffff) + (folded >> 16) == 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::internet_checksum;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_1624_comes_out() {
        // Section 4: a header sum of 0xdd2f, a word that goes from 0x5555 to 0x3285.
        assert_eq!(Change::NONE.word16(0x5555, 0x3285).apply(0xdd2f), 0x0000);
    }

    proptest! {
        /// The field lies at the front of an area that holds some other word too: an area of
        /// nothing but zeros has two representations of its sum, and no header is one.
        #[test]
        fn changing_words_is_the_same_as_summing_again(
            words in prop::collection::vec(any::<u16>(), 3..40),
            at in 0..1000usize,
            new: u16,
            new32: u32,
        ) {
            let mut area: Vec<u16> = vec![0x0045];
            area.extend(words);
            let check = internet_checksum(&bytes(&area));
            let at = 1 + at % (area.len() - 2);
            let change = Change::NONE.word16(area[at], new);
            area[at] = new;
            prop_assert_eq!(change.apply(check), internet_checksum(&bytes(&area)));

            let check = internet_checksum(&bytes(&area));
            let old32 = u32::from(area[at]) | u32::from(area[at + 1]) << 16;
            (area[at], area[at + 1]) = (new32 as u16, (new32 >> 16) as u16);
            let change = Change::NONE.word32(old32, new32);
            prop_assert_eq!(change.apply(check), internet_checksum(&bytes(&area)));
        }
    }

    extern crate std;
    use std::{vec, vec::Vec};

    fn bytes(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }
}
