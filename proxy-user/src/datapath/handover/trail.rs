//! The record that the program has kept of a client since its SYN, as the agent finds it when it has
//! accepted the connection.

use std::{
    net::SocketAddr,
    num::NonZeroU16,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use proxy_common::{
    addr::Addr,
    flow::FlowKey,
    stamp::Stamp,
    track::{Leg, Stage, Track, TrackId},
};

use super::{Handover, counts::Obstacle};
use crate::datapath::kernel::records::Records;

/// Whoever holds it may hand the connection over; with it the record goes, unless the connection is
/// the program's by then.
#[derive(Debug)]
pub struct Trail {
    pub handover: Arc<Handover>,
    pub client: FlowKey,
    pub id: TrackId,
    /// When the SYN came.
    pub began: Stamp,
    /// The largest segment that the client takes, bytes, where that is less than we take ourselves.
    pub segment: Option<NonZeroU16>,
    is_taken: AtomicBool,
    /// The connection may be the program's.
    was_armed: AtomicBool,
}

/// The right to connect to a backend on record: one at a time has it.
#[derive(Debug)]
pub struct Turn(Arc<Trail>);

impl Trail {
    /// `local` and `peer`: of the accepted socket.
    pub fn find(
        handover: &Arc<Handover>,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Result<Arc<Self>, Obstacle> {
        let client = handover.key(local, peer).ok_or(Obstacle::OtherAddress)?;
        let track = handover.records.tracks.get(&client).ok_or(Obstacle::NoRecord)?;
        if track.id == TrackId::NONE || track.stage == Stage::HandedOver {
            return Err(Obstacle::NoRecord);
        }
        Ok(Arc::new(Self {
            handover: handover.clone(),
            client,
            id: track.id,
            began: track.began,
            segment: smaller(&track.client),
            is_taken: AtomicBool::new(false),
            was_armed: AtomicBool::new(false),
        }))
    }

    /// The same family: packets are forwarded as what they are.
    pub fn suits(&self, backend: SocketAddr) -> bool {
        Addr::from(backend.ip()).family() == self.client.remote.family()
    }

    pub fn records(&self) -> &Records {
        &self.handover.records
    }

    /// `None`: it is not kept any more, and the connection is relayed to its end.
    pub fn track(&self) -> Option<Track> {
        self.records().tracks.get(&self.client).filter(|track| track.id == self.id)
    }

    pub fn is_handed_over(&self) -> bool {
        self.track().is_some_and(|track| track.stage == Stage::HandedOver)
    }

    pub fn was_armed(&self) {
        self.was_armed.store(true, Relaxed);
    }

    /// `None` while another has it.
    pub fn turn(self: &Arc<Self>) -> Option<Turn> {
        (!self.is_taken.swap(true, Relaxed)).then(|| Turn(self.clone()))
    }
}

fn smaller(client: &Leg) -> Option<NonZeroU16> {
    NonZeroU16::new(client.peer.mss).filter(|segment| segment.get() < client.own.mss)
}

impl Drop for Trail {
    fn drop(&mut self) {
        let is_relayed = || self.track().is_some_and(|track| track.stage == Stage::Relayed);
        if !self.was_armed.load(Relaxed) || is_relayed() {
            self.records().tracks.remove(&self.client);
        }
    }
}

impl Turn {
    pub fn trail(&self) -> &Trail {
        &self.0
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.is_taken.store(false, Relaxed);
    }
}
