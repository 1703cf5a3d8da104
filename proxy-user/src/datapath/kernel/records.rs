//! What the kernel keeps of connections: their entries in the flow table, and the records of those
//! that user space has accepted.

use anyhow::Context as _;
use aya::{Ebpf, maps::MapError};
use proxy_common::{
    flow::{Direction, Flow, FlowKey},
    track::{Arm, Stage, Track, TrackId},
};

use super::table::Table;

pub type FlowTable = Table<FlowKey, Flow>;

#[derive(Clone, Debug)]
pub struct Records {
    pub flows: FlowTable,
    /// By the key of the client's packets.
    pub tracks: Table<FlowKey, Track>,
    /// By the same key.
    pub arms: Table<FlowKey, Arm>,
}

/// Whose a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Program,
    /// An agent's sockets; or nobody's, if that has died.
    Agent,
}

impl Records {
    pub fn take(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let mut take = |name| ebpf.take_map(name).with_context(|| format!("no map {name}"));
        Ok(Self {
            flows: take("FLOWS")?.try_into()?,
            tracks: take("TRACKS")?.try_into()?,
            arms: take("ARMS")?.try_into()?,
        })
    }

    /// Of their own, with room for so many entries each.
    pub fn create(entries: u32) -> Result<Self, MapError> {
        Ok(Self {
            flows: Table::create(entries)?,
            tracks: Table::create(entries)?,
            arms: Table::create(entries)?,
        })
    }

    /// `key` and `flow`: either entry of the connection.
    pub fn carrier(&self, key: &FlowKey, flow: &Flow) -> Carrier {
        if flow.track == TrackId::NONE || flow.stage == Stage::HandedOver {
            return Carrier::Program;
        }
        let track = self.tracks.get(&client_key(key, flow));
        match track.filter(|track| track.id == flow.track).map(|track| track.stage) {
            // Its next packet in this direction will tell the entry.
            Some(Stage::HandedOver) => Carrier::Program,
            Some(Stage::Relayed) | None => Carrier::Agent,
        }
    }

    /// One entry, and the connection's record with it. Was there one?
    pub fn remove(&self, key: &FlowKey, flow: &Flow) -> bool {
        if flow.track != TrackId::NONE {
            self.forget(&client_key(key, flow), flow.track);
        }
        self.flows.remove(key)
    }

    /// Unless the entry is another connection's by now.
    pub fn remove_entry(&self, key: &FlowKey, id: TrackId) {
        if self.flows.get(key).is_some_and(|flow| flow.track == id) {
            self.flows.remove(key);
        }
    }

    /// Unless the record is another connection's by now.
    pub fn forget(&self, client: &FlowKey, id: TrackId) {
        if self.tracks.get(client).is_some_and(|track| track.id == id) {
            self.tracks.remove(client);
        }
        if self.arms.get(client).is_some_and(|arm| arm.id == id) {
            self.arms.remove(client);
        }
    }
}

/// Of the client's packets.
fn client_key(key: &FlowKey, flow: &Flow) -> FlowKey {
    match flow.direction {
        Direction::ToBackend => *key,
        Direction::ToClient => flow.twin(key.local),
    }
}
