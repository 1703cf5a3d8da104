//! Ends the connections of backends that are down or have drained, spread over a while: who is
//! reset at once connects again at once.

mod ender;
pub mod segment;
mod wire;

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use proxy_common::{
    addr::socket,
    config::Config,
    event::{Change, FlowEvent},
    flow::{Direction, Flow, FlowKey},
    stamp::Stamp,
};

pub use self::ender::{Ender, Sum};
use super::{records::Records, scan::Scan};

/// Between two steps.
pub const PACE: Duration = Duration::from_millis(10);

/// Backends whose connections are to end, and what is said of those.
pub type Doomed = BTreeMap<SocketAddr, Change>;

/// A round through the table.
pub struct Round {
    doomed: Doomed,
    scan: Scan<FlowKey, Flow>,
    is_read: bool,
    victims: Vec<FlowKey>,
    /// That there are to be.
    steps: usize,
    each_step: usize,
    ender: Ender,
}

/// What a round has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resets {
    pub sum: Sum,
    pub is_over: bool,
}

impl Round {
    /// `connections`: how many there are, about.
    pub fn new(doomed: Doomed, connections: u64, window: Duration) -> Self {
        let steps = (window.as_millis() / PACE.as_millis()).max(1);
        let each_step = u128::from(connections).div_ceil(steps);
        Self {
            doomed,
            scan: Scan::default(),
            is_read: false,
            victims: Vec::new(),
            steps: usize::try_from(steps).unwrap_or(usize::MAX),
            each_step: usize::try_from(each_step).unwrap_or(usize::MAX),
            ender: Ender::default(),
        }
    }

    /// What that one came to is part of this one's sum.
    pub fn instead_of(self, earlier: Self) -> Self {
        Self { ender: earlier.ender, ..self }
    }

    pub const fn doomed(&self) -> &Doomed {
        &self.doomed
    }

    /// Resets a few; returns the sum so far, and those that ended without the program seeing it.
    pub fn step(
        &mut self,
        records: &Records,
        config: &Config,
        now: Stamp,
    ) -> io::Result<(Resets, Vec<FlowEvent>)> {
        if self.victims.is_empty() && !self.is_read {
            self.is_read = self.scan.advance(&records.flows)?;
            let doomed = &self.doomed;
            let victims = self.scan.entries().filter(|(_, flow)| why(flow, doomed).is_some());
            self.victims.extend(victims.map(|(key, _)| *key));
            // They may be more than were counted.
            self.each_step = self.each_step.max(self.victims.len().div_ceil(self.steps));
        }
        let few = self.victims.len().saturating_sub(self.each_step);
        let mut ended = Vec::new();
        for key in self.victims.split_off(few) {
            let why = |flow: &Flow| why(flow, &self.doomed);
            ended.extend(self.ender.end(records, config, &key, now, why));
        }
        let is_over = self.is_read && self.victims.is_empty();
        Ok((Resets { sum: self.ender.sum.clone(), is_over }, ended))
    }
}

fn why(flow: &Flow, doomed: &Doomed) -> Option<Change> {
    let change = doomed.get(&socket(flow.peer, flow.peer_port)).copied();
    change.filter(|_| flow.direction == Direction::ToBackend)
}
