//! The backends as everything downstream sees them: immutable, and whole.

use std::{collections::BTreeMap, fmt, net::SocketAddr};

use proxy_common::backend::BackendId;

use crate::status::BackendState;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    pub id: BackendId,
    pub address: SocketAddr,
    pub state: BackendState,
    /// Is it in the last good answer?
    pub resolved: bool,
    /// Is it in one of the appliance's own subnets?
    pub own_zone: bool,
    /// The largest segment that it takes, in bytes, as its probes tell; 0 where that is not known.
    pub segment: u16,
}

/// Why connections to a backend are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doom {
    Down,
    /// Their time to drain is over.
    Drained,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Grows by one with each change; 0 is nothing known yet.
    pub generation: u64,
    /// Until then, what an earlier agent put in force is the better guess. Once true, it stays so.
    pub is_judged: bool,
    /// By address.
    pub backends: Vec<Backend>,
    /// Fails its probes and counts as live: nothing better is left.
    pub last_resort: Option<SocketAddr>,
    /// New connections keep to the own zone while a backend there is live.
    pub prefers_own_zone: bool,
    /// Those whose connections are to end, among the backends or known no more.
    pub doomed: BTreeMap<SocketAddr, Doom>,
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
    pub fn live(&self) -> impl Iterator<Item = &Backend> {
        self.backends.iter().filter(|backend| backend.state == BackendState::Live)
    }

    /// Those that new connections choose from. On the packet path a connection stays within its
    /// family, so each family has its own preference.
    pub fn choices(&self) -> impl Iterator<Item = &Backend> {
        let near = [false, true].map(|is_ipv4| {
            self.live().any(|live| live.own_zone && live.address.is_ipv4() == is_ipv4)
        });
        let is_near = move |live: &Backend| near[usize::from(live.address.is_ipv4())];
        self.live().filter(move |live| !self.prefers_own_zone || live.own_zone || !is_near(live))
    }

    /// The own zone is preferred, and some new connections must leave it.
    pub fn spills_over(&self) -> bool {
        self.prefers_own_zone && self.choices().any(|choice| !choice.own_zone)
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
        write!(f, "{}: {} -> {}", self.address, self.from_name(), self.to_name())
    }
}

impl Change {
    pub fn from_name(&self) -> &'static str {
        self.from.map_or("new", state_name)
    }

    pub fn to_name(&self) -> &'static str {
        self.to.map_or("gone", state_name)
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
