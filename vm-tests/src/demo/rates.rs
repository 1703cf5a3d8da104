//! What happened in each of the last seconds, from counts that only grow.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

use crate::counts::Counts;

const WINDOW: Duration = Duration::from_secs(1);
const KEPT: usize = 240;

#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    /// Requests of each second, the newest last.
    requests: VecDeque<u64>,
    bytes_per_second: u64,
    last: Option<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Timestamp,
    requests: u64,
    bytes: u64,
}

impl Rates {
    /// Takes a sample when a second has passed since the last one, and only then.
    pub(crate) fn observe(&mut self, now: Timestamp, counts: &Counts) {
        let sample = Sample { at: now, requests: counts.requests, bytes: counts.bytes };
        let Some(last) = self.last else {
            self.last = Some(sample);
            return;
        };
        let passed = Duration::try_from(now.duration_since(last.at)).unwrap_or_default();
        if passed < WINDOW {
            return;
        }
        self.push(per_second(sample.requests - last.requests, passed));
        self.bytes_per_second = per_second(sample.bytes - last.bytes, passed);
        self.last = Some(sample);
    }

    pub(crate) fn requests_per_second(&self) -> u64 {
        self.requests.back().copied().unwrap_or_default()
    }

    pub(crate) fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// At most that many, the newest last.
    pub(crate) fn newest(&self, number: usize) -> Vec<u64> {
        self.requests.iter().skip(self.requests.len().saturating_sub(number)).copied().collect()
    }

    fn push(&mut self, requests: u64) {
        if self.requests.len() == KEPT {
            self.requests.pop_front();
        }
        self.requests.push_back(requests);
    }
}

fn per_second(number: u64, passed: Duration) -> u64 {
    let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
    number.saturating_mul(1000) / millis.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + millis).expect("in range")
    }

    fn counts(requests: u64) -> Counts {
        Counts { requests, bytes: requests * 100, ..Counts::default() }
    }

    #[test]
    fn a_rate_is_of_the_time_that_really_passed() {
        let mut rates = Rates::default();
        rates.observe(after(0), &counts(10));
        rates.observe(after(500), &counts(20));
        assert_eq!(rates.newest(9), [0; 0], "half a second is not enough");
        rates.observe(after(2000), &counts(50));
        assert_eq!(rates.newest(9), [20]);
        assert_eq!((rates.requests_per_second(), rates.bytes_per_second()), (20, 2000));
    }

    #[test]
    fn old_seconds_are_forgotten() {
        let mut rates = Rates::default();
        for second in 0..300_u32 {
            rates.observe(after(i64::from(second) * 1000), &counts(u64::from(second)));
        }
        assert_eq!(rates.newest(1000).len(), KEPT);
        assert_eq!(rates.newest(2), [1, 1]);
    }
}
