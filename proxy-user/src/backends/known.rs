//! One backend, as far as answers and probes have told of it.

use std::time::{Duration, Instant};

use proxy_common::backend::BackendId;

use super::{
    fault::Fault,
    rules::{ABSENT_ANSWERS, Rules},
};
use crate::{
    health::{Judge, Outcome, Verdict},
    status::BackendState,
};

#[derive(Debug)]
pub struct Known {
    pub id: BackendId,
    presence: Presence,
    /// An answer has told whether it is there; of an inherited one, the earlier agent's do not count.
    is_answered: bool,
    judge: Judge,
    /// See [`Probed::segment`].
    pub segment: u16,
    /// While probes fail.
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    InAnswer,
    /// From so many answers in a row; as good as in the answer, for now.
    Missing {
        since: Instant,
        answers: u32,
    },
    /// Gone from the answer, and no longer needed since then; its connections may stay for so long.
    Left {
        since: Instant,
        drain: Duration,
    },
}

/// When a probe was begun, and when it ended; and what it has found out besides.
#[derive(Clone, Copy, Debug)]
pub struct Probed {
    pub begun: Instant,
    pub at: Instant,
    /// The largest segment that the backend takes, in bytes; 0 where that is not known.
    pub segment: u16,
}

impl Presence {
    /// After an answer that lacks it. `luck`: from 0 to 1.
    fn missed(self, rules: &Rules, luck: f64, now: Instant) -> Self {
        let (since, before) = match self {
            Self::InAnswer => (now, 0),
            Self::Missing { since, answers } => (since, answers),
            Self::Left { .. } => return self,
        };
        let answers = before.saturating_add(1);
        let is_long = now.saturating_duration_since(since) >= rules.absent_grace;
        if is_long && answers >= ABSENT_ANSWERS {
            return Self::Left { since: now, drain: rules.drain(luck) };
        }
        Self::Missing { since, answers }
    }
}

impl Known {
    pub fn new(id: BackendId, presence: Presence) -> Self {
        let is_answered = presence == Presence::InAnswer;
        Self { id, presence, is_answered, judge: Judge::default(), segment: 0, fault: None }
    }

    /// An answer has come that has it, or lacks it. `luck`: from 0 to 1.
    pub fn answered(&mut self, has: bool, rules: &Rules, luck: f64, now: Instant) {
        self.is_answered = true;
        self.presence =
            if has { Presence::InAnswer } else { self.presence.missed(rules, luck, now) };
    }

    pub fn hear(&mut self, outcome: Outcome, probed: Probed, rules: &Rules) {
        self.judge.hear(outcome, rules.thresholds);
        if probed.segment != 0 {
            self.segment = probed.segment;
        }
        if outcome == Outcome::Passed {
            self.fault = None;
            return;
        }
        let fault = self.fault.get_or_insert(Fault::begin());
        if self.judge.verdict() == Verdict::Down {
            fault.fell(probed.begun, probed.at);
        }
    }

    pub fn another_passed(&mut self, now: Instant) {
        self.fault.iter_mut().for_each(|fault| fault.another_passed(now));
    }

    pub fn wait(&mut self, rules: &Rules, now: Instant) {
        self.fault.iter_mut().for_each(|fault| fault.wait(rules.patience, now));
    }

    pub fn verdict(&self) -> Verdict {
        self.judge.verdict()
    }

    pub fn is_promising(&self) -> bool {
        self.judge.is_promising()
    }

    pub fn is_up(&self) -> bool {
        self.verdict() == Verdict::Up
    }

    /// It is down, and that is not laid to our own network.
    pub fn is_dead(&self) -> bool {
        let is_to_blame = self.fault.is_some_and(|fault| fault.is_the_backends());
        self.verdict() == Verdict::Down && is_to_blame
    }

    pub fn is_in_answer(&self) -> bool {
        self.presence == Presence::InAnswer
    }

    /// The last answer lacks it.
    pub fn is_absent(&self) -> bool {
        self.is_answered && !self.is_in_answer()
    }

    pub fn has_left(&self) -> bool {
        matches!(self.presence, Presence::Left { .. })
    }

    /// It is needed after all: its time to drain begins anew.
    pub fn stay(&mut self, now: Instant) {
        if let Presence::Left { since, .. } = &mut self.presence {
            *since = now;
        }
    }

    pub fn drain_deadline(&self) -> Option<Instant> {
        match self.presence {
            Presence::Left { since, drain } => Some(since + drain),
            _ => None,
        }
    }

    pub fn is_drained(&self, now: Instant) -> bool {
        self.drain_deadline().is_some_and(|deadline| deadline <= now)
    }

    pub fn fault_deadline(&self, rules: &Rules) -> Option<Instant> {
        self.fault.and_then(|fault| fault.deadline(rules.patience))
    }

    /// `stands_in`: it has left, and nothing that is in the answer lives.
    pub fn state(&self, stands_in: bool) -> BackendState {
        match (self.has_left(), self.verdict()) {
            (_, Verdict::Down) => BackendState::Down,
            (false, Verdict::Unknown) => BackendState::Probing,
            (false, Verdict::Up) => BackendState::Live,
            (true, Verdict::Up) if stands_in => BackendState::Live,
            (true, _) => BackendState::Draining,
        }
    }
}
