//! Which source ports are tried.

use std::{
    iter,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use proxy_common::{addr::Port, config::PortRange};

/// Ports that are tried for one connection: any may be another's, or wait for stragglers of one that
/// has ended.
const TRIES: usize = 16;
/// The longest leap is so small a part of all ports.
const LEAP: u16 = 8;

/// One after the other, from a random one on: none comes again while its last connection's stragglers
/// are waited for, unless all have been used within that time.
#[derive(Debug)]
pub struct Sources {
    range: PortRange,
    /// The place of the last that was given.
    last: AtomicU32,
}

impl Sources {
    pub fn new(range: PortRange) -> Self {
        Self { range, last: AtomicU32::new(fastrand::u32(..)) }
    }

    /// For one connection. Behind a port that is taken comes a leap: those beside it are taken too,
    /// most likely, for as long as the connections live that came with its own.
    pub fn tries(&self) -> impl Iterator<Item = Port> {
        let longest = u32::from(self.range.len / LEAP).max(1);
        let leaps = iter::repeat_with(move || fastrand::u32(1..=longest));
        iter::once(1).chain(leaps).take(TRIES).map_while(|places| self.ahead(places))
    }

    /// `None` if there are none.
    fn ahead(&self, places: u32) -> Option<Port> {
        let last = self.last.fetch_add(places, Relaxed);
        self.range.nth(last.wrapping_add(places))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const RANGE: PortRange = PortRange { first: 1_024, len: 31_744 };

    #[test]
    fn none_comes_again_until_all_have_been_given() {
        let sources = Sources::new(RANGE);
        let given: HashSet<_> = (0..RANGE.len).filter_map(|_| sources.tries().next()).collect();
        assert_eq!(given.len(), usize::from(RANGE.len));
    }

    #[test]
    fn a_third_of_all_that_is_taken_is_left_behind_in_a_few_leaps() {
        let sources = Sources::new(RANGE);
        let first = sources.tries().next().unwrap();
        let is_free = |port: Port| port.get().wrapping_sub(first.get()) >= RANGE.len / 3;
        assert!(sources.tries().any(is_free));
    }

    #[test]
    fn of_no_ports_none_is_given() {
        let sources = Sources::new(PortRange::default());
        assert_eq!(sources.tries().next(), None);
    }
}
