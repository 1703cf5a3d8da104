//! The program in the running kernel, one packet at a time (BPF_PROG_TEST_RUN). Needs root.
//!
//! Rows: what comes in, the verdict, what comes out, and what the maps then say.

mod programs {
    pub mod bench;
}

use std::net::IpAddr;

use programs::bench::{Bench, PASSED, REDIRECTED, SHOT};
use proxy_common::{
    backend::BackendId,
    flow::Half,
    reason::{Outcome, Reason},
};
use proxy_ebpf::{
    fake::{
        CLIENT, CLIENT6, End, FakePacket, LISTEN, PROXY, PROXY6, Tcp, checksums_verify, ends, eni,
        eni6, icmp, key, not_forwarded,
    },
    parse::Flags,
};

const SYN: u8 = Flags::SYN;
const ACK: u8 = Flags::ACK;
const CPORT: u16 = 51_000;

fn from_client(flags: u8) -> Tcp {
    Tcp::new((CLIENT, CPORT), (PROXY, LISTEN), flags)
}

/// A handshake through the program; returns the ENI's end and the source port towards it.
fn handshake(bench: &mut Bench, client: IpAddr, proxy: IpAddr) -> (End, u16) {
    let clients = |flags| Tcp::new((client, CPORT), (proxy, LISTEN), flags);
    let [(_, source), to] = bench.forwards(&clients(SYN));
    bench.forwards(&Tcp::new(to, (proxy, source), SYN | ACK));
    bench.forwards(&clients(ACK));
    (to, source)
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
fn an_icmp_error_reaches_the_side_that_sent_the_packet() {
    for (client, proxy) in [(CLIENT, PROXY), (CLIENT6, PROXY6)] {
        let mut bench = Bench::with_enis(1);
        let (to, source) = handshake(&mut bench, client, proxy);
        let rows = [
            ("the client's packet", Tcp::new((client, CPORT), (proxy, LISTEN), ACK)),
            ("the backend's packet", Tcp::new(to, (proxy, source), ACK)),
        ];
        for (row, original) in rows {
            let (_, sent) = bench.run(&original.frame().bytes());
            let error = icmp::too_big(to.0, &FakePacket::from_bytes(&sent), 1_400, 20);
            let (verdict, told) = bench.run(&error.bytes());
            assert_eq!(verdict, REDIRECTED, "{row}");
            let told = FakePacket::from_bytes(&told);
            assert!(icmp::verifies(&told), "{row}");
            assert_eq!(ends(&told)[1].0, original.source.0, "{row}");
            let quoted = FakePacket::from_bytes(&icmp::quotation(&told));
            assert_eq!(ends(&quoted), [original.source, original.destination], "{row}");
        }
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
    let (_, source) = handshake(&mut bench, CLIENT, PROXY);
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
fn what_cannot_be_forwarded_has_its_verdict_and_its_count() {
    for (row, frame, reason) in not_forwarded(CPORT) {
        let mut bench = Bench::with_enis(1);
        handshake(&mut bench, CLIENT, PROXY);
        handshake(&mut bench, CLIENT6, PROXY6);
        let before = bench.count(reason);
        let (verdict, out) = bench.run(&frame);
        let expected = match reason.outcome() {
            Outcome::Pass => PASSED,
            Outcome::Drop => SHOT,
        };
        assert_eq!(verdict, expected, "{row}");
        assert_eq!(out, frame, "{row}: nothing is half translated");
        assert_eq!(bench.count(reason), before + 1, "{row}");
    }
}

#[test]
fn without_a_backend_the_stack_answers_and_after_a_change_of_sets_the_new_one_does() {
    let mut bench = Bench::with_enis(0);
    let syn = from_client(SYN).frame().bytes();
    assert_eq!(bench.run(&syn).0, PASSED);
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
    let forwarded = (0..10).filter(|n| bench.run(&syn(40_000 + n)).0 == REDIRECTED).count();
    assert!((1..=2).contains(&forwarded), "{forwarded} connections in four entries");
    assert_eq!(bench.count(Reason::TableFull), 10 - forwarded as u64);
    assert_eq!(bench.entries(), 2 * forwarded, "no half connection stays behind");
}

#[test]
fn an_unconfigured_program_leaves_everything_to_the_stack() {
    let mut bench = Bench::unconfigured();
    assert_eq!(bench.run(&from_client(SYN).frame().bytes()).0, PASSED);
    assert_eq!(bench.count(Reason::NotConfigured), 1);
}

#[test]
fn frames_of_every_length_are_survived() {
    let mut bench = Bench::with_enis(1);
    // The kernel refuses to test with less than an IP header.
    for (client, proxy, ip_ends) in [(CLIENT, PROXY, 34), (CLIENT6, PROXY6, 54)] {
        let mut whole = Tcp::new((client, CPORT), (proxy, LISTEN), SYN);
        whole.payload = vec![7; 200];
        let whole = whole.frame().bytes();
        for len in ip_ends..whole.len() {
            let (verdict, out) = bench.run(&whole[..len]);
            assert_ne!(verdict, REDIRECTED, "{len} bytes of {}", whole.len());
            assert_eq!(out, &whole[..len]);
        }
    }
}

#[test]
fn payloads_of_every_parity_keep_their_checksums() {
    let mut bench = Bench::with_enis(3);
    for len in 0..70 {
        let client = IpAddr::from([10, 0, 0, 30 + len as u8]);
        let mut syn = Tcp::new((client, CPORT), (PROXY, LISTEN), SYN);
        syn.payload = (0..len).map(|n| (n * 37) as u8).collect();
        let (verdict, out) = bench.run(&syn.frame().bytes());
        assert_eq!(verdict, REDIRECTED);
        assert!(checksums_verify(&FakePacket::from_bytes(&out)), "{len} bytes");
    }
}
