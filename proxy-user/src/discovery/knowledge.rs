//! What discovery has found out by now, for those who act on it or show it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    answer::{Answer, LookupError},
    resolver::Resolved,
    saved::Saved,
    sieve::{Reason, listed},
};

#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    pub answer: Option<Answer>,
    /// Of the answer.
    pub origin: Option<Origin>,
    pub next_at: Option<Instant>,
    pub answers: u64,
    pub failures: u64,
    /// Of the newest lookup; `None` if it went well.
    pub error: Option<LookupError>,
    /// What was wrong with the newest answer, although it serves.
    pub doubt: Option<String>,
    /// Addresses that were left out, each as often as it came.
    pub refused: BTreeMap<Reason, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub source: Source,
    /// When the resolver answered so, for the last time that is known.
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Resolver,
    /// By an earlier agent, on disk.
    Saved,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolver => "resolver",
            Self::Saved => "saved",
        }
    }
}

impl Knowledge {
    pub fn is_saved(&self) -> bool {
        self.origin.is_some_and(|origin| origin.source == Source::Saved)
    }

    pub(super) fn learn(&mut self, resolved: Resolved, now: Timestamp) {
        self.doubt = resolved.doubt();
        for reason in resolved.refused.values() {
            *self.refused.entry(*reason).or_default() += 1;
        }
        match resolved.result {
            Ok(answer) => {
                self.answers += 1;
                self.error = None;
                self.answer = Some(answer);
                self.origin = Some(Origin { source: Source::Resolver, at: now });
            }
            Err(error) => {
                self.failures += 1;
                self.error = Some(error);
            }
        }
    }

    /// It has no TTL: it serves until the resolver answers.
    pub(super) fn recall(&mut self, saved: Saved) {
        self.answer = Some(Answer { addresses: saved.addresses, ttl: Duration::ZERO });
        self.origin = Some(Origin { source: Source::Saved, at: saved.written_at });
    }
}

impl Resolved {
    /// What is wrong with an answer that serves.
    pub fn doubt(&self) -> Option<String> {
        self.result.as_ref().ok()?;
        let half = self.half.as_ref();
        let half = half.map(|why| format!("half an answer, the other family stays: {why}"));
        let refused = (!self.refused.is_empty())
            .then(|| format!("refused addresses: {}", listed(&self.refused)));
        let doubts: Vec<_> = half.into_iter().chain(refused).collect();
        (!doubts.is_empty()).then(|| doubts.join("; "))
    }
}
