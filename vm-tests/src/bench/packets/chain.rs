//! Flows of which each leads to the next: what a packet of one is turned into is a packet of another.
//!
//! The kernel repeats a run on what the run before has left. With these flows that is never the same
//! flow again, so that a large table costs what it costs among many connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proxy_common::{
    addr::{Addr, Family, Port},
    backend::BackendId,
    config::LocalId,
    flow::{Direction, Flow, FlowKey, Half},
    stamp::Stamp,
    track::{Stage, TrackId},
};
use proxy_ebpf::{fake::Tcp, parse::Flags};

use super::Kind;
use crate::wire::MTU;

/// A packet loses a hop at each, and has 255.
pub(super) const STEPS: u32 = 250;
pub(super) const BACKEND: BackendId = BackendId(1);

/// The two ports of a flow come from different ranges, so that its two keys never meet.
const LOW: (u32, u32) = (1_024, 31_744);
const HIGH: (u32, u32) = (32_768, 32_767);
/// Has no factor in common with the number of all pairs, so that each comes once.
const STRIDE: u64 = 1_000_003;
/// Those that nearly every segment has: two that do nothing, and timestamps.
const OPTIONS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1];

pub(super) struct Chain {
    family: Family,
    ports: Vec<(Port, Port)>,
}

impl Chain {
    pub(super) fn new(family: Family, flows: u32) -> Self {
        let pairs = u64::from(LOW.1) * u64::from(HIGH.1);
        let port = |first: u32, offset: u64| {
            Port::new(u16::try_from(u64::from(first) + offset).unwrap_or_default())
        };
        let ports = (0..u64::from(flows)).map(|flow| {
            let pair = flow * STRIDE % pairs;
            (port(LOW.0, pair % u64::from(LOW.1)), port(HIGH.0, pair / u64::from(LOW.1)))
        });
        Self { family, ports: ports.collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.ports.len()
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    /// The proxy's, and everybody else's: no host of the lab has it, so that there is a way out to it.
    pub(super) fn address(&self) -> IpAddr {
        address(self.family)
    }

    /// Source and destination port of its packets.
    pub(super) fn ports(&self, flow: usize) -> (u16, u16) {
        let (remote, local) = self.ports[flow % self.len()];
        (remote.get(), local.get())
    }

    /// A packet of this flow. Data is as much as the proxy's link takes: XDP finds no way out for
    /// more.
    pub(super) fn segment(&self, flow: usize, kind: Kind) -> Tcp {
        let (source, destination) = self.ports(flow);
        let at = self.address();
        let flags = if kind == Kind::Fin { Flags::FIN | Flags::ACK } else { Flags::ACK };
        let segment = Tcp::new((at, source), (at, destination), flags);
        let payload = if kind == Kind::Data { vec![0; self.room()] } else { Vec::new() };
        Tcp { hops: u8::MAX, options: OPTIONS.into(), payload, ..segment }
    }

    /// Behind the headers of a full packet.
    fn room(&self) -> usize {
        const TCP: usize = 20 + OPTIONS.len();
        let ip = if self.family == Family::V4 { 20 } else { 40 };
        MTU as usize - ip - TCP
    }

    /// The two of each flow.
    pub(super) fn entries(&self) -> impl Iterator<Item = (FlowKey, Flow)> {
        let next = self.ports.iter().cycle().skip(1);
        self.ports.iter().zip(next).flat_map(|(own, next)| {
            let there = self.flow((next.0, next.1), Direction::ToBackend);
            let back = self.flow((own.1, own.0), Direction::ToClient);
            [(self.key(own.0, own.1), there), (self.key(next.1, next.0), back)]
        })
    }

    fn key(&self, remote_port: Port, local_port: Port) -> FlowKey {
        let remote = Addr::from(self.address());
        FlowKey { remote, remote_port, local_port, local: LocalId(self.family as u16), padding: 0 }
    }

    /// Goes out from the first port to the second.
    fn flow(&self, (own_port, peer_port): (Port, Port), direction: Direction) -> Flow {
        Flow {
            bytes: 0,
            peer: Addr::from(self.address()),
            peer_port,
            own_port,
            backend: BACKEND,
            direction,
            half: Half::Open,
            packets: 0,
            acked: 0,
            opened: Stamp::default(),
            seen: Stamp::default(),
            track: TrackId::NONE,
            stage: Stage::Relayed,
        }
    }
}

pub(super) const fn address(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(10, 0, 99, 1)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0x99, 0, 0, 0, 1)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_flow_has_its_two_entries_and_leads_to_the_next() {
        let chain = Chain::new(Family::V4, 1_000);
        let table: HashMap<_, _> = chain.entries().collect();
        assert_eq!(table.len(), 2_000);
        let key = |flow| {
            let (remote, local) = chain.ports(flow);
            chain.key(Port::new(remote), Port::new(local))
        };
        for at in 0..chain.len() {
            let flow = table[&key(at)];
            assert_eq!(flow.direction, Direction::ToBackend);
            assert_eq!(chain.key(flow.own_port, flow.peer_port), key(at + 1));
            let twin = table[&flow.twin(LocalId(0))];
            assert_eq!((twin.direction, twin.twin(LocalId(0))), (Direction::ToClient, key(at)));
        }
    }

    #[test]
    fn data_fills_a_packet_and_nothing_else_carries_any() {
        const ETHERNET: usize = 14;
        for (family, headers) in [(Family::V4, 20 + 32), (Family::V6, 40 + 32)] {
            let chain = Chain::new(family, 2);
            let bytes = |kind| chain.segment(0, kind).frame().bytes().len() - ETHERNET;
            assert_eq!([Kind::Data, Kind::Ack, Kind::Fin].map(bytes), [1500, headers, headers]);
        }
    }
}
