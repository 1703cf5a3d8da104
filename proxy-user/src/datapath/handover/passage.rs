//! One connection's way into the flow table: from before its backend is connected to, when it is no
//! more than a source port, until it ends on the relay, or is the program's.

use std::io;

use proxy_common::{
    addr::{Addr, Port},
    backend::BackendId,
    flow::{Direction, Flow, FlowKey, Half},
    track::{Arm, Seed, Stage, Track, TrackId},
};

use super::{
    kept::{Connection, Frame},
    legs::Legs,
    prospect::Prospect,
};
use crate::{
    datapath::kernel::{self, records::Records},
    tcp::Numbers,
};

#[derive(Debug)]
pub struct Passage {
    pub prospect: Prospect,
    pub to: Backend,
    /// Of the backend's packets.
    key: FlowKey,
    /// Of its record.
    id: TrackId,
    is_entered: bool,
    is_left: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Backend {
    pub address: Addr,
    pub port: Port,
    pub id: BackendId,
    /// The largest segment that it takes, in bytes; 0 where that is not known.
    pub takes: u16,
}

impl Passage {
    pub fn new(prospect: Prospect, to: Backend, source: Port) -> Self {
        let key = FlowKey {
            remote: to.address,
            remote_port: to.port,
            local_port: source,
            local: prospect.client.local,
            padding: 0,
        };
        let id = TrackId(fastrand::u32(1..));
        Self { prospect, to, key, id, is_entered: false, is_left: false }
    }

    /// By a connection of which the kernel has no socket. None comes to be so before ours is
    /// connected: its own socket would have to be gone, and until then the kernel refuses us the port.
    /// Should it happen after all, the backend answers us as that connection, and not at all.
    pub fn is_port_taken(&self) -> bool {
        self.records().flows.get(&self.key).is_some()
    }

    fn records(&self) -> &Records {
        &self.prospect.handover.records
    }

    /// `None`: it has no record, or none any more.
    fn track(&self) -> Option<Track> {
        let track = self.records().tracks.get(&self.prospect.client);
        track.filter(|track| track.id == self.id)
    }

    pub fn is_handed_over(&self) -> bool {
        self.is_entered && self.track().is_some_and(|track| track.stage == Stage::HandedOver)
    }

    /// From now on its packets are on record; the entries are also by what the next agent finds what
    /// this one leaves silent when it dies. The error is of kind `AlreadyExists` where an entry is
    /// another connection's.
    ///
    /// Entries first: a record without them is nobody's.
    pub fn enter(&mut self, legs: &Legs) -> io::Result<()> {
        self.add(legs).inspect_err(|_| self.take_away())?;
        self.is_entered = true;
        self.prospect.handover.kept.armed(self.prospect.client);
        Ok(())
    }

    fn add(&self, legs: &Legs) -> io::Result<()> {
        let Legs { client, backend, acked: [by_client, by_backend] } = *legs;
        let (records, of_client) = (self.records(), &self.prospect.client);
        records.flows.add(&self.key, &self.entry(of_client, Direction::ToClient, by_backend))?;
        records.flows.add(of_client, &self.entry(&self.key, Direction::ToBackend, by_client))?;
        let (id, began) = (self.id, self.prospect.accepted);
        let track = Track { id, began, client, backend, ..Track::EMPTY };
        records.tracks.add(of_client, &track)
    }

    /// What is another connection's stays.
    fn take_away(&self) {
        let (records, client) = (self.records(), &self.prospect.client);
        records.remove_entry(&self.key, self.id);
        records.remove_entry(client, self.id);
        records.forget(client, self.id);
    }

    /// `to`: the key of the other end's packets.
    fn entry(&self, to: &FlowKey, direction: Direction, acked: u32) -> Flow {
        let opened = self.prospect.accepted;
        Flow {
            bytes: 0,
            peer: to.remote,
            peer_port: to.remote_port,
            own_port: to.local_port,
            backend: self.to.id,
            direction,
            half: Half::Open,
            packets: 0,
            acked,
            opened,
            seen: kernel::now().unwrap_or(opened),
            track: self.id,
            stage: Stage::Relayed,
        }
    }

    /// From now on the program may take the connection over with any packet. Both sockets' numbers are
    /// of one moment at which user space holds no byte, and a grace period after it was entered.
    pub fn arm(&self, client: Numbers, backend: Numbers) -> io::Result<()> {
        self.records().arms.put(&self.prospect.client, &arm(self.id, client, backend))
    }

    /// It is the program's: entries and record stay, and the account goes on.
    pub fn keep(mut self, connection: impl FnOnce(Frame) -> Connection) {
        self.is_left = true;
        let track = self.track().unwrap_or(Track::EMPTY);
        let keys = [self.prospect.client, self.key];
        let frame = Frame::new(keys, &Track { id: self.id, ..track });
        self.prospect.handover.kept.keep(connection(frame));
    }

    /// Nothing is taken over any more, unless it has been.
    pub fn disarm(&self) {
        self.records().arms.remove(&self.prospect.client);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if self.is_left || !self.is_entered {
            return;
        }
        let (records, client) = (self.records(), &self.prospect.client);
        // First of all, so that it is not taken over in between.
        records.arms.remove(client);
        if !self.is_handed_over() {
            self.take_away();
        }
        self.prospect.handover.kept.forget(client);
    }
}

/// Offsets are constant for as long as every byte is passed on, whatever is still on its way.
fn arm(id: TrackId, client: Numbers, backend: Numbers) -> Arm {
    let read = |numbers: Numbers| numbers.receive_next.wrapping_sub(numbers.unread);
    let seed = |numbers: Numbers| Seed { end: numbers.receive_next, acked: numbers.acked() };
    Arm {
        id,
        to_backend: backend.write_next.wrapping_sub(read(client)),
        to_client: client.write_next.wrapping_sub(read(backend)),
        client: seed(client),
        backend: seed(backend),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_lead_from_what_was_read_to_what_is_written_next() {
        let client = Numbers { write_next: 9, unacknowledged: 4, receive_next: 1_000, unread: 10 };
        let backend =
            Numbers { write_next: 5_000, unacknowledged: 1, receive_next: u32::MAX, unread: 0 };
        let arm = arm(TrackId(7), client, backend);
        assert_eq!((arm.to_backend, arm.to_client), (5_000 - 990, 10));
        assert_eq!(arm.client, Seed { end: 1_000, acked: 5 });
        assert_eq!(arm.backend, Seed { end: u32::MAX, acked: 4_999 });
        let later = Numbers { receive_next: 1_005, unread: 15, ..client };
        let again = super::arm(TrackId(7), later, backend);
        assert_eq!(again.to_backend, arm.to_backend, "whatever arrives");
    }
}
