//! The entries of one connection in the flow table, from before its backend is connected to until it
//! ends on the relay, or is the program's.

use std::io;

use proxy_common::{
    addr::{Addr, Port},
    backend::BackendId,
    flow::{Direction, Flow, FlowKey, Half},
    track::{Arm, Seed, Stage, Track, TrackId},
};

use super::{
    kept::{Connection, Frame},
    trail::{Trail, Turn},
};
use crate::datapath::{kernel, tcp::Numbers};

/// Entered for one backend: its packets are on record. The client gets an entry of its own when it is
/// armed: until then the program keeps its record by the port that it listens on.
#[derive(Debug)]
pub struct Passage {
    turn: Turn,
    to: Backend,
    /// Of the backend's packets.
    key: FlowKey,
    /// Its client is entered too.
    has_client: bool,
    is_left: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Backend {
    pub address: Addr,
    pub port: Port,
    pub id: BackendId,
}

impl Passage {
    /// With a source port that no other connection to this backend has; if one has it, the error is
    /// of kind `AlreadyExists`.
    pub fn enter(turn: Turn, to: Backend, source: Port) -> io::Result<Self> {
        let trail = turn.trail();
        let key = FlowKey {
            remote: to.address,
            remote_port: to.port,
            local_port: source,
            local: trail.client.local,
            padding: 0,
        };
        let entry = entry(trail, &trail.client, Direction::ToClient, to.id);
        trail.records().flows.add(&key, &entry)?;
        Ok(Self { turn, to, key, has_client: false, is_left: false })
    }

    pub const fn source(&self) -> Port {
        self.key.local_port
    }

    pub fn trail(&self) -> &Trail {
        self.turn.trail()
    }

    pub fn is_handed_over(&self) -> bool {
        self.has_client && self.trail().is_handed_over()
    }

    /// The client's packets get an entry too. Before its socket falls silent: what an agent leaves
    /// silent when it dies, the next one finds by this entry. The error is of kind `AlreadyExists` if
    /// the entry is another connection's.
    pub fn enter_client(&mut self) -> io::Result<()> {
        if self.has_client {
            return Ok(());
        }
        let trail = self.turn.trail();
        let entry = entry(trail, &self.key, Direction::ToBackend, self.to.id);
        trail.records().flows.add(&trail.client, &entry)?;
        trail.handover.kept.armed(trail.client);
        trail.was_armed();
        self.has_client = true;
        Ok(())
    }

    /// From now on the program may take the connection over with any packet, if its client has been
    /// entered. Both sockets' numbers are of one moment at which user space holds no byte.
    pub fn arm(&self, client: Numbers, backend: Numbers) -> io::Result<()> {
        let trail = self.turn.trail();
        trail.records().arms.put(&trail.client, &arm(trail.id, client, backend))
    }

    /// It is the program's: entries and record stay, and the account goes on.
    pub fn keep(mut self, connection: impl FnOnce(Frame) -> Connection) {
        self.is_left = true;
        let trail = self.trail();
        let track = trail.track().unwrap_or(Track::EMPTY);
        let frame = Frame::new([trail.client, self.key], &Track { id: trail.id, ..track });
        trail.handover.kept.keep(connection(frame));
    }

    /// Nothing is taken over any more, unless it has been.
    pub fn disarm(&self) {
        let trail = self.trail();
        trail.records().arms.remove(&trail.client);
    }
}

impl Drop for Passage {
    /// Without entries nothing is taken over.
    fn drop(&mut self) {
        if self.is_left {
            return;
        }
        let trail = self.trail();
        let records = trail.records();
        if !self.has_client {
            // Nobody else's: the port was this connection's until now. Most end here, and soon.
            records.flows.remove(&self.key);
            return;
        }
        // First of all, so that it is not taken over in between.
        records.arms.remove(&trail.client);
        if !self.is_handed_over() {
            records.remove_entry(&self.key, trail.id);
            records.remove_entry(&trail.client, trail.id);
        }
        trail.handover.kept.forget(&trail.client);
    }
}

/// `to`: the key of the other end's packets.
fn entry(trail: &Trail, to: &FlowKey, direction: Direction, backend: BackendId) -> Flow {
    Flow {
        bytes: 0,
        peer: to.remote,
        peer_port: to.remote_port,
        own_port: to.local_port,
        backend,
        direction,
        half: Half::Open,
        packets: 0,
        acked: 0,
        opened: trail.began,
        seen: kernel::now().unwrap_or(trail.began),
        track: trail.id,
        stage: Stage::Relayed,
    }
}

/// Offsets are constant for as long as every byte is passed on, whatever is still on its way.
fn arm(id: TrackId, client: Numbers, backend: Numbers) -> Arm {
    let read = |numbers: Numbers| numbers.receive_next.wrapping_sub(numbers.unread);
    let seed = |numbers: Numbers| Seed {
        end: numbers.receive_next,
        acked: numbers.write_next.wrapping_sub(numbers.unacknowledged),
    };
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
