//! What a load came to: the same few numbers for each kind.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

const LONGEST: Duration = Duration::from_secs(60);
const DIGITS: u8 = 3;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Over which `done` was counted.
    pub seconds: f64,
    /// Bytes, round trips or connections, by the kind of load.
    pub done: u64,
    /// The same from start to end, warm-up and stragglers too: what the load as a whole has cost
    /// was spent on these.
    pub total: u64,
    pub failures: Failures,
    pub latency: Option<Latency>,
}

/// How often which.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failures(pub BTreeMap<String, u64>);

/// Microseconds below which so many in a hundred were.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

/// What one thread has done.
#[derive(Default)]
pub(crate) struct Part {
    pub times: Times,
    pub failures: Failures,
    pub done: u64,
    pub total: u64,
}

/// How long each of many things took.
pub(crate) struct Times(Histogram<u64>);

impl Outcome {
    pub(crate) fn new(took: Duration, done: u64, failures: Failures) -> Self {
        Self { seconds: took.as_secs_f64(), done, total: done, failures, latency: None }
    }

    pub(crate) fn of_parts(took: Duration, parts: &[Part]) -> Self {
        let mut all = Part::default();
        for part in parts {
            all.times.absorb(&part.times);
            all.failures.absorb(&part.failures);
            all.done += part.done;
            all.total += part.total;
        }
        let latency = all.times.latency();
        Self { latency, total: all.total, ..Self::new(took, all.done, all.failures) }
    }

    /// Of what was done, a second.
    pub(crate) fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }
}

impl Failures {
    pub(crate) fn add(&mut self, what: String) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(crate) fn absorb(&mut self, others: &Self) {
        for (what, count) in &others.0 {
            *self.0.entry(what.clone()).or_default() += count;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl Times {
    pub(crate) fn record(&mut self, took: Duration) {
        self.0.saturating_record(nanos(took));
    }

    fn absorb(&mut self, others: &Self) {
        self.0.add(&others.0).expect("of the same bounds");
    }

    fn latency(&self) -> Option<Latency> {
        let micros = |part| self.0.value_at_quantile(part) as f64 / 1e3;
        let latency = || Latency { p50: micros(0.5), p99: micros(0.99), p999: micros(0.999) };
        (!self.0.is_empty()).then(latency)
    }
}

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new_with_max(nanos(LONGEST), DIGITS).expect("constant bounds"))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_the_same_after_its_way_through_json() {
        let mut times = Times::default();
        (1..=1000).for_each(|micros| times.record(Duration::from_micros(micros)));
        let mut failures = Failures::default();
        failures.add("connect: timed out".into());
        let part = Part { times, failures, done: 1000, total: 1200 };
        let outcome = Outcome::of_parts(Duration::from_secs(2), &[part]);
        let text = serde_json::to_string(&outcome).expect("JSON");
        let read: Outcome = serde_json::from_str(&text).expect("our own");
        assert_eq!((read.done, read.total, read.failures.total()), (1000, 1200, 1));
        assert_eq!(read.rate(), 500.0);
        let latency = read.latency.expect("there were times");
        assert!((latency.p50 - 500.0).abs() < 2.0 && (latency.p99 - 990.0).abs() < 2.0);
    }

    #[test]
    fn failures_of_one_name_are_one_line() {
        let mut failures = Failures::default();
        failures.add("a".into());
        let again = failures.clone();
        failures.absorb(&again);
        assert_eq!(failures.0.into_iter().collect::<Vec<_>>(), [("a".to_owned(), 2)]);
    }
}
