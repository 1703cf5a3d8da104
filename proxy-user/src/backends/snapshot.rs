//! The backends as everything downstream sees them: immutable, and whole.

use std::{collections::BTreeSet, fmt, net::SocketAddr};

use proxy_common::backend::BackendId;

use crate::status::BackendState;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    pub id: BackendId,
    pub address: SocketAddr,
    pub state: BackendState,
    /// Is it in the last good answer?
    pub resolved: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Grows by one with each change; 0 is nothing known yet.
    pub generation: u64,
    /// Until then, what an earlier agent put in force is the better guess. Once true, it stays so.
    pub is_judged: bool,
    /// By address.
    pub backends: Vec<Backend>,
    /// Not among the backends any more, and failing when they were last probed.
    pub failed: BTreeSet<SocketAddr>,
}

/// One backend's step from one state to another; `None` is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub address: SocketAddr,
    pub from: Option<BackendState>,
    pub to: Option<BackendState>,
    /// Is it in the last good answer now?
    pub resolved: bool,
}

impl Snapshot {
    /// Those that new connections may choose from.
    pub fn live(&self) -> impl Iterator<Item = &Backend> {
        self.backends.iter().filter(|backend| backend.state == BackendState::Live)
    }

    /// Those whose connections have nobody at their other end; not those that only left the answer.
    pub fn dead(&self) -> BTreeSet<SocketAddr> {
        let down = self.backends.iter().filter(|backend| backend.state == BackendState::Down);
        down.map(|backend| backend.address).chain(self.failed.iter().copied()).collect()
    }

    fn find(&self, address: SocketAddr) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.address == address)
    }

    fn state(&self, address: SocketAddr) -> Option<BackendState> {
        self.find(address).map(|found| found.state)
    }

    pub fn changes_since(&self, before: &Self) -> Vec<Change> {
        let gone = before.backends.iter().filter(|backend| self.state(backend.address).is_none());
        self.backends
            .iter()
            .chain(gone)
            .map(|backend| Change {
                address: backend.address,
                from: before.state(backend.address),
                to: self.state(backend.address),
                resolved: self.find(backend.address).is_some_and(|found| found.resolved),
            })
            .filter(|change| change.from != change.to)
            .collect()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |state: Option<BackendState>, none| state.map_or(none, state_name);
        write!(f, "{}: {} -> {}", self.address, name(self.from, "new"), name(self.to, "gone"))
    }
}

pub fn state_name(state: BackendState) -> &'static str {
    match state {
        BackendState::Probing => "probing",
        BackendState::Live => "live",
        BackendState::Draining => "draining",
        BackendState::Down => "down",
    }
}
