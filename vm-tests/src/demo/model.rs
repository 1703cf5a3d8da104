//! What the views show: made of what was observed, drawn by others.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use jiff::Timestamp;
use proxy_user::status::{Event, Status};

use super::{rates::Rates, text};
use crate::{
    counts::Counts,
    rotation::{RotationReport, Step},
};

const KEPT_NOTES: usize = 100;
/// Kinds of events that are ours and not the agent's.
pub(crate) const ROTATION: &str = "rotation";
pub(crate) const FAILURE: &str = "failure";

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub now: Timestamp,
    /// The last one that was had.
    pub status: Option<Status>,
    /// Why there is no newer one.
    pub silence: Option<String>,
    pub counts: Counts,
    pub rates: Rates,
    pub rotation: Rotation,
    /// Every backend there ever was, as it was seen last.
    pub seen: BTreeMap<SocketAddr, Seen>,
    notes: VecDeque<Event>,
}

#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    pub every: Duration,
    /// `None` after the last one.
    pub next_at: Option<Timestamp>,
    pub step: Step,
    pub done: u32,
    pub last: Option<RotationReport>,
    /// What went wrong with those that are not counted as done.
    pub errors: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub connections: u64,
    pub bytes: u64,
}

impl Model {
    pub(crate) fn new(now: Timestamp, every: Duration, next_at: Timestamp) -> Self {
        let rotation = Rotation {
            every,
            next_at: Some(next_at),
            step: Step::Idle,
            done: 0,
            last: None,
            errors: Vec::new(),
        };
        Self {
            now,
            status: None,
            silence: None,
            counts: Counts::default(),
            rates: Rates::default(),
            rotation,
            seen: BTreeMap::new(),
            notes: VecDeque::new(),
        }
    }

    pub(crate) fn counted(&mut self, now: Timestamp, counts: Counts) {
        self.now = now;
        if counts.failures > self.counts.failures {
            let newest = counts.last_errors.last().cloned().unwrap_or_default();
            self.note(FAILURE, newest);
        }
        self.rates.observe(now, &counts);
        self.counts = counts;
    }

    pub(crate) fn reported(&mut self, status: Result<Status, String>) {
        match status {
            Ok(status) => {
                for backend in status.backends() {
                    let bytes = backend.bytes_to_backend + backend.bytes_to_client;
                    let seen = Seen { connections: backend.opened, bytes };
                    self.seen.insert(backend.address, seen);
                }
                self.status = Some(status);
                self.silence = None;
            }
            Err(why) => self.silence = Some(why),
        }
    }

    pub(crate) fn stepped(&mut self, now: Timestamp, step: Step) {
        self.now = now;
        self.rotation.step = step;
        if step != Step::Idle {
            self.note(ROTATION, step.to_string());
        }
    }

    pub(crate) fn rotated(
        &mut self,
        now: Timestamp,
        report: Result<RotationReport, String>,
        next_at: Option<Timestamp>,
    ) {
        self.now = now;
        self.rotation.next_at = next_at;
        self.note(ROTATION, report.as_ref().map_or_else(Clone::clone, outcome));
        match report {
            Ok(report) => {
                self.rotation.done += 1;
                self.rotation.last = Some(report);
            }
            Err(error) => self.rotation.errors.push(error),
        }
    }

    /// The agent's events and ours in the order of time, the newest last.
    pub(crate) fn events(&self) -> Vec<&Event> {
        let mut all: Vec<_> = self.agent_events().chain(self.notes()).collect();
        all.sort_by_key(|event| event.at);
        all
    }

    pub(crate) fn agent_events(&self) -> impl Iterator<Item = &Event> {
        self.status.iter().flat_map(|status| &status.events)
    }

    /// Our own events.
    pub(crate) fn notes(&self) -> impl Iterator<Item = &Event> {
        self.notes.iter()
    }

    fn note(&mut self, kind: &str, message: String) {
        if self.notes.len() == KEPT_NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(Event { at: self.now, kind: kind.into(), message });
    }
}

impl Rotation {
    pub(crate) fn next_in(&self, now: Timestamp) -> Option<Duration> {
        let next_at = self.next_at?;
        Some(Duration::try_from(next_at.duration_since(now)).unwrap_or_default())
    }
}

/// How a rotation went, in half a line.
pub(crate) fn outcome(report: &RotationReport) -> String {
    let drained = text::span(report.drained);
    match report.moved {
        Some(moved) => format!("agent moved in {}, drained in {drained}", text::span(moved)),
        None => format!("agent had not moved when the old ENIs went, drained in {drained}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).expect("in range")
    }

    fn model() -> Model {
        Model::new(at(0), Duration::from_secs(10), at(10))
    }

    #[test]
    fn a_new_failure_becomes_an_event_once() {
        let mut model = model();
        let counts =
            Counts { failures: 1, last_errors: vec!["refused".into()], ..Counts::default() };
        model.counted(at(1), counts.clone());
        model.counted(at(2), counts);
        let messages: Vec<_> = model.events().iter().map(|event| event.message.clone()).collect();
        assert_eq!(messages, ["refused"]);
    }

    #[test]
    fn a_rotation_that_failed_is_not_done() {
        let mut model = model();
        model.rotated(at(5), Err("no ENI".into()), Some(at(15)));
        assert_eq!(model.rotation.done, 0);
        assert_eq!(model.rotation.errors, ["no ENI"]);
        assert_eq!(model.rotation.next_in(at(12)), Some(Duration::from_secs(3)));
        assert_eq!(model.rotation.next_in(at(20)), Some(Duration::ZERO));
    }

    #[test]
    fn silence_keeps_the_last_status() {
        let mut model = model();
        model.reported(Ok(crate::demo::view::fixture::status()));
        model.reported(Err("refused".into()));
        assert!(model.status.is_some());
        assert_eq!(model.silence.as_deref(), Some("refused"));
        assert_eq!(model.seen.len(), 4);
    }
}
