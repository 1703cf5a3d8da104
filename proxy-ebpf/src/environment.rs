//! Everything that the core asks of its surroundings: tables, time and chance.

use core::ops::DerefMut;

use proxy_common::{
    backend::{BackendId, BackendSet},
    config::Config,
    counter::Counter,
    event::Change,
    flow::{Direction, Flow, FlowKey},
    stamp::Stamp,
};

pub trait Environment {
    /// A flow's entry in the table, to be changed in place.
    type Entry<'a>: DerefMut<Target = Flow>
    where
        Self: 'a;

    /// `None` until the agent has written it.
    fn config(&self) -> Option<&Config>;
    /// The set in force.
    fn backends(&self) -> Option<&BackendSet>;

    fn flow(&self, key: &FlowKey) -> Option<Self::Entry<'_>>;
    /// Never replaces an entry: the table is also the allocator of source ports.
    fn insert(&self, key: &FlowKey, flow: &Flow) -> Result<(), InsertError>;
    fn remove(&self, key: &FlowKey);

    /// Connections of a backend that are open now, as nearly as is known.
    fn open_flows(&self, id: BackendId) -> u64;
    fn count_opened(&self, id: BackendId);
    fn count_closed(&self, id: BackendId);
    /// What became of a connection, of which this is one entry; for the agent, if it wants to hear.
    fn tell(&self, change: Change, key: &FlowKey);
    fn count_packet(&self, id: BackendId, direction: Direction, bytes: u32);

    fn count(&self, counter: Counter);

    fn now(&self) -> Stamp;
    fn random(&self) -> u32;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// The key is taken.
    Taken,
    /// The table is full.
    Full,
}
