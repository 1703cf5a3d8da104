//! The largest segments that clients are told of: pure.

use std::time::Duration;

use proxy_common::stamp::Stamp;

/// A SYN-ACK that was repeated may have been sent first so long before its connection is accepted:
/// Linux does so five times, after a second at first (tcp_synack_retries, tcp(7)).
const HANDSHAKE: Duration = Duration::from_secs(64);
/// From the end of a handshake until its connection is accepted. One that waits longer, and began
/// before a change, may send segments that its backend does not take: as on the packet path, path
/// MTU discovery tells it so.
const QUEUED: Duration = Duration::from_millis(10);

/// What the listener tells clients of, which is lowered when a backend is found to take less.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// In bytes; at most what the interface takes.
    segment: u16,
    /// Before the last change, and when that was.
    earlier: u16,
    changed: Option<Stamp>,
}

impl Default for Told {
    fn default() -> Self {
        Self { segment: u16::MAX, earlier: u16::MAX, changed: None }
    }
}

impl Told {
    /// `told`: to a client that was accepted then, as its socket says, which is what the listener
    /// told clients of when the handshake was over. It may have begun before a change.
    pub fn to(&self, accepted: Stamp, handshake: Option<Duration>, told: u16) -> u16 {
        let took = handshake.map_or(HANDSHAKE, |took| took + QUEUED);
        match self.changed {
            Some(changed) if Duration::from(accepted.since(changed)) < took => {
                told.max(self.earlier)
            }
            _ => told,
        }
    }

    /// A backend takes no larger segments than that, and a client was told of others. `true` if it is
    /// news.
    pub fn lower(&mut self, takes: u16, told: u16, now: Stamp) -> bool {
        if takes == 0 || takes >= told || takes >= self.segment {
            return false;
        }
        *self = Self { segment: takes, earlier: self.to(now, None, told), changed: Some(now) };
        true
    }

    /// Clients are told of less than the interface takes.
    pub const fn is_lowered(&self) -> bool {
        self.changed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Stamp {
        Stamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn it_is_lowered_to_what_the_narrowest_takes() {
        let mut told = Told::default();
        assert!(!told.is_lowered() && !told.lower(1_460, 1_460, at(1)));
        assert!(!told.lower(0, 1_460, at(1)), "it has not said");
        assert!(told.lower(1_400, 1_460, at(1)) && told.is_lowered());
        assert!(!told.lower(1_400, 1_460, at(2)), "that is known");
        assert!(told.lower(1_300, 1_400, at(2)));
    }

    #[test]
    fn who_may_have_been_told_before_a_change_counts_as_told_so() {
        let mut told = Told::default();
        assert_eq!(told.to(at(1_000), None, 1_460), 1_460);
        told.lower(1_400, 1_460, at(1_000));
        for accepted in [999, 1_001, 1_063] {
            assert_eq!(told.to(at(accepted), None, 1_400), 1_460, "{accepted}");
        }
        assert_eq!(told.to(at(1_065), None, 1_400), 1_400);
        let took = |millis| Some(Duration::from_millis(millis));
        assert_eq!(told.to(at(1_001), took(500), 1_400), 1_400, "it began after the change");
        assert_eq!(told.to(at(1_001), took(995), 1_400), 1_460, "or not");
        told.lower(1_300, 1_400, at(1_030));
        assert_eq!(told.to(at(1_080), None, 1_300), 1_460, "the first change is not over either");
    }
}
