//! Ends the connections of backends that are dead: both ends get a RST, and the entries go.

mod segment;

use std::{collections::BTreeSet, io, net::SocketAddr, time::Duration};

use nix::libc::IPPROTO_RAW;
use proxy_common::{
    addr::socket,
    config::Config,
    event::{Change, FlowEvent, Halves},
    flow::{Direction, Flow, FlowKey, Half, Life},
    stamp::Stamp,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::scan::{FlowTable, Scan};

/// Between two steps.
pub const PACE: Duration = Duration::from_millis(10);

/// A round through the table, spread over a while: who is reset at once connects again at once.
pub struct Round {
    dead: BTreeSet<SocketAddr>,
    scan: Scan,
    is_read: bool,
    victims: Vec<FlowKey>,
    /// That there are to be.
    steps: usize,
    each_step: usize,
    wire: Wire,
    sum: Resets,
}

/// What a round has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resets {
    pub connections: u64,
    pub sent: u64,
    /// The newest of the RSTs that could not be sent.
    pub error: Option<String>,
    pub is_over: bool,
}

impl Round {
    /// `connections`: how many there are, about.
    pub fn new(dead: BTreeSet<SocketAddr>, connections: u64, window: Duration) -> Self {
        let steps = (window.as_millis() / PACE.as_millis()).max(1);
        let each_step = u128::from(connections).div_ceil(steps);
        Self {
            dead,
            scan: Scan::default(),
            is_read: false,
            victims: Vec::new(),
            steps: usize::try_from(steps).unwrap_or(usize::MAX),
            each_step: usize::try_from(each_step).unwrap_or(usize::MAX),
            wire: Wire::default(),
            sum: Resets::default(),
        }
    }

    /// What that one came to is part of this one's sum.
    pub fn instead_of(self, earlier: Self) -> Self {
        Self { sum: earlier.sum, ..self }
    }

    pub fn dead(&self) -> &BTreeSet<SocketAddr> {
        &self.dead
    }

    /// Resets a few; returns the sum so far, and those that ended without the program seeing it.
    pub fn step(
        &mut self,
        table: &mut FlowTable,
        config: &Config,
        now: Stamp,
    ) -> io::Result<(Resets, Vec<FlowEvent>)> {
        if self.victims.is_empty() && !self.is_read {
            self.is_read = self.scan.advance(table)?;
            let dead = &self.dead;
            let of_the_dead = self.scan.entries().filter(|(_, flow)| is_of(flow, dead));
            self.victims.extend(of_the_dead.map(|(key, _)| *key));
            // They may be more than were counted.
            self.each_step = self.each_step.max(self.victims.len().div_ceil(self.steps));
        }
        let few = self.victims.len().saturating_sub(self.each_step);
        let mut ended = Vec::new();
        for key in self.victims.split_off(few) {
            ended.extend(self.end(table, config, &key, now));
        }
        self.sum.is_over = self.is_read && self.victims.is_empty();
        Ok((self.sum.clone(), ended))
    }

    /// The entries as they are now: since they were read the connection may have gone on or ended.
    fn end(
        &mut self,
        table: &mut FlowTable,
        config: &Config,
        key: &FlowKey,
        now: Stamp,
    ) -> Option<FlowEvent> {
        let flow = table.get(key, 0).ok().filter(|flow| is_of(flow, &self.dead))?;
        let twin_key = flow.twin(key.local);
        let twin = table.get(&twin_key, 0).ok();
        for gone in [key, &twin_key] {
            // One that is gone already is what was wanted.
            let _gone = table.remove(gone);
        }
        if Life::of(flow.half, twin.map_or(Half::Reset, |twin| twin.half)) == Life::Closed {
            return None;
        }
        self.sum.connections += 1;
        for packet in packets(key, &flow, twin.as_ref(), config).into_iter().flatten() {
            match self.wire.send(&packet) {
                Ok(()) => self.sum.sent += 1,
                Err(error) => self.sum.error = Some(format!("{}: {error}", packet.to)),
            }
        }
        let halves = Halves::of(&flow, twin.as_ref()?, key.local);
        Some(FlowEvent::new(Change::BackendDown, &halves, now))
    }
}

fn is_of(flow: &Flow, dead: &BTreeSet<SocketAddr>) -> bool {
    flow.direction == Direction::ToBackend && dead.contains(&socket(flow.peer, flow.peer_port))
}

struct Packet {
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// To the client and to the backend, each with the sequence number that it expects next, which is
/// what it has acknowledged last. One that has acknowledged nothing has nothing to reset.
fn packets(
    key: &FlowKey,
    flow: &Flow,
    twin: Option<&Flow>,
    config: &Config,
) -> [Option<Packet>; 2] {
    let Some(local) = config.locals.get(usize::from(key.local.0)) else { return [None, None] };
    let packet = |port, to, acked| {
        let bytes = segment::rst(socket(*local, port), to, acked)?;
        (acked != 0).then_some(Packet { to, bytes })
    };
    let client = socket(key.remote, key.remote_port);
    let backend = socket(flow.peer, flow.peer_port);
    [
        packet(key.local_port, client, flow.acked),
        twin.and_then(|twin| packet(flow.own_port, backend, twin.acked)),
    ]
}

/// Opened when first needed, one for each family.
#[derive(Default)]
struct Wire {
    v4: Option<Socket>,
    v6: Option<Socket>,
}

impl Wire {
    fn send(&mut self, packet: &Packet) -> io::Result<()> {
        let (domain, place) = match packet.to {
            SocketAddr::V4(_) => (Domain::IPV4, &mut self.v4),
            SocketAddr::V6(_) => (Domain::IPV6, &mut self.v6),
        };
        let raw = match place {
            Some(raw) => raw,
            None => place.insert(open(domain)?),
        };
        // The packet names the port; a raw socket has none.
        raw.send_to(&packet.bytes, &SocketAddr::new(packet.to.ip(), 0).into()).map(drop)
    }
}

/// With this protocol the kernel takes the IP header as it is.
fn open(domain: Domain) -> io::Result<Socket> {
    let raw = Socket::new(domain, Type::RAW, Some(Protocol::from(IPPROTO_RAW)))?;
    raw.set_nonblocking(true)?;
    Ok(raw)
}
