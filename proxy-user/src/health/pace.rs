//! When a backend is probed: pure.

use std::time::{Duration, Instant};

/// Share of the interval by which the probes of several backends drift apart.
const SPREAD: f64 = 0.1;
/// However often a backend is suspected, so many probes in one interval are enough. A burst of
/// suspicions thus brings one probe forward and is no verdict by itself: it takes as many failed
/// probes as ever, over at least this part of their time, to be down.
const MOST_IN_AN_INTERVAL: u32 = 4;
/// So many probes after a first failure come twice as often: whether it was chance should be known
/// soon, and a backend that stays down is not asked more than others.
const DOUBTFUL: u32 = 4;

#[derive(Clone, Copy, Debug)]
pub struct Pace {
    interval: Duration,
}

impl Pace {
    pub fn new(interval: Duration) -> Self {
        Self { interval }
    }

    /// The probe after the one that began then; `failures`: in a row, with that one; `luck`: from 0
    /// to 1. One that took longer is followed at once: `fall` probes take no more than so many
    /// intervals.
    pub fn next(&self, began: Instant, failures: u32, luck: f64) -> Instant {
        let is_doubtful = (1..=DOUBTFUL).contains(&failures);
        let interval = if is_doubtful { self.interval / 2 } else { self.interval };
        began + interval.mul_f64(1.0 + SPREAD * (2.0 * luck - 1.0))
    }

    /// The same for a backend that is suspected.
    pub fn next_of_suspect(&self, began: Instant) -> Instant {
        began + self.interval / MOST_IN_AN_INTERVAL
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_backend_that_begins_to_fail_is_asked_more_often_for_a_while() {
        let (pace, began) = (Pace::new(Duration::from_secs(2)), Instant::now());
        let gaps = [0, 1, 4, 5, 100].map(|failures| pace.next(began, failures, 0.5) - began);
        assert_eq!(gaps.map(|gap| gap.as_millis()), [2_000, 1_000, 1_000, 2_000, 2_000]);
    }

    proptest! {
        #[test]
        fn suspicion_brings_a_probe_forward_and_no_two_close_together(
            millis in 1..100_000u64,
            luck in 0.0..=1.0,
        ) {
            let (pace, began) = (Pace::new(Duration::from_millis(millis)), Instant::now());
            let suspected = pace.next_of_suspect(began);
            prop_assert!(suspected < pace.next(began, 0, luck));
            prop_assert!(suspected < pace.next(began, 1, luck));
            prop_assert!(suspected - began >= Duration::from_millis(millis) / 4);
        }

        #[test]
        fn probes_drift_apart_and_not_far(millis in 1..100_000u64, luck in 0.0..=1.0) {
            let (interval, began) = (Duration::from_millis(millis), Instant::now());
            let gap = Pace::new(interval).next(began, 0, luck) - began;
            prop_assert!(gap >= interval.mul_f64(0.899) && gap <= interval.mul_f64(1.101));
        }
    }
}
