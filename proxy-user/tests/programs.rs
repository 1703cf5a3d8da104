//! The programs in the running kernel, one packet at a time (BPF_PROG_TEST_RUN). Needs root.
//!
//! Here: whole connections through TC. Beside: rows for both hooks, and what random packets show.

#[path = "netns/links.rs"]
mod links;
mod programs {
    pub mod bench;
    mod checksums;
    pub mod connection;
    mod fuzz;
    mod handover;
    mod mss;
    mod place;
    mod round_trip;
    mod rows;
}

use programs::{
    bench::{Bench, Hook, Verdict},
    connection::{CPORT, Connection},
};
use proxy_common::{backend::BackendId, flow::Half, reason::Reason};
use proxy_ebpf::{
    fake::{CLIENT, CLIENT6, LISTEN, PROXY, PROXY6, Tcp, eni, eni6, key},
    parse::Flags,
};

const SYN: u8 = Flags::SYN;
const ACK: u8 = Flags::ACK;

fn from_client(flags: u8) -> Tcp {
    Tcp::new((CLIENT, CPORT), (PROXY, LISTEN), flags)
}

#[test]
fn a_connection_is_translated_both_ways_with_right_checksums() {
    for (client, proxy, eni) in [(CLIENT, PROXY, eni(1)), (CLIENT6, PROXY6, eni6(101))] {
        let mut bench = Bench::with_enis(1);
        let clients = |flags| Tcp::new((client, CPORT), (proxy, LISTEN), flags);
        let [from, to] = bench.forwards(&clients(SYN));
        assert_eq!((from.0, to), (proxy, (eni, 443)));
        let answer = bench.forwards(&Tcp::new(to, from, SYN | ACK));
        assert_eq!(answer, [(proxy, LISTEN), (client, CPORT)]);
        let data = Tcp { payload: (0..=255).collect(), ..clients(ACK) };
        assert_eq!(bench.forwards(&data), [from, to]);
    }
}

#[test]
fn the_table_tells_how_far_each_direction_has_come() {
    let mut bench = Bench::with_enis(1);
    let [(_, source), to] = bench.forwards(&from_client(SYN));
    let halves = |bench: &Bench| {
        let half = |key| bench.flow(&key).map(|flow| flow.half);
        (half(key((CLIENT, CPORT), LISTEN)), half(key((eni(1), 443), source)))
    };
    assert_eq!(halves(&bench), (Some(Half::Opening), Some(Half::Opening)));
    bench.forwards(&Tcp::new(to, (PROXY, source), SYN | ACK));
    bench.forwards(&from_client(ACK));
    assert_eq!(halves(&bench), (Some(Half::Open), Some(Half::Open)));
    bench.forwards(&from_client(Flags::FIN | ACK));
    assert_eq!(halves(&bench), (Some(Half::Done), Some(Half::Open)));
    assert_eq!(bench.load_of(BackendId(1)), (1, 0));
    bench.forwards(&Tcp::new(to, (PROXY, source), Flags::FIN | ACK));
    assert_eq!(halves(&bench), (Some(Half::Done), Some(Half::Done)));
    assert_eq!(bench.load_of(BackendId(1)), (1, 1));
}

#[test]
fn traffic_is_counted_by_backend_and_direction() {
    let mut bench = Bench::with_enis(1);
    let Connection { source, .. } = Connection::open(&mut bench, (CLIENT, CPORT));
    let mut data = Tcp::new((eni(1), 443), (PROXY, source), ACK);
    data.payload = vec![1; 1_000];
    bench.forwards(&data);
    let traffic = bench.traffic(BackendId(1));
    assert_eq!((traffic.packets_to_backend, traffic.bytes_to_backend), (2, 80));
    assert_eq!((traffic.packets_to_client, traffic.bytes_to_client), (2, 40 + 1_040));
    assert_eq!(bench.flow(&key((eni(1), 443), source)).unwrap().bytes, 40 + 1_040);
}

#[test]
fn new_connections_take_turns_by_load() {
    let mut bench = Bench::with_enis(2);
    for port in 0..100 {
        bench.forwards(&Tcp::new((CLIENT, 40_000 + port), (PROXY, LISTEN), SYN));
    }
    assert_eq!((bench.load_of(BackendId(1)).0, bench.load_of(BackendId(2)).0), (50, 50));
}

#[test]
fn without_a_backend_the_stack_answers_and_after_a_change_of_sets_the_new_one_does() {
    let mut bench = Bench::with_enis(0);
    let syn = from_client(SYN).frame().bytes();
    assert_eq!(bench.run(Hook::Tc, &syn).0, Verdict::Passed);
    assert_eq!(bench.count(Reason::NoBackend), 1);
    bench.publish([2]);
    let [_, to] = bench.forwards(&from_client(SYN));
    assert_eq!(to, (eni(2), 443));
    bench.publish([3]);
    let [_, still] = bench.forwards(&from_client(ACK));
    assert_eq!(still, to, "a connection stays where it is");
    let [_, new] = bench.forwards(&Tcp::new((CLIENT, CPORT + 1), (PROXY, LISTEN), SYN));
    assert_eq!(new, (eni(3), 443));
}

#[test]
fn a_full_table_leaves_the_connection_to_the_stack() {
    let mut bench = Bench::with_table(1, 4);
    let syn = |port| Tcp::new((CLIENT, port), (PROXY, LISTEN), SYN).frame().bytes();
    // Per-CPU caches of free elements may hold a few back, never add one.
    let forwarded =
        (0..10).filter(|n| bench.run(Hook::Tc, &syn(40_000 + n)).0 == Verdict::Sent).count();
    assert!((1..=2).contains(&forwarded), "{forwarded} connections in four entries");
    assert_eq!(bench.count(Reason::TableFull), 10 - forwarded as u64);
    assert_eq!(bench.table().len(), 2 * forwarded, "no half connection stays behind");
}

#[test]
fn an_unconfigured_program_leaves_everything_to_the_stack() {
    let mut bench = Bench::unconfigured();
    assert_eq!(bench.run(Hook::Tc, &from_client(SYN).frame().bytes()).0, Verdict::Passed);
    assert_eq!(bench.count(Reason::NotConfigured), 1);
}
