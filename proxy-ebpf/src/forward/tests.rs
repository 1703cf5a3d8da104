//! Whole connections, packet by packet, on the host.

extern crate std;

mod events;
mod properties;

use std::{collections::HashSet, net::IpAddr, vec};

use proxy_common::{
    addr::Family,
    backend::{BackendId, BackendSet},
    config::PortRange,
    flow::Half,
    reason::Reason,
};

use super::{Send, forward};
use crate::{
    environment::Environment as _,
    fake::{
        CLIENT, CLIENT6, End, FakeEnvironment, FakePacket, IFINDEX, LISTEN, PROXY, PROXY6, Tcp,
        backend, checksums_verify, ends, eni, eni6, key, not_forwarded,
    },
    parse::Flags,
};

const SYN: u8 = Flags::SYN;
const ACK: u8 = Flags::ACK;
const FIN: u8 = Flags::FIN;
const RST: u8 = Flags::RST;
const CPORT: u16 = 51_000;

fn from_client(port: u16, flags: u8) -> Tcp {
    Tcp::new((CLIENT, port), (PROXY, LISTEN), flags)
}

/// Runs a segment that must be forwarded, and returns its ends as it leaves.
fn passes(environment: &FakeEnvironment, segment: &Tcp) -> [End; 2] {
    let mut frame = segment.frame();
    assert_eq!(forward(&mut frame, environment), Ok(Send { ifindex: IFINDEX }), "{segment:?}");
    assert!(checksums_verify(&frame), "{segment:?}");
    ends(&frame)
}

/// Runs a segment that must not be forwarded, and checks that it was left as it was.
fn stays(environment: &FakeEnvironment, segment: &Tcp) -> Reason {
    let mut frame = segment.frame();
    let reason = forward(&mut frame, environment).expect_err("it was forwarded");
    assert_eq!(frame, segment.frame(), "a packet that is not forwarded is not touched");
    reason
}

/// The handshake of a client's connection; returns the backend's end and the source port to it.
fn handshake(environment: &FakeEnvironment, port: u16) -> (End, u16) {
    handshake_between(environment, (CLIENT, port), PROXY)
}

fn handshake_between(environment: &FakeEnvironment, client: End, proxy: IpAddr) -> (End, u16) {
    let clients = |flags| Tcp::new(client, (proxy, LISTEN), flags);
    let [(_, source), to] = passes(environment, &clients(SYN));
    passes(environment, &Tcp::new(to, (proxy, source), SYN | ACK));
    passes(environment, &clients(ACK));
    (to, source)
}

#[test]
fn a_connection_reaches_a_backend_of_its_family_and_the_answer_comes_back() {
    for (client, proxy, eni) in [(CLIENT, PROXY, eni(1)), (CLIENT6, PROXY6, eni6(101))] {
        let environment = FakeEnvironment::with_enis(1);
        let clients = |flags| Tcp::new((client, CPORT), (proxy, LISTEN), flags);
        let [from, to] = passes(&environment, &clients(SYN));
        assert_eq!((from.0, to), (proxy, (eni, 443)));
        assert!((1024..32_768).contains(&from.1), "{from:?}");
        let answer = passes(&environment, &Tcp::new(to, from, SYN | ACK));
        assert_eq!(answer, [(proxy, LISTEN), (client, CPORT)]);
        assert_eq!(passes(&environment, &clients(ACK)), [from, to]);
    }
}

#[test]
fn a_family_without_a_backend_is_left_to_the_listener() {
    let mut environment = FakeEnvironment::with_enis(1);
    environment.set = BackendSet::new(2, [backend(1)]);
    let syn = Tcp::new((CLIENT6, CPORT), (PROXY6, LISTEN), SYN);
    assert_eq!(stays(&environment, &syn), Reason::NoBackend);
    passes(&environment, &from_client(CPORT, SYN));
}

#[test]
fn the_clients_port_is_kept_where_it_is_free_and_ours_to_use() {
    let environment = FakeEnvironment::with_enis(1);
    let [(_, first), _] = passes(&environment, &from_client(2_000, SYN));
    assert_eq!(first, 2_000);
    let other_client = Tcp::new((IpAddr::from([10, 0, 0, 21]), 2_000), (PROXY, LISTEN), SYN);
    let [(_, second), _] = passes(&environment, &other_client);
    assert_ne!(second, 2_000);
    let [(_, third), _] = passes(&environment, &from_client(40_000, SYN));
    assert!((1024..32_768).contains(&third), "{third} belongs to the host's own sockets");
}

#[test]
fn new_connections_go_to_the_backend_with_fewer_of_them() {
    let environment = FakeEnvironment::with_enis(2);
    for port in 0..100 {
        handshake(&environment, 40_000 + port);
    }
    let opened = environment.opened.borrow();
    assert_eq!((opened[&BackendId(1)], opened[&BackendId(2)]), (50, 50));
}

#[test]
fn of_many_backends_each_gets_its_share() {
    let environment = FakeEnvironment::with_enis(7);
    for port in 0..350 {
        handshake(&environment, 40_000 + port);
    }
    for id in 1..=7 {
        let opened = environment.opened.borrow()[&BackendId(id)];
        assert!((40..=60).contains(&opened), "backend {id} has {opened} of 350");
    }
}

#[test]
fn both_fins_close_a_connection_and_one_does_not() {
    let environment = FakeEnvironment::with_enis(1);
    let (to, source) = handshake(&environment, CPORT);
    passes(&environment, &from_client(CPORT, FIN | ACK));
    assert_eq!(environment.closed.borrow().get(&BackendId(1)), None);
    passes(&environment, &Tcp::new(to, (PROXY, source), FIN | ACK));
    passes(&environment, &from_client(CPORT, ACK));
    passes(&environment, &Tcp::new(to, (PROXY, source), FIN | ACK));
    assert_eq!(environment.closed.borrow()[&BackendId(1)], 1, "a repeated FIN counts once");
}

#[test]
fn a_reset_from_either_side_closes_and_counts_once() {
    for backend_resets in [false, true] {
        let environment = FakeEnvironment::with_enis(1);
        let (to, source) = handshake(&environment, CPORT);
        let backends = Tcp::new(to, (PROXY, source), RST);
        let clients = from_client(CPORT, RST);
        let order = if backend_resets { [&backends, &clients] } else { [&clients, &backends] };
        for reset in order {
            passes(&environment, reset);
        }
        assert_eq!(environment.closed.borrow()[&BackendId(1)], 1);
    }
}

#[test]
fn a_syn_on_a_closed_connection_opens_a_new_one() {
    let environment = FakeEnvironment::with_enis(1);
    handshake(&environment, CPORT);
    passes(&environment, &from_client(CPORT, RST));
    handshake(&environment, CPORT);
    assert_eq!(environment.flows.borrow().len(), 2, "the old entries are gone");
    assert_eq!(environment.opened.borrow()[&BackendId(1)], 2);
    let flow = environment.flow_now(&key((CLIENT, CPORT), LISTEN)).unwrap();
    assert_eq!((flow.half, flow.packets), (Half::Open, 2));
}

#[test]
fn a_syn_on_a_living_connection_goes_to_its_backend() {
    let environment = FakeEnvironment::with_enis(4);
    let (to, _) = handshake(&environment, CPORT);
    environment.wait(5_000);
    let [_, again] = passes(&environment, &from_client(CPORT, SYN));
    assert_eq!(again, to);
    assert_eq!(environment.flows.borrow().len(), 2);
}

#[test]
fn a_syn_that_nobody_answers_moves_to_another_backend() {
    let environment = FakeEnvironment::with_enis(3);
    let mut tried = HashSet::new();
    let [_, mut last] = passes(&environment, &from_client(CPORT, SYN));
    for _ in 0..20 {
        tried.insert(last);
        let [_, copy] = passes(&environment, &from_client(CPORT, SYN));
        assert_eq!(copy, last, "a copy made by the network is no retransmission");
        environment.wait(1_000);
        let [_, next] = passes(&environment, &from_client(CPORT, SYN));
        assert_ne!(next, last);
        last = next;
    }
    assert_eq!(tried.len(), 3);
    assert_eq!(environment.flows.borrow().len(), 2, "no entry is left behind");
    let open: u64 = (1..=3).map(|id| environment.open_flows(BackendId(id))).sum();
    assert_eq!(open, 1);
}

#[test]
fn the_only_backend_keeps_its_unanswered_syn() {
    let environment = FakeEnvironment::with_enis(1);
    let first = passes(&environment, &from_client(CPORT, SYN));
    environment.wait(1_000);
    assert_eq!(passes(&environment, &from_client(CPORT, SYN)), first);
}

#[test]
fn a_syn_that_nobody_answers_is_left_to_the_listener_when_no_backend_remains() {
    let mut environment = FakeEnvironment::with_enis(1);
    passes(&environment, &from_client(CPORT, SYN));
    environment.set = BackendSet::new(2, []);
    environment.wait(1_000);
    assert_eq!(stays(&environment, &from_client(CPORT, SYN)), Reason::NoBackend);
    assert_eq!(environment.flows.borrow().len(), 0);
}

#[test]
fn a_connection_stays_with_its_backend_when_that_leaves_the_set() {
    let mut environment = FakeEnvironment::with_enis(1);
    let (to, source) = handshake(&environment, CPORT);
    environment.set = BackendSet::new(2, [backend(2)]);
    let [_, still] = passes(&environment, &from_client(CPORT, ACK));
    assert_eq!(still, to);
    passes(&environment, &Tcp::new(to, (PROXY, source), ACK));
    let [_, new] = passes(&environment, &from_client(CPORT + 1, SYN));
    assert_eq!(new.0, eni(2));
}

#[test]
fn what_is_not_a_connection_of_ours_is_left_to_the_stack() {
    let environment = FakeEnvironment::with_enis(1);
    let to = |address, port, flags| Tcp::new((CLIENT, CPORT), (address, port), flags);
    assert_eq!(stays(&environment, &to(PROXY, LISTEN, ACK)), Reason::UnknownFlow);
    assert_eq!(stays(&environment, &to(PROXY, LISTEN, SYN | ACK)), Reason::UnknownFlow);
    assert_eq!(stays(&environment, &to(PROXY, 22, SYN)), Reason::OtherPort);
    assert_eq!(stays(&environment, &to(eni(1), LISTEN, SYN)), Reason::NotOurs);
    assert_eq!(environment.flows.borrow().len(), 0);
}

#[test]
fn without_a_backend_or_a_configuration_the_stack_answers() {
    let mut environment = FakeEnvironment::with_enis(0);
    assert_eq!(stays(&environment, &from_client(CPORT, SYN)), Reason::NoBackend);
    environment.config = None;
    assert_eq!(stays(&environment, &from_client(CPORT, SYN)), Reason::NotConfigured);
}

#[test]
fn a_full_table_leaves_no_half_connection() {
    for capacity in [0, 1] {
        let mut environment = FakeEnvironment::with_enis(1);
        environment.capacity = capacity;
        assert_eq!(stays(&environment, &from_client(CPORT, SYN)), Reason::TableFull);
        assert_eq!(environment.flows.borrow().len(), 0);
        assert_eq!(environment.opened.borrow().len(), 0);
    }
}

#[test]
fn a_range_that_is_used_up_says_so_until_a_connection_has_ended() {
    let mut environment = FakeEnvironment::with_enis(1);
    environment.config.as_mut().unwrap().sources.len = 2;
    let mut last = (eni(1), 443);
    for port in [50_000, 50_001] {
        (last, _) = handshake(&environment, port);
    }
    assert_eq!(stays(&environment, &from_client(50_002, SYN)), Reason::PortsExhausted);
    passes(&environment, &from_client(50_001, RST));
    assert_eq!(stays(&environment, &from_client(50_002, SYN)), Reason::PortsExhausted);
    environment.wait(2_000);
    let [_, to] = passes(&environment, &from_client(50_002, SYN));
    assert_eq!(to, last, "after a rest, the port of the finished connection serves again");
}

#[test]
fn what_cannot_be_forwarded_has_its_reason() {
    let both = [Family::V4, Family::V6].map(|family| not_forwarded(family, CPORT));
    for (row, bytes, reason) in both.concat() {
        let environment = FakeEnvironment::with_enis(1);
        handshake(&environment, CPORT);
        handshake_between(&environment, (CLIENT6, CPORT), PROXY6);
        let mut frame = FakePacket::from_bytes(&bytes);
        assert_eq!(forward(&mut frame, &environment), Err(reason), "{row}");
        assert_eq!(frame.bytes(), bytes, "{row}: nothing is half translated");
    }
}

#[test]
fn a_short_frame_is_broken_only_if_it_was_tcp_for_us() {
    let environment = FakeEnvironment::with_enis(1);
    for (client, proxy, ip_ends) in [(CLIENT, PROXY, 34), (CLIENT6, PROXY6, 54)] {
        let whole = Tcp::new((client, CPORT), (proxy, LISTEN), SYN).frame().bytes();
        for len in 0..whole.len() {
            let mut frame = FakePacket::from_bytes(&whole[..len]);
            let expected = if len < ip_ends { Reason::NotTcp } else { Reason::Malformed };
            assert_eq!(forward(&mut frame, &environment), Err(expected), "{len} bytes");
        }
    }
}

#[test]
fn the_account_of_a_flow_is_kept() {
    let environment = FakeEnvironment::with_enis(1);
    handshake(&environment, CPORT);
    let mut data = from_client(CPORT, ACK);
    data.payload = vec![7; 1_000];
    data.acknowledgement = 0xdead_beef;
    passes(&environment, &data);
    let flow = environment.flow_now(&key((CLIENT, CPORT), LISTEN)).unwrap();
    assert_eq!((flow.packets, flow.bytes), (3, 40 + 40 + 1_040), "{flow:?}");
    assert_eq!(flow.acked, 0xdead_beef);
    assert_eq!(environment.packets.borrow()[&(BackendId(1), 0)], 3);
}

#[test]
fn a_free_port_is_found_beside_a_block_of_taken_ones() {
    let mut environment = FakeEnvironment::with_enis(1);
    environment.capacity = 2_000;
    environment.config.as_mut().unwrap().sources = PortRange { first: 1_024, len: 800 };
    // Clients' own ports are kept: half of the range is one block.
    for port in 1_024..1_024 + 400 {
        passes(&environment, &from_client(port, SYN));
    }
    for port in 40_000..40_050 {
        passes(&environment, &from_client(port, SYN));
    }
}
