//! The accounts of connections that the program carries and this agent has accepted: what they have
//! moved, and how they end. What an earlier agent has accepted only the flow table knows.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use proxy_common::{
    addr::Family,
    event::{Change, FlowEvent},
    flow::{Direction, Flow, FlowKey, Half, Life},
    track::{Offer, Track, TrackId},
};

use crate::datapath::{
    kernel::records::Records,
    ledger::Entry,
    limits::{Place, Seat},
    tally::lock,
};

#[derive(Debug, Default)]
pub struct Kept {
    slots: Mutex<HashMap<FlowKey, Slot>>,
    open: AtomicU64,
}

#[derive(Debug)]
enum Slot {
    /// Its end may be told before the agent has seen that it was handed over.
    Armed,
    Ended(FlowEvent),
    Open(Box<Connection>),
}

/// For as long as the program carries it, what it takes up stays taken.
#[derive(Debug)]
pub struct Connection {
    pub entry: Entry,
    pub place: Place,
    /// `None` where nobody has set a limit to the connections in all: this one needs no descriptors.
    pub seat: Option<Seat>,
    pub is_logged: bool,
    pub frame: Frame,
}

/// How to find a connection in the flow table, and what its packets bear.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Of the client's packets, and of the backend's.
    pub keys: [FlowKey; 2],
    pub id: TrackId,
    /// Bytes of a packet that are not payload, but for SACK blocks.
    pub headers: u64,
    /// Payload that the account has of the program's already, to the backend and to the client.
    pub counted: [u64; 2],
}

impl Frame {
    pub const fn new(keys: [FlowKey; 2], track: &Track) -> Self {
        let ip = match keys[0].remote.family() {
            Family::V4 => 20,
            Family::V6 => 40,
        };
        let stamps = if track.client.agreed() & Offer::TIMESTAMPS != 0 { 12 } else { 0 };
        Self { keys, id: track.id, headers: ip + 20 + stamps, counted: [0; 2] }
    }

    const fn payload(&self, bytes: u64, packets: u32) -> u64 {
        bytes.saturating_sub(packets as u64 * self.headers)
    }
}

impl Connection {
    fn account_for(&mut self, direction: Direction, bytes: u64, packets: u32) {
        let total = self.frame.payload(bytes, packets);
        let counted = &mut self.frame.counted[direction as usize];
        self.entry.moved_by_program(direction, total.saturating_sub(*counted));
        *counted = total.max(*counted);
    }

    fn end(mut self, event: &FlowEvent) {
        let (up, down) = (event.packets_to_backend, event.packets_to_client);
        self.account_for(Direction::ToBackend, event.bytes_to_backend, up);
        self.account_for(Direction::ToClient, event.bytes_to_client, down);
        self.close(event.change().unwrap_or(Change::Finished));
    }

    fn close(self, why: Change) {
        if self.is_logged {
            self.entry.log("handover", Some(why.as_str()));
        }
    }

    /// What the table says of it; how it has ended, if it has.
    fn look(&mut self, records: &Records) -> Option<Change> {
        let [client, backend] = self
            .frame
            .keys
            .map(|key| records.flows.get(&key).filter(|flow| flow.track == self.frame.id));
        for (flow, direction) in [(&client, Direction::ToBackend), (&backend, Direction::ToClient)]
        {
            if let Some(flow) = flow {
                self.account_for(direction, flow.bytes, flow.packets);
            }
        }
        ending(client.as_ref(), backend.as_ref())
    }
}

/// `None` while it goes on. One that has left the table was ended by a SYN of its client's.
fn ending(client: Option<&Flow>, backend: Option<&Flow>) -> Option<Change> {
    let (Some(client), Some(backend)) = (client, backend) else { return Some(Change::Finished) };
    match (Life::of(client.half, backend.half), client.half, backend.half) {
        (Life::Closed, Half::Reset, _) => Some(Change::ResetByClient),
        (Life::Closed, _, Half::Reset) => Some(Change::ResetByBackend),
        (Life::Closed, ..) => Some(Change::Finished),
        (Life::Opening | Life::Open, ..) => None,
    }
}

impl Kept {
    /// From now on the program may take it over.
    pub fn armed(&self, client: FlowKey) {
        let earlier = lock(&self.slots).insert(client, Slot::Armed);
        self.over(earlier);
    }

    /// It ended on the relay, or nobody is left to keep its account.
    pub fn forget(&self, client: &FlowKey) {
        lock(&self.slots).remove(client);
    }

    pub fn keep(&self, connection: Connection) {
        connection.entry.handed_over();
        let client = connection.frame.keys[0];
        let mut slots = lock(&self.slots);
        match slots.remove(&client) {
            Some(Slot::Ended(event)) => {
                drop(slots);
                connection.end(&event);
            }
            earlier => {
                self.open.fetch_add(1, Relaxed);
                slots.insert(client, Slot::Open(Box::new(connection)));
                drop(slots);
                self.over(earlier);
            }
        }
    }

    /// Is it one of these? Then it is closed here.
    pub fn end(&self, event: &FlowEvent) -> bool {
        let client = client_key(event);
        let mut slots = lock(&self.slots);
        match slots.remove(&client) {
            None => false,
            Some(Slot::Armed | Slot::Ended(_)) => {
                slots.insert(client, Slot::Ended(*event));
                true
            }
            Some(Slot::Open(connection)) => {
                drop(slots);
                self.open.fetch_sub(1, Relaxed);
                connection.end(event);
                true
            }
        }
    }

    /// Brings all accounts up to date, and closes what has ended unheard.
    pub fn look(&self, records: &Records) {
        let mut slots = lock(&self.slots);
        let ended = slots.extract_if(|_, slot| match slot {
            Slot::Open(connection) => connection.look(records).is_some(),
            Slot::Armed | Slot::Ended(_) => false,
        });
        let ended: Vec<_> = ended.map(|(_, slot)| slot).collect();
        drop(slots);
        for slot in ended {
            if let Slot::Open(mut connection) = slot {
                self.open.fetch_sub(1, Relaxed);
                let why = connection.look(records).unwrap_or(Change::Finished);
                connection.close(why);
            }
        }
    }

    pub fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// Another connection of the same client's port has taken its place.
    fn over(&self, earlier: Option<Slot>) {
        if let Some(Slot::Open(connection)) = earlier {
            self.open.fetch_sub(1, Relaxed);
            connection.close(Change::Finished);
        }
    }
}

const fn client_key(event: &FlowEvent) -> FlowKey {
    FlowKey {
        remote: event.client,
        remote_port: event.client_port,
        local_port: event.listen,
        local: event.local,
        padding: 0,
    }
}

#[cfg(test)]
mod tests;
