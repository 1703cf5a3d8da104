//! Everything that the core asks of its surroundings: tables, time and chance.

use core::ops::{Deref, DerefMut};

use proxy_common::{
    backend::{BackendId, BackendSet},
    config::Config,
    counter::Counter,
    event::Change,
    flow::{Direction, Flow, FlowKey},
    stamp::Stamp,
    track::{Arm, Shift, Track, TrackId},
};

use crate::{exits::Known, seen::Seen};

pub trait Environment {
    /// A place for one segment's numbers, which nobody else uses while a packet is worked on. Not on
    /// the stack, which is small, and where the verifier would follow each of them.
    type Scratch<'a>: DerefMut<Target = Seen>
    where
        Self: 'a;
    /// A flow's entry in the table, to be changed in place.
    type Entry<'a>: DerefMut<Target = Flow>
    where
        Self: 'a;

    fn scratch(&self) -> Option<Self::Scratch<'_>>;

    /// `None` until the agent has written it.
    fn config(&self) -> Option<&Config>;
    /// The set in force.
    fn backends(&self) -> Option<&BackendSet>;

    /// What this CPU has kept in one of [`crate::exits::PLACES`] places.
    fn known_exit(&self, place: u32) -> Option<impl Deref<Target = Known>>;
    fn keep_exit(&self, place: u32, known: &Known);

    fn flow(&self, key: &FlowKey) -> Option<Self::Entry<'_>>;
    /// Never replaces an entry: the table is also the allocator of source ports.
    fn insert(&self, key: &FlowKey, flow: &Flow) -> Result<(), InsertError>;
    fn remove(&self, key: &FlowKey);

    /// Changes a connection's record, which nobody else does meanwhile; `otherwise` if there is none.
    /// The change may call nothing.
    fn with_track<R>(
        &self,
        client: &FlowKey,
        otherwise: R,
        change: impl FnOnce(&mut Track) -> R,
    ) -> R;
    fn remove_track(&self, client: &FlowKey);
    /// Of a connection that was handed over.
    fn shift(&self, client: &FlowKey, id: TrackId, direction: Direction) -> Option<&Shift>;
    fn arm(&self, client: &FlowKey) -> Option<&Arm>;

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
