//! A run of failed probes, and whom it is laid to: pure.
//!
//! When the appliance's own network fails, every probe fails, and to reset all connections would
//! make an outage of what may have been a hiccup. So a fault is the backend's only once a probe
//! of it fails that was begun after another backend had passed one: then our network carried
//! probes, and this one did not come through. A fault that strikes all stays open, for so long.

use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The first pass of another backend since this run began.
    passed_elsewhere: Option<Instant>,
    /// When it had gone on for long enough to count.
    fell: Option<Instant>,
    is_the_backends: bool,
}

impl Fault {
    pub const fn begin() -> Self {
        Self { passed_elsewhere: None, fell: None, is_the_backends: false }
    }

    pub fn another_passed(&mut self, now: Instant) {
        self.passed_elsewhere.get_or_insert(now);
    }

    /// A probe that was begun at `begun` has failed, and the backend is down.
    pub fn fell(&mut self, begun: Instant, now: Instant) {
        self.fell.get_or_insert(now);
        self.is_the_backends |= self.passed_elsewhere.is_some_and(|passed| passed <= begun);
    }

    pub const fn is_the_backends(&self) -> bool {
        self.is_the_backends
    }

    /// When patience ends, while it is open whose fault it is.
    pub fn deadline(&self, patience: Duration) -> Option<Instant> {
        self.fell.filter(|_| !self.is_the_backends).map(|fell| fell + patience)
    }

    pub fn wait(&mut self, patience: Duration, now: Instant) {
        self.is_the_backends |= self.deadline(patience).is_some_and(|deadline| deadline <= now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(18);

    fn at(second: u64) -> Instant {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        *START + Duration::from_secs(second)
    }

    #[test]
    fn it_is_the_backends_once_a_probe_fails_that_began_after_another_passed() {
        let mut fault = Fault::begin();
        fault.fell(at(1), at(2));
        assert!(!fault.is_the_backends());
        fault.another_passed(at(4));
        assert!(!fault.is_the_backends(), "it may have come back as well");
        fault.fell(at(3), at(5));
        assert!(!fault.is_the_backends(), "that probe was on its way already");
        fault.fell(at(6), at(7));
        assert!(fault.is_the_backends());
    }

    #[test]
    fn the_first_pass_of_another_counts_however_many_follow() {
        let mut fault = Fault::begin();
        fault.another_passed(at(2));
        fault.another_passed(at(4));
        fault.fell(at(3), at(5));
        assert!(fault.is_the_backends());
    }

    #[test]
    fn patience_with_a_fault_of_all_ends() {
        let mut fault = Fault::begin();
        assert_eq!(fault.deadline(PATIENCE), None, "it has not fallen");
        fault.fell(at(1), at(2));
        fault.fell(at(4), at(5));
        assert_eq!(fault.deadline(PATIENCE), Some(at(20)));
        fault.wait(PATIENCE, at(19));
        assert!(!fault.is_the_backends());
        fault.wait(PATIENCE, at(20));
        assert!(fault.is_the_backends());
        assert_eq!(fault.deadline(PATIENCE), None);
    }
}
