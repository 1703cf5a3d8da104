//! What a load has done so far.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::sync::watch;

const LONGEST_MS: u64 = 60_000;
const KEPT_ERRORS: usize = 10;

/// A snapshot; can be taken while the load runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    pub failures: u64,
    /// Of the requests, those that had a connection of their own.
    pub connections: u64,
    /// Watches open now.
    pub watches: u64,
    /// Watches that a server closed and the client opened again.
    pub watches_reopened: u64,
    pub watch_events: u64,
    pub bytes: u64,
    pub p50: Duration,
    pub p99: Duration,
    /// Requests by the address of the ENI that answered.
    pub by_eni: BTreeMap<String, u64>,
    /// The newest last.
    pub last_errors: Vec<String>,
}

pub(crate) struct Tally {
    counts: Counts,
    /// Microseconds.
    latencies: Histogram<u64>,
    errors: VecDeque<String>,
    /// [`Counts::watches_reopened`], for who waits for it.
    reopened: watch::Sender<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let latencies = Histogram::new_with_max(LONGEST_MS * 1000, 3).expect("constant bounds");
        Self {
            counts: Counts::default(),
            latencies,
            errors: VecDeque::new(),
            reopened: watch::Sender::default(),
        }
    }
}

impl Tally {
    pub(crate) fn answered(&mut self, eni: &str, bytes: u64, took: Duration) {
        self.counts.requests += 1;
        self.counts.bytes += bytes;
        *self.counts.by_eni.entry(eni.to_owned()).or_default() += 1;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(micros);
    }

    pub(crate) fn connected(&mut self) {
        self.counts.connections += 1;
    }

    pub(crate) fn failed(&mut self, error: String) {
        self.counts.requests += 1;
        self.counts.failures += 1;
        if self.errors.len() == KEPT_ERRORS {
            self.errors.pop_front();
        }
        self.errors.push_back(error);
    }

    pub(crate) fn watch_opened(&mut self, eni: &str, took: Duration, again: bool) {
        self.answered(eni, 0, took);
        self.counts.watches += 1;
        self.counts.watches_reopened += u64::from(again);
        self.reopened.send_replace(self.counts.watches_reopened);
    }

    pub(crate) fn reopened(&self) -> watch::Receiver<u64> {
        self.reopened.subscribe()
    }

    pub(crate) fn watch_closed(&mut self) {
        self.counts.watches -= 1;
    }

    pub(crate) fn watch_event(&mut self, bytes: u64) {
        self.counts.watch_events += 1;
        self.counts.bytes += bytes;
    }

    pub(crate) fn counts(&self) -> Counts {
        let quantile = |q| Duration::from_micros(self.latencies.value_at_quantile(q));
        Counts {
            p50: quantile(0.5),
            p99: quantile(0.99),
            last_errors: self.errors.iter().cloned().collect(),
            ..self.counts.clone()
        }
    }
}

#[derive(Clone, Default)]
pub(crate) struct SharedTally(Arc<Mutex<Tally>>);

impl SharedTally {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_failures_are_both_requests() {
        let mut tally = Tally::default();
        tally.answered("10.0.21.10", 2, Duration::from_millis(3));
        tally.failed("refused".into());
        let counts = tally.counts();
        assert_eq!((counts.requests, counts.failures, counts.bytes), (2, 1, 2));
        assert_eq!(counts.by_eni["10.0.21.10"], 1);
        assert_eq!(counts.last_errors, ["refused"]);
        assert!((2_900..3_100).contains(&counts.p50.as_micros()), "{:?}", counts.p50);
    }

    #[test]
    fn the_newest_errors_are_kept() {
        let mut tally = Tally::default();
        for number in 0..15 {
            tally.failed(number.to_string());
        }
        let errors = tally.counts().last_errors;
        assert_eq!(errors.len(), KEPT_ERRORS);
        assert_eq!(errors.last().map(String::as_str), Some("14"));
    }
}
