//! Sets of ports, written as the kernel does: `8080,30000-30999`.

use std::{array, fmt, ops::RangeInclusive, str::FromStr};

use anyhow::{Context as _, ensure};
use proxy_common::{config::PortRange, reserved::PortBits};

const WORD: u16 = 64;

#[derive(Clone, PartialEq, Eq)]
pub struct PortSet(PortBits);

impl PortSet {
    pub const EMPTY: Self = Self([0; 1024]);

    pub const fn from_bits(bits: PortBits) -> Self {
        Self(bits)
    }

    pub const fn bits(&self) -> PortBits {
        self.0
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn contains(&self, port: u16) -> bool {
        self.0[usize::from(port / WORD)] & (1 << (port % WORD)) != 0
    }

    pub fn and(&self, other: &Self) -> Self {
        Self(array::from_fn(|word| self.0[word] | other.0[word]))
    }

    pub fn without(&self, other: &Self) -> Self {
        Self(array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    pub fn within(&self, other: &Self) -> Self {
        Self(array::from_fn(|word| self.0[word] & other.0[word]))
    }

    fn ranges(&self) -> Vec<(u16, u16)> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for port in (0..=u16::MAX).filter(|port| self.contains(*port)) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == port => *last = port,
                _ => ranges.push((port, port)),
            }
        }
        ranges
    }
}

impl From<RangeInclusive<u16>> for PortSet {
    fn from(range: RangeInclusive<u16>) -> Self {
        let mut bits = [0; 1024];
        for port in range {
            bits[usize::from(port / WORD)] |= 1 << (port % WORD);
        }
        Self(bits)
    }
}

impl From<PortRange> for PortSet {
    fn from(PortRange { first, len }: PortRange) -> Self {
        match len.checked_sub(1) {
            Some(more) => Self::from(first..=first.saturating_add(more)),
            None => Self::EMPTY,
        }
    }
}

impl FromStr for PortSet {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parts = text.trim().split(',').filter(|part| !part.is_empty());
        parts.map(range).try_fold(Self::EMPTY, |set, part| Ok(set.and(&part?.into())))
    }
}

fn range(text: &str) -> anyhow::Result<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |port: &str| port.parse().with_context(|| format!("{text:?} is no range of ports"));
    let (first, last) = (port(first)?, port(last)?);
    ensure!(first <= last, "{text:?} is no range of ports: it ends before it begins");
    Ok(first..=last)
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (first, last)) in self.ranges().into_iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::btree_set, prelude::*};
    use std::collections::BTreeSet;

    fn of(ports: &BTreeSet<u16>) -> PortSet {
        ports.iter().fold(PortSet::EMPTY, |set, port| set.and(&(*port..=*port).into()))
    }

    fn ports(set: &PortSet) -> BTreeSet<u16> {
        (0..=u16::MAX).filter(|port| set.contains(*port)).collect()
    }

    #[test]
    fn the_kernels_writing_is_read_and_written() {
        for (text, len) in [("", 0), ("8080", 1), ("1,3-5,65535", 5), ("0-65535", 65_536)] {
            let set: PortSet = format!("{text}\n").parse().unwrap();
            assert_eq!((set.len(), set.to_string().as_str()), (len, text));
        }
        for text in ["5-3", "x", "1-", "70000", "1;2"] {
            assert!(text.parse::<PortSet>().unwrap_err().to_string().contains(text), "{text}");
        }
    }

    #[test]
    fn a_range_is_a_set() {
        let range = PortRange { first: 65_000, len: 536 };
        assert_eq!(PortSet::from(range).to_string(), "65000-65535");
        assert!(PortSet::from(PortRange::default()).is_empty());
    }

    proptest! {
        #[test]
        fn sets_are_as_the_standard_librarys(
            // Neighbours are likely, and both ends.
            one in btree_set(prop_oneof![0..200u16, 65_400..=65_535u16], 0..100),
            other in btree_set(prop_oneof![0..200u16, 65_400..=65_535u16], 0..100),
        ) {
            let (a, b) = (of(&one), of(&other));
            prop_assert_eq!(ports(&a.and(&b)), &one | &other);
            prop_assert_eq!(ports(&a.without(&b)), &one - &other);
            prop_assert_eq!(ports(&a.within(&b)), &one & &other);
            prop_assert_eq!(a.len(), one.len());
            prop_assert_eq!(a.to_string().parse::<PortSet>().unwrap(), a);
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<PortSet>();
        }
    }
}
