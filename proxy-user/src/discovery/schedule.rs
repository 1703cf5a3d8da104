//! When to ask again: pure, so that it can be read and tested without a clock.

use std::time::Duration;

use crate::config::TtlRange;

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(10);
/// Share of the delay by which agents that started together drift apart.
const JITTER: f64 = 0.05;

/// From 0 to 1, picked by the caller.
#[derive(Clone, Copy, Debug)]
pub struct Luck(f64);

#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    ttl: TtlRange,
    failures_in_a_row: u32,
}

impl Luck {
    pub fn new(share: f64) -> Self {
        Self(share.clamp(0.0, 1.0))
    }
}

impl Schedule {
    pub fn new(ttl: TtlRange) -> Self {
        Self { ttl, failures_in_a_row: 0 }
    }

    pub fn after_answer(&mut self, ttl: Duration, luck: Luck) -> Duration {
        self.failures_in_a_row = 0;
        spread(self.ttl.clamp(ttl), luck)
    }

    pub fn after_failure(&mut self, luck: Luck) -> Duration {
        let delay = backoff(self.failures_in_a_row);
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        spread(delay, luck)
    }
}

fn backoff(failures_before: u32) -> Duration {
    FIRST_RETRY.saturating_mul(2u32.saturating_pow(failures_before)).min(LAST_RETRY)
}

/// Only ever later: earlier than the TTL's end, a cache would answer with what is left of it.
fn spread(delay: Duration, luck: Luck) -> Duration {
    delay.mul_f64(1.0 + JITTER * luck.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Period;
    use proptest::prelude::*;

    const NONE: Luck = Luck(0.0);

    fn schedule() -> Schedule {
        Schedule::new(TtlRange::new(Period::seconds(2), Period::seconds(60)).unwrap())
    }

    #[test]
    fn an_answer_is_trusted_for_its_ttl_within_the_range() {
        for (ttl, delay) in [(0, 2), (2, 2), (30, 30), (60, 60), (3_600, 60)] {
            let delay = Duration::from_secs(delay);
            assert_eq!(schedule().after_answer(Duration::from_secs(ttl), NONE), delay);
        }
    }

    #[test]
    fn failures_are_retried_ever_later_up_to_a_cap_and_an_answer_forgets_them() {
        let mut schedule = schedule();
        let delays: Vec<u128> = (0..7).map(|_| schedule.after_failure(NONE).as_millis()).collect();
        assert_eq!(delays, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        schedule.after_answer(Duration::from_secs(5), NONE);
        assert_eq!(schedule.after_failure(NONE), FIRST_RETRY);
    }

    proptest! {
        #[test]
        fn no_delay_leaves_its_bounds(
            ttl in 0..10_000u64,
            failures in 0..200usize,
            luck in 0.0..=1.0,
        ) {
            let mut schedule = schedule();
            for _ in 0..failures {
                let delay = schedule.after_failure(Luck::new(luck));
                prop_assert!((FIRST_RETRY..=LAST_RETRY.mul_f64(1.0 + JITTER)).contains(&delay));
            }
            let delay = schedule.after_answer(Duration::from_secs(ttl), Luck::new(luck));
            let longest = Duration::from_secs(60).mul_f64(1.0 + JITTER);
            prop_assert!((Duration::from_secs(2)..=longest).contains(&delay));
        }
    }
}
