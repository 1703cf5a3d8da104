//! The pure merge of what DNS says and what probes find.
//!
//! ```text
//!   new --> Probing --passes--> Live <--passes-- Down
//!              |                 |  \--fails-----^
//!              +--fails--> Down  +--left the answer, another lives--> Draining --fails or late--> gone
//! ```
//!
//! A backend that left the answer stands in, still live, until one of the answer lives: a change of
//! all addresses at once leaves no moment without a live backend. One that returns to the answer
//! keeps its id and what is known of it. One that is down or unknown when it leaves is gone at once.

mod cause;
mod ids;
mod snapshot;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use proxy_common::backend::{BackendId, MAX_BACKENDS};

pub use cause::Cause;
use ids::Ids;
pub use snapshot::{Backend, Change, Snapshot, state_name};

use crate::{
    health::{Judge, Outcome, Thresholds, Verdict},
    status::BackendState,
};

/// How long a backend that left the answer and still passes its probes is kept and shown.
pub const DRAIN_GRACE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Backends {
    thresholds: Thresholds,
    known: BTreeMap<SocketAddr, Known>,
    ids: Ids,
    /// Forgotten when they failed, and not in an answer since; of many, some.
    failed: BTreeSet<SocketAddr>,
    snapshot: Arc<Snapshot>,
}

#[derive(Debug)]
struct Known {
    id: BackendId,
    presence: Presence,
    judge: Judge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    InAnswer,
    /// Not in the answer; forgotten at this instant, or when it fails.
    Until(Instant),
}

impl Backends {
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            known: BTreeMap::new(),
            ids: Ids::default(),
            failed: BTreeSet::new(),
            snapshot: Arc::default(),
        }
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.clone()
    }

    /// All that are to be probed.
    pub fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.known.keys().copied().collect()
    }

    /// Takes over a backend of an earlier agent under the id that its flows know it by.
    pub fn inherit(&mut self, id: BackendId, address: SocketAddr, now: Instant) {
        if !self.known.contains_key(&address) && self.ids.take_this(id) {
            let presence = Presence::Until(now + DRAIN_GRACE);
            self.known.insert(address, Known { id, presence, judge: Judge::default() });
        }
        self.publish();
    }

    /// Returns how many addresses there was no room for.
    pub fn answered(&mut self, answer: &BTreeSet<SocketAddr>, now: Instant) -> usize {
        let room: BTreeSet<_> = answer.iter().copied().take(MAX_BACKENDS).collect();
        self.part_with_all_but(&room, now);
        let without_id = self.admit(&room);
        self.publish();
        answer.len() - room.len() + without_id
    }

    pub fn probed(&mut self, address: SocketAddr, outcome: Outcome) {
        if let Some(known) = self.known.get_mut(&address) {
            known.judge.hear(outcome, self.thresholds);
        }
        self.forget(|_, known| !known.is_in_answer() && known.judge.verdict() == Verdict::Down);
        self.publish();
    }

    /// When [`Backends::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.needs_stand_ins() {
            return None;
        }
        self.known.values().filter_map(Known::deadline).min()
    }

    pub fn tick(&mut self, now: Instant) {
        if !self.needs_stand_ins() {
            self.forget(|_, known| known.deadline().is_some_and(|deadline| deadline <= now));
        }
        self.publish();
    }

    /// Nothing of the answer lives, and something that left it does.
    fn needs_stand_ins(&self) -> bool {
        let mut up = self.known.values().filter(|known| known.is_up()).peekable();
        up.peek().is_some() && !up.any(Known::is_in_answer)
    }

    /// With one that lives, the others have had their first probe. With none, all are known to fail.
    fn is_judged(&self) -> bool {
        let mut known = self.known.values();
        if self.known.values().any(Known::is_up) {
            return !known.any(|known| known.judge.is_promising());
        }
        !self.known.is_empty() && known.all(|known| known.judge.verdict() == Verdict::Down)
    }

    fn part_with_all_but(&mut self, answer: &BTreeSet<SocketAddr>, now: Instant) {
        self.forget(|address, known| {
            known.is_in_answer() && !answer.contains(address) && !known.is_up()
        });
        for (address, known) in &mut self.known {
            if answer.contains(address) {
                known.presence = Presence::InAnswer;
            } else if known.is_in_answer() {
                known.presence = Presence::Until(now + DRAIN_GRACE);
            }
        }
    }

    /// Returns how many got no id.
    fn admit(&mut self, answer: &BTreeSet<SocketAddr>) -> usize {
        let mut without_id = 0;
        for address in answer {
            if self.known.contains_key(address) {
                continue;
            }
            let Some(id) = self.ids.take() else {
                without_id += 1;
                continue;
            };
            let known = Known { id, presence: Presence::InAnswer, judge: Judge::default() };
            self.known.insert(*address, known);
            self.failed.remove(address);
        }
        without_id
    }

    fn forget(&mut self, is_gone: impl Fn(&SocketAddr, &Known) -> bool) {
        let Self { known, ids, failed, .. } = self;
        known.retain(|address, known| {
            let gone = is_gone(address, known);
            if gone {
                ids.give_back(known.id);
            }
            if gone && known.judge.verdict() == Verdict::Down {
                failed.insert(*address);
            }
            !gone
        });
        while failed.len() > MAX_BACKENDS {
            failed.pop_first();
        }
    }

    fn publish(&mut self) {
        let stand_in = self.needs_stand_ins();
        let backends: Vec<_> =
            self.known.iter().map(|(address, known)| known.show(*address, stand_in)).collect();
        let is_judged = self.snapshot.is_judged || self.is_judged();
        let failed = self.failed.clone();
        let next = Snapshot { generation: self.snapshot.generation, is_judged, backends, failed };
        if next != *self.snapshot {
            self.snapshot = Arc::new(Snapshot { generation: next.generation + 1, ..next });
        }
    }
}

impl Known {
    fn show(&self, address: SocketAddr, stand_in: bool) -> Backend {
        let state = match (self.presence, self.judge.verdict()) {
            (Presence::InAnswer, Verdict::Unknown) => BackendState::Probing,
            (Presence::InAnswer, Verdict::Down) => BackendState::Down,
            (Presence::InAnswer, Verdict::Up) => BackendState::Live,
            (Presence::Until(_), Verdict::Up) if stand_in => BackendState::Live,
            (Presence::Until(_), _) => BackendState::Draining,
        };
        Backend { id: self.id, address, state, resolved: self.is_in_answer() }
    }

    fn is_in_answer(&self) -> bool {
        self.presence == Presence::InAnswer
    }

    fn is_up(&self) -> bool {
        self.judge.verdict() == Verdict::Up
    }

    fn deadline(&self) -> Option<Instant> {
        match self.presence {
            Presence::InAnswer => None,
            Presence::Until(deadline) => Some(deadline),
        }
    }
}

#[cfg(test)]
mod tests;
