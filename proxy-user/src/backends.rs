//! The pure merge of what DNS says and what probes find.
//!
//! ```text
//!   new --> Probing --passes--> Live <--passes-- Down
//!              |                 |  \--fails-----^
//!              +--fails--> Down  +--gone from the answer, another lives--> Draining --late--> gone
//! ```
//!
//! An address is gone from the answer once it was missing from several in a row for long enough;
//! until then nothing changes for it, unless it fails: absent and dead is gone at once, whatever
//! its state. What an earlier agent has left is not absent before an answer lacks it. One that
//! returns keeps its id and what is known of it.
//!
//! There is always somebody to turn to, if ever one has passed its probes. A backend that is gone
//! from the answer stands in, still live, until one of the answer lives. The last that lives and
//! begins to fail is the last resort: it stays in use, its connections unharmed, until another
//! passes; but nobody turns to a stranger. Connections are reset only when the fault is the
//! backend's ([`fault`]).

mod cause;
mod fault;
mod forgotten;
mod ids;
mod known;
mod rules;
mod snapshot;
mod transitions;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use fastrand::Rng;
use proxy_common::backend::{BackendId, MAX_BACKENDS};

pub use cause::Cause;
use forgotten::Forgotten;
use ids::Ids;
pub use known::Probed;
use known::{Known, Presence};
pub use rules::{ABSENT_ANSWERS, Rules};
pub use snapshot::{Backend, Change, Doom, Snapshot, state_name};
pub use transitions::Transitions;

use crate::{
    health::{Outcome, Verdict},
    status::BackendState,
};

#[derive(Debug)]
pub struct Backends {
    rules: Rules,
    dice: Rng,
    known: BTreeMap<SocketAddr, Known>,
    ids: Ids,
    forgotten: Forgotten,
    /// The last that lived, while it fails and nothing lives.
    last_resort: Option<SocketAddr>,
    snapshot: Arc<Snapshot>,
}

/// What an earlier agent knew of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Legacy {
    /// It took new connections.
    InForce,
    /// It only had connections.
    HasFlows,
}

impl Backends {
    /// `seed`: for what is left to chance.
    pub fn new(rules: Rules, seed: u64) -> Self {
        Self {
            rules,
            dice: Rng::with_seed(seed),
            known: BTreeMap::new(),
            ids: Ids::default(),
            forgotten: Forgotten::default(),
            last_resort: None,
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
    pub fn inherit(&mut self, id: BackendId, address: SocketAddr, legacy: Legacy, now: Instant) {
        if !self.known.contains_key(&address) && self.ids.take_this(id) {
            let presence = match legacy {
                Legacy::InForce => Presence::Missing { since: now, answers: 0 },
                Legacy::HasFlows => {
                    Presence::Left { since: now, drain: self.rules.drain(self.dice.f64()) }
                }
            };
            self.known.insert(address, Known::new(id, presence));
            self.forgotten.remove(address);
        }
        self.publish();
    }

    /// Returns how many addresses there was no room for.
    pub fn answered(&mut self, answer: &BTreeSet<SocketAddr>, now: Instant) -> usize {
        let room: BTreeSet<_> = answer.iter().copied().take(MAX_BACKENDS).collect();
        for (address, known) in &mut self.known {
            known.answered(room.contains(address), &self.rules, self.dice.f64(), now);
        }
        let without_id = self.admit(&room);
        self.settle(now);
        answer.len() - room.len() + without_id
    }

    pub fn probed(&mut self, address: SocketAddr, outcome: Outcome, probed: Probed) {
        let lived = self.lives();
        let Some(known) = self.known.get_mut(&address) else { return };
        known.hear(outcome, probed, &self.rules);
        if outcome == Outcome::Passed {
            let others = self.known.iter_mut().filter(|(other, _)| **other != address);
            others.for_each(|(_, known)| known.another_passed(probed.at));
        }
        if outcome == Outcome::Stranger {
            self.last_resort = self.last_resort.filter(|last| *last != address);
        } else if lived && !self.lives() {
            self.last_resort = Some(address);
        }
        self.settle(probed.at);
    }

    /// When [`Backends::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let faults = self.known.values().filter_map(|known| known.fault_deadline(&self.rules));
        let drains = self.known.values().filter_map(Known::drain_deadline);
        faults.chain(drains.filter(|_| !self.needs_those_that_left())).min()
    }

    pub fn tick(&mut self, now: Instant) {
        self.known.values_mut().for_each(|known| known.wait(&self.rules, now));
        if !self.needs_those_that_left() {
            self.forget(|known| known.is_drained(now).then_some(Doom::Drained));
        }
        self.settle(now);
    }

    fn settle(&mut self, now: Instant) {
        if self.needs_those_that_left() {
            self.known.values_mut().for_each(|known| known.stay(now));
        }
        self.forget(|known| (known.is_dead() && known.is_absent()).then_some(Doom::Down));
        let is_last = |address: &SocketAddr| !self.lives() && self.known.contains_key(address);
        self.last_resort = self.last_resort.filter(is_last);
        self.publish();
    }

    fn lives(&self) -> bool {
        self.known.values().any(Known::is_up)
    }

    /// Nothing that has not left lives: what has left stands in, or may yet.
    fn needs_those_that_left(&self) -> bool {
        !self.known.values().any(|known| known.is_up() && !known.has_left())
    }

    /// With one that lives, the others have had their first probe. With none, all are known to fail.
    fn is_judged(&self) -> bool {
        let mut known = self.known.values();
        if self.lives() {
            return !known.any(Known::is_promising);
        }
        !self.known.is_empty() && known.all(|known| known.verdict() == Verdict::Down)
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
            self.known.insert(*address, Known::new(id, Presence::InAnswer));
            self.forgotten.remove(*address);
        }
        without_id
    }

    fn forget(&mut self, doom: impl Fn(&Known) -> Option<Doom>) {
        let Self { known, ids, forgotten, .. } = self;
        known.retain(|address, known| {
            let Some(doom) = doom(known) else { return true };
            ids.give_back(known.id);
            forgotten.add(*address, doom);
            false
        });
    }

    fn publish(&mut self) {
        let before = &self.snapshot;
        let next = Snapshot {
            generation: before.generation,
            is_judged: before.is_judged || self.is_judged(),
            backends: self.known.iter().map(|(at, known)| self.show(*at, known)).collect(),
            last_resort: self.last_resort,
            prefers_own_zone: self.rules.prefer_zone,
            doomed: self.doomed(),
        };
        if next != **before {
            self.snapshot = Arc::new(Snapshot { generation: next.generation + 1, ..next });
        }
    }

    fn show(&self, address: SocketAddr, known: &Known) -> Backend {
        let state = match self.last_resort == Some(address) {
            true => BackendState::Live,
            false => known.state(self.needs_those_that_left()),
        };
        Backend {
            id: known.id,
            address,
            state,
            resolved: known.is_in_answer(),
            own_zone: self.rules.zone.holds(address.ip()),
            segment: known.segment,
        }
    }

    fn doomed(&self) -> BTreeMap<SocketAddr, Doom> {
        let spared = |address: &SocketAddr| self.last_resort == Some(*address);
        let dead = self.known.iter().filter(|(at, known)| known.is_dead() && !spared(at));
        dead.map(|(address, _)| (*address, Doom::Down)).chain(self.forgotten.all()).collect()
    }
}

#[cfg(test)]
mod tests;
