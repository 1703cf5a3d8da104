//! The connections of a dead backend end at both ends, and no other does. Needs root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod detach {
    pub mod netns;
}
#[path = "netns/links.rs"]
mod links;

use std::{
    collections::BTreeSet,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use aya::maps::{Map, MapData};
use detach::netns::{Place, inside};
use links::LINKS;
use proxy_common::{
    LAYOUT,
    addr::{Addr, Port},
    backend::BackendId,
    config::LocalId,
    event::Change,
    flow::{Direction, Flow, FlowKey, Half},
    stamp::Stamp,
    track::{Stage, TrackId},
};
use proxy_user::datapath::kernel::{
    Hook,
    records::FlowTable,
    reset::{Doomed, Sum},
};
use socket2::{Domain, Protocol, Socket, Type};

/// The other end of the pair: here it is client and backend.
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 10, 2);
const LISTEN: u16 = 443;
const CONNECTIONS: u16 = 5;
const DEAD: u16 = 1_000;
const ALIVE: u16 = 1_001;
const RST: u8 = 0x04;

fn table(place: &Place) -> FlowTable {
    let data = MapData::from_pin(place.pin_dir.join(format!("layout-{LAYOUT}/FLOWS"))).unwrap();
    FlowTable::try_from(Map::HashMap(data)).unwrap()
}

fn key(remote_port: u16, local_port: u16) -> FlowKey {
    FlowKey {
        remote: Addr::from(OTHER),
        remote_port: Port::new(remote_port),
        local_port: Port::new(local_port),
        local: LocalId(0),
        padding: 0,
    }
}

/// From client port `n` to a backend's port, with source port 10,000 + `n`.
fn insert(table: &FlowTable, n: u16, backend: u16) {
    let flow = |direction, peer_port, own_port, acked| Flow {
        bytes: 0,
        peer: Addr::from(OTHER),
        peer_port: Port::new(peer_port),
        own_port: Port::new(own_port),
        backend: BackendId(1),
        direction,
        half: Half::Open,
        packets: 0,
        acked,
        opened: Stamp::default(),
        seen: Stamp::default(),
        track: TrackId::NONE,
        stage: Stage::Relayed,
    };
    let source = 10_000 + n;
    let there = flow(Direction::ToBackend, backend, source, u32::from(n));
    let back = flow(Direction::ToClient, n, LISTEN, u32::from(source));
    table.add(&key(n, LISTEN), &there).unwrap();
    table.add(&key(backend, source), &back).unwrap();
}

fn doomed(port: u16) -> Doomed {
    Doomed::from([(SocketAddr::from((OTHER, port)), Change::Drained)])
}

/// Source port, destination port and sequence number of the next RST.
fn next_rst(raw: &mut Socket) -> (u16, u16, u32) {
    let mut packet = [0; 2_048];
    let length = raw.read(&mut packet).expect("a RST before the deadline");
    let tcp = &packet[20..length];
    assert_eq!(tcp[13], RST);
    let word = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    (word(0), word(2), u32::from(word(4)) << 16 | u32::from(word(6)))
}

#[test]
fn both_ends_hear_of_it_with_the_number_that_they_expect() {
    inside("reset", |place| {
        let mut kernel = place.attach(LINKS[0], Hook::Tcx).unwrap();
        let table = table(place);
        (1..=CONNECTIONS).for_each(|n| insert(&table, n, DEAD));
        insert(&table, 100, ALIVE);
        let mut raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP)).unwrap();
        raw.set_read_timeout(Some(Duration::from_secs(10))).unwrap();

        kernel.bury(doomed(DEAD)).unwrap();
        let (mut steps, mut told) = (0, Vec::new());
        let sum = loop {
            let (resets, ended) = kernel.reset().unwrap();
            told.extend(ended);
            steps += 1;
            if resets.is_over {
                break resets.sum;
            }
        };
        let sent = 2 * u64::from(CONNECTIONS);
        let connections = u64::from(CONNECTIONS);
        assert_eq!(sum, Sum { connections, sent, error: None });
        assert_eq!(steps, usize::from(CONNECTIONS), "they are spread");
        assert!(told.iter().all(|event| event.change() == Some(Change::Drained)));
        let told: BTreeSet<_> = told.iter().map(|event| event.client_port.get()).collect();
        assert_eq!(told, (1..=CONNECTIONS).collect());

        let heard: BTreeSet<_> = (0..sent).map(|_| next_rst(&mut raw)).collect();
        let expected = (1..=CONNECTIONS).flat_map(|n| {
            let source = 10_000 + n;
            [(LISTEN, n, u32::from(n)), (source, DEAD, u32::from(source))]
        });
        assert_eq!(heard, expected.collect());
        let left: BTreeSet<_> =
            table.iter().map(|entry| entry.unwrap().0.remote_port.get()).collect();
        assert_eq!(left, BTreeSet::from([100, ALIVE]));
    });
}

#[test]
fn a_second_death_amid_the_resets_of_the_first_leaves_none_out_of_the_sum() {
    inside("reset-twice", |place| {
        let mut kernel = place.attach(LINKS[0], Hook::Tcx).unwrap();
        let table = table(place);
        (1..=CONNECTIONS).for_each(|n| insert(&table, n, DEAD));
        (11..=10 + CONNECTIONS).for_each(|n| insert(&table, n, ALIVE));
        kernel.bury(doomed(DEAD)).unwrap();
        let (first, _) = kernel.reset().unwrap();
        assert_eq!((first.sum.connections, first.is_over), (1, false), "it is amid them");

        kernel.bury(doomed(ALIVE)).unwrap();
        let sum = loop {
            let (resets, _) = kernel.reset().unwrap();
            if resets.is_over {
                break resets.sum;
            }
        };
        let connections = 2 * u64::from(CONNECTIONS);
        assert_eq!(sum, Sum { connections, sent: 2 * connections, error: None });
        assert_eq!(table.iter().count(), 0);
    });
}
