//! What the sender of a packet is told about it.

extern crate std;

use core::net::IpAddr;

use proptest::prelude::*;
use proxy_common::reason::Reason;

use crate::{
    fake::{
        CLIENT, CLIENT6, End, FakeEnvironment, FakePacket, LISTEN, PROXY, PROXY6, Tcp, ends, icmp,
        tcp_offset,
    },
    forward::forward,
    parse::Flags,
};

const ROUTER: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 99, 1));
const ROUTER6: IpAddr = IpAddr::V6(core::net::Ipv6Addr::new(0xfd00, 0, 0, 0x99, 0, 0, 0, 1));
const FAMILIES: [(IpAddr, IpAddr, IpAddr); 2] =
    [(CLIENT, PROXY, ROUTER), (CLIENT6, PROXY6, ROUTER6)];
const CPORT: u16 = 51_000;

fn sent(environment: &FakeEnvironment, segment: &Tcp) -> FakePacket {
    let mut frame = segment.frame();
    forward(&mut frame, environment).expect("it is forwarded");
    frame
}

/// An open connection; returns the ends of its packets towards the backend.
fn connect(environment: &FakeEnvironment, client: IpAddr, proxy: IpAddr) -> [End; 2] {
    let clients = |flags| Tcp::new((client, CPORT), (proxy, LISTEN), flags);
    let [from, to] = ends(&sent(environment, &clients(Flags::SYN)));
    sent(environment, &Tcp::new(to, from, Flags::SYN | Flags::ACK));
    sent(environment, &clients(Flags::ACK));
    [from, to]
}

proptest! {
    /// Both sides, both families, any length of quotation: the sender learns of its own packet,
    /// from us, with the MTU that the router said.
    #[test]
    fn each_side_is_told_of_the_packet_that_it_sent(
        family in 0..2usize, by_client: bool, mtu in 576..9_000u16, quoted in 8..20usize,
        sequence: u32,
    ) {
        let (client, proxy, router) = FAMILIES[family];
        let environment = FakeEnvironment::with_enis(2);
        let [from, to] = connect(&environment, client, proxy);
        let (source, destination) =
            if by_client { ((client, CPORT), (proxy, LISTEN)) } else { (to, from) };
        let original = Tcp { sequence, ..Tcp::new(source, destination, Flags::ACK) };
        let mut error = icmp::too_big(router, &sent(&environment, &original), mtu, quoted);
        prop_assert!(forward(&mut error, &environment).is_ok());
        prop_assert!(icmp::verifies(&error));
        let bytes = error.bytes();
        let message = tcp_offset(&bytes);
        prop_assert_eq!(&bytes[message + 6..message + 8], &mtu.to_be_bytes());
        let [told_by, told] = ends(&error).map(|(address, _)| address);
        prop_assert_eq!((told_by, told), (proxy, source.0));
        let quotation = icmp::quotation(&error);
        prop_assert_eq!(ends(&FakePacket::from_bytes(&quotation)), [source, destination]);
        let ports_and_sequence = tcp_offset(&quotation)..tcp_offset(&quotation) + 8;
        prop_assert_eq!(
            &quotation[ports_and_sequence.clone()],
            &original.frame().bytes()[ports_and_sequence]
        );
        if family == 0 {
            prop_assert_eq!(crate::fake::internet_checksum(&quotation[14..34]), 0);
        }
    }

    /// Any change to an error: no panic, and nothing is half translated.
    #[test]
    fn no_error_is_too_strange(
        family in 0..2usize, at in 12..110usize, value: u8, cut in 0..120usize,
    ) {
        let (client, proxy, router) = FAMILIES[family];
        let environment = FakeEnvironment::with_enis(1);
        let [from, to] = connect(&environment, client, proxy);
        let ours = sent(&environment, &Tcp::new((client, CPORT), (proxy, LISTEN), Flags::ACK));
        prop_assert_eq!(ends(&ours), [from, to]);
        let mut bytes = icmp::too_big(router, &ours, 1_400, 8).bytes();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        bytes.truncate(bytes.len().min(cut));
        let mut frame = FakePacket::from_bytes(&bytes);
        if forward(&mut frame, &environment).is_err() {
            prop_assert_eq!(frame.bytes(), bytes);
        }
    }
}

#[test]
fn an_error_about_a_strangers_packet_is_for_the_stack() {
    for (client, proxy, router) in FAMILIES {
        let environment = FakeEnvironment::with_enis(1);
        connect(&environment, client, proxy);
        let probe = Tcp::new((proxy, 40_000), (router, 443), Flags::ACK).frame();
        let mut error = icmp::too_big(router, &probe, 1_400, 8);
        assert_eq!(forward(&mut error, &environment), Err(Reason::IcmpOfNoFlow));
    }
}

#[test]
fn a_client_is_not_told_that_its_first_backend_cannot_be_reached() {
    for (client, proxy, router) in FAMILIES {
        let environment = FakeEnvironment::with_enis(2);
        let syn = sent(&environment, &Tcp::new((client, CPORT), (proxy, LISTEN), Flags::SYN));
        let mut error = icmp::too_big(router, &syn, 1_400, 8);
        assert_eq!(forward(&mut error, &environment), Err(Reason::IcmpWhileOpening));
    }
}
