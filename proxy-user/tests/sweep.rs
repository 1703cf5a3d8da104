//! Sweeping a flow table of its own, in the kernel. Needs root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::{
    collections::HashSet,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use proxy_common::{
    addr::{Addr, Port},
    backend::BackendId,
    config::LocalId,
    flow::{Direction, Flow, FlowKey, Half},
    stamp::Stamp,
    track::{Stage, Track, TrackId},
};
use proxy_user::{
    config::FlowTimeouts,
    datapath::{
        age::MaxAge,
        kernel::{records::Records, scan::STEP, sweep::Sweep},
    },
};

const MILLION: u32 = 1_000_000;
const LISTEN: u16 = 443;

fn table(entries: u32) -> Records {
    Records::create(entries).expect("maps; this needs root")
}

fn at(seconds: u64) -> Stamp {
    Stamp::from_nanos(seconds * 1_000_000_000)
}

fn flow(peer: Addr, direction: Direction, half: Half, seen: Stamp) -> Flow {
    Flow {
        bytes: 0,
        peer,
        peer_port: Port::new(LISTEN),
        own_port: Port::new(LISTEN),
        backend: BackendId(3),
        direction,
        half,
        packets: 0,
        acked: 0,
        opened: seen,
        seen,
        track: TrackId::NONE,
        stage: Stage::Relayed,
    }
}

fn key(remote: Addr) -> FlowKey {
    FlowKey {
        remote,
        remote_port: Port::new(LISTEN),
        local_port: Port::new(LISTEN),
        local: LocalId(0),
        padding: 0,
    }
}

/// Both entries of the `n`th connection.
fn insert(table: &Records, n: u32, halves: [Half; 2], seen: Stamp) {
    let [client, backend] =
        [0x0a00_0000, 0x0b00_0000].map(|net| Addr::from(Ipv4Addr::from_bits(net + n)));
    let [to_backend, to_client] = halves;
    let entries = [
        (key(client), flow(backend, Direction::ToBackend, to_backend, seen)),
        (key(backend), flow(client, Direction::ToClient, to_client, seen)),
    ];
    entries.iter().for_each(|(key, flow)| table.flows.add(key, flow).unwrap());
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Round {
    deleted: u64,
    unseen: u64,
    left: u64,
}

/// A whole round, and the time that its longest step took.
fn round(sweep: &mut Sweep, table: &Records, now: Stamp) -> (Round, Duration) {
    let (mut round, mut longest) = (Round::default(), Duration::ZERO);
    loop {
        let began = Instant::now();
        let step = sweep.step(table, now).unwrap();
        longest = longest.max(began.elapsed());
        assert!(step.looked_at <= STEP && step.deleted <= 2 * STEP as u64, "{step:?}");
        round.deleted += step.deleted;
        round.unseen += step.ended.len() as u64;
        if let Some(left) = step.left {
            return (Round { left, ..round }, longest);
        }
    }
}

#[test]
fn each_round_deletes_what_is_over_by_then_and_counts_each_connection_once() {
    const EACH: u32 = 5_000;
    let table = table(65_536);
    let kinds =
        [[Half::Opening, Half::Opening], [Half::Open, Half::Open], [Half::Done, Half::Done]];
    for (halves, kind) in kinds.into_iter().zip(0..) {
        (0..EACH).for_each(|n| insert(&table, kind * EACH + n, halves, at(100)));
    }
    let mut sweep = Sweep::new(FlowTimeouts::default(), None);
    let (connections, entries) = (u64::from(EACH), u64::from(2 * EACH));
    for (now, [deleted, unseen, left]) in [
        (at(105), [0, 0, 3 * entries]),
        (at(120), [entries, connections, 2 * entries]),
        (at(230), [entries, 0, entries]),
        (at(6_210), [entries, connections, 0]),
        (at(6_220), [0, 0, 0]),
    ] {
        let (round, _) = round(&mut sweep, &table, now);
        assert_eq!(round, Round { deleted, unseen, left }, "{now:?}");
    }
}

#[test]
fn open_connections_older_than_they_may_be_are_named_a_few_in_each_step() {
    const EACH: u32 = 200;
    let table = table(65_536);
    let kinds = [[Half::Open, Half::Open], [Half::Open, Half::Done], [Half::Done, Half::Done]];
    for (halves, kind) in kinds.into_iter().zip(0..) {
        (0..EACH).for_each(|n| insert(&table, kind * EACH + n, halves, at(1_000)));
    }
    let max_age = MaxAge::new(Duration::from_secs(100));
    let mut sweep = Sweep::new(FlowTimeouts::default(), Some(max_age));
    assert_eq!(sweep.step(&table, at(1_089)).unwrap().old, []);
    let old = sweep.step(&table, at(1_111)).unwrap().old;
    assert_eq!(old.len(), 64);
    let open: HashSet<_> = (0..2 * EACH).map(client).collect();
    assert!(old.iter().all(|key| open.contains(&key.remote)), "towards the backend, and open");
    let mut forever = Sweep::new(FlowTimeouts::default(), None);
    assert_eq!(forever.step(&table, at(1_111)).unwrap().old, []);
}

#[test]
fn a_record_stays_with_its_entry_and_goes_without_it() {
    let table = table(64);
    let record = |id, client| (id, key(client), Track { id, ..Track::EMPTY });
    let records = [record(TrackId(1), client(1)), record(TrackId(2), client(2))];
    for (_, key, track) in &records {
        table.tracks.add(key, track).unwrap();
    }
    let (own, kept, _) = records[0];
    let entry = flow(client(9), Direction::ToBackend, Half::Open, at(100));
    table.flows.add(&kept, &Flow { track: own, ..entry }).unwrap();
    let (_, other, _) = records[1];
    table.flows.add(&other, &entry).unwrap();
    Sweep::new(FlowTimeouts::default(), None).step(&table, at(101)).unwrap();
    let left: Vec<_> = records.iter().map(|(_, key, _)| table.tracks.get(key).is_some()).collect();
    assert_eq!(left, [true, false], "the second's entry is another connection's");
}

fn client(n: u32) -> Addr {
    Addr::from(Ipv4Addr::from_bits(0x0a00_0000 + n))
}

#[test]
fn a_table_of_a_million_entries_is_swept_in_steps_of_bounded_size() {
    let table = table(MILLION);
    (0..MILLION / 2).for_each(|n| insert(&table, n, [Half::Open; 2], at(100)));
    let mut sweep = Sweep::new(FlowTimeouts::default(), None);
    let (entries, connections) = (u64::from(MILLION), u64::from(MILLION / 2));
    for (what, now, [deleted, unseen, left]) in [
        ("young", at(101), [0, 0, entries]),
        ("silent", at(200), [0, 0, entries]),
        ("over", at(7_000), [entries, connections, 0]),
    ] {
        let began = Instant::now();
        let (round, longest) = round(&mut sweep, &table, now);
        println!("{what}: a round took {:?}, its longest step {longest:?}", began.elapsed());
        assert_eq!(round, Round { deleted, unseen, left }, "{what}");
    }
}
