//! Where a connection stands on its way into the flow table, and when it is looked at again.

use std::{mem, time::Duration};

/// After arming: the probes' answers come within a round trip.
pub const FIRST_LOOK: Duration = Duration::from_millis(1);
/// The last look of an attempt: about so long after the first.
pub const LOOKS: u32 = 7;
/// From this look on windows are shut, if bytes have moved since the connection was armed.
pub const SHUT_AT: u32 = 2;
/// User space mostly holds nothing within so long. If not, more comes than goes, and what comes is
/// stopped until the rest has gone: that way loses nothing by it, and has so long at most.
pub const EMPTY_SOON: Duration = Duration::from_millis(5);
pub const EMPTY_AT_LAST: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Until it has moved enough, or is old enough.
    Young,
    /// Until a grace period is over: what passed the program before that has reached its socket.
    Recorded,
    /// Until user space holds nothing.
    Ready {
        /// Nothing more comes of what it holds.
        is_shut: bool,
    },
    Armed {
        looks: u32,
        moved: u64,
        /// A window was shut, here or before.
        is_shut: bool,
    },
    /// Until the next attempt.
    Resting,
    /// Relayed to its end.
    GivenUp,
}

/// Pauses between attempts: each twice as long as the last.
pub struct Rests(Duration);

impl Rests {
    const LONGEST: Duration = Duration::from_secs(60);

    pub const fn begin() -> Self {
        Self(Duration::from_secs(1))
    }

    pub fn next(&mut self) -> Duration {
        let longer = (self.0 * 2).min(Self::LONGEST);
        mem::replace(&mut self.0, longer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_become_longer_up_to_a_minute() {
        let mut rests = Rests::begin();
        let seconds: Vec<_> = (0..8).map(|_| rests.next().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
