//! What holds for every packet, and for packets in any order.

extern crate std;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    vec,
    vec::Vec,
};

use proptest::prelude::*;
use proxy_common::{
    backend::BackendId,
    reason::{Outcome, Reason},
};

use super::{ACK, CPORT, LISTEN, SYN, from_client, handshake_between, passes};
use crate::{
    environment::Environment as _,
    fake::{
        CLIENT, CLIENT6, FakeEnvironment, FakePacket, IFINDEX, PROXY, PROXY6, Tcp,
        checksums_verify, ends, tcp_checksum, tcp_offset, turned_round,
    },
    forward::{Send, forward, forward_established},
};

proptest! {
    /// Whatever the addresses, ports, numbers and bytes: both checksums verify after each way, and
    /// the far end gets the very segment that was sent.
    #[test]
    fn there_and_back_only_the_ends_and_the_hops_have_changed(
        client4: [u8; 4], client6: [u16; 8], is_v6: bool,
        port in 1..=u16::MAX, sequence: u32, acknowledgement: u32,
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (client, proxy) = if is_v6 {
            (IpAddr::from(Ipv6Addr::from(client6)), PROXY6)
        } else {
            (IpAddr::from(Ipv4Addr::from(client4)), PROXY)
        };
        prop_assume!(client != proxy);
        let environment = FakeEnvironment::with_enis(3);
        let syn = Tcp::new((client, port), (proxy, LISTEN), SYN);
        let [from, to] = passes(&environment, &syn);
        let data = Tcp { sequence, acknowledgement, payload, ..syn };
        let ways = [
            (Tcp { flags: ACK, ..data.clone() }, [from, to]),
            (
                Tcp { source: to, destination: from, flags: SYN | ACK, ..data },
                [(proxy, LISTEN), (client, port)],
            ),
        ];
        for (segment, expected) in ways {
            let mut frame = segment.frame();
            prop_assert_eq!(forward(&mut frame, &environment), Ok(Send { ifindex: IFINDEX }));
            prop_assert!(checksums_verify(&frame));
            prop_assert_eq!(ends(&frame), expected);
            let sent = Tcp { source: expected[0], destination: expected[1], ..segment };
            let (frame, sent) = (frame.bytes(), sent.frame().bytes());
            let tcp = tcp_offset(&frame);
            prop_assert_eq!(&frame[tcp..], &sent[tcp..]);
            prop_assert_eq!(frame[if is_v6 { 21 } else { 22 }], 63, "one hop less");
        }
    }

    /// Any bytes at all: no panic, and a packet for the stack is not touched.
    #[test]
    fn no_frame_is_too_strange(
        mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        for_us in prop::sample::select(vec![0, 4, 6]),
    ) {
        let like = Tcp::new((CLIENT6, CPORT), (PROXY6, LISTEN), SYN).frame().bytes();
        match for_us {
            4 if bytes.len() >= 34 => {
                let like = from_client(CPORT, SYN).frame().bytes();
                bytes[12..15].copy_from_slice(&like[12..15]);
                bytes[23] = 6;
                bytes[30..34].copy_from_slice(&like[30..34]);
            }
            6 if bytes.len() >= 54 => {
                bytes[12..15].copy_from_slice(&like[12..15]);
                bytes[20] = 6;
                bytes[38..54].copy_from_slice(&like[38..54]);
            }
            _ => {}
        }
        let environment = FakeEnvironment::with_enis(2);
        let mut frame = FakePacket::from_bytes(&bytes);
        if let Err(reason) = forward(&mut frame, &environment)
            && reason.outcome() == Outcome::Pass
        {
            prop_assert_eq!(frame.bytes(), bytes);
        }
    }

    /// Any packets of one connection in any order: entries come and go in pairs, and the count of
    /// open connections is never negative nor above one.
    #[test]
    fn no_order_of_packets_leaves_half_a_connection(
        steps in prop::collection::vec((any::<bool>(), 0..32u8, 0..3_000u64), 0..40),
    ) {
        let environment = FakeEnvironment::with_enis(2);
        let mut backends_end = None;
        for (by_client, flags, wait) in steps {
            environment.wait(wait);
            let mut frame = match (by_client, backends_end) {
                (false, Some((to, from))) => Tcp::new(to, from, flags).frame(),
                _ => from_client(CPORT, flags).frame(),
            };
            if forward(&mut frame, &environment).is_ok() && by_client {
                let [from, to] = ends(&frame);
                backends_end = Some((to, from));
            }
            let entries = environment.flows.borrow().len();
            prop_assert!(entries == 0 || entries == 2, "{} entries", entries);
            let open: u64 = [1, 2]
                .map(|id| environment.open_flows(BackendId(id)))
                .iter()
                .sum();
            prop_assert!(open <= 1, "{} connections open", open);
        }
    }
}

proptest! {
    /// The hook in front decides as the one behind it does, or leaves the packet as it came.
    #[test]
    fn both_ways_into_the_table_do_the_same(
        steps in prop::collection::vec((any::<bool>(), 0..32u8), 1..30),
    ) {
        let [front, alone] = [(); 2].map(|()| FakeEnvironment::with_enis(2));
        let mut backends_end = None;
        for (by_client, flags) in steps {
            let segment = match (by_client, backends_end) {
                (false, Some((to, from))) => Tcp::new(to, from, flags),
                _ => from_client(CPORT, flags),
            };
            let (mut one, mut other) = (segment.frame(), segment.frame());
            let expected = forward(&mut other, &alone);
            let decided = forward_established(&mut one, &front).or_else(|reason| {
                assert_eq!((reason.outcome(), &one), (Outcome::Pass, &segment.frame()));
                forward(&mut one, &front)
            });
            prop_assert_eq!((decided, &one), (expected, &other));
            if decided.is_ok() && by_client {
                let [from, to] = ends(&one);
                backends_end = Some((to, from));
            }
        }
    }
}

/// A way into the table.
type Entrance = fn(&mut FakePacket, &FakeEnvironment) -> Result<Send, Reason>;

const ENTRANCES: [Entrance; 2] = [forward, forward_established];

proptest! {
    /// Through either way into the table, from either side: a segment that is translated, turned
    /// round and translated again is the one that was sent, but for two hops; and as damaged as it
    /// was, whatever that is.
    #[test]
    fn forth_and_back_gives_what_was_sent_with_its_damage(
        entrance in prop::sample::select(ENTRANCES.to_vec()),
        is_v6: bool, by_client: bool, hops in 3..=u8::MAX, damage: u16,
        sequence: u32, payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (client, proxy) = if is_v6 { (CLIENT6, PROXY6) } else { (CLIENT, PROXY) };
        let environment = FakeEnvironment::with_enis(3);
        let (to, source) = handshake_between(&environment, (client, CPORT), proxy);
        let (from, at) = if by_client { ((client, CPORT), LISTEN) } else { (to, source) };
        let segment = Tcp { sequence, hops, payload, ..Tcp::new(from, (proxy, at), ACK) };
        let mut frame = damaged(&segment, damage);
        let amount = tcp_checksum(&frame.bytes());
        prop_assert_eq!(entrance(&mut frame, &environment), Ok(Send { ifindex: IFINDEX }));
        prop_assert_eq!(tcp_checksum(&frame.bytes()), amount);
        let mut frame = turned_round(&frame);
        prop_assert_eq!(entrance(&mut frame, &environment), Ok(Send { ifindex: IFINDEX }));
        prop_assert_eq!(tcp_checksum(&frame.bytes()), amount);
        let expected = Tcp { hops: hops - 2, ..segment }.frame();
        prop_assert_eq!(checksum_apart(&turned_round(&frame)), checksum_apart(&expected));
    }
}

/// Zero has two forms, and a wrong checksum may change from one to the other.
fn checksum_apart(frame: &FakePacket) -> Vec<u8> {
    let mut bytes = frame.bytes();
    let check = tcp_offset(&bytes) + 16;
    bytes.drain(check..check + 2);
    bytes
}

/// With some bits of its checksum flipped.
fn damaged(segment: &Tcp, damage: u16) -> FakePacket {
    let mut frame = segment.frame().bytes();
    let check = tcp_offset(&frame) + 16;
    let [high, low] = damage.to_be_bytes();
    frame[check] ^= high;
    frame[check + 1] ^= low;
    FakePacket::from_bytes(&frame)
}
