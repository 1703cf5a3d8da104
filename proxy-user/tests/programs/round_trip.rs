//! What is translated, turned round and translated again is what was sent, for both hooks.

use std::net::IpAddr;

use fastrand::Rng;
use proxy_common::addr::Family;
use proxy_ebpf::{
    fake::{FakePacket, Tcp, checksums_verify, turned_round},
    parse::Flags,
};

use super::{
    bench::{Bench, Hook, Verdict},
    connection::{Connection, FAMILIES},
};

/// The same segments in every run.
const SEED: u64 = 0x6761_7465;
const CONNECTIONS: usize = 60;
const SEGMENTS: usize = 5;
const MOST: usize = 1_400;

/// Any address that a client behind the router may have.
fn client(random: &mut Rng, family: Family) -> IpAddr {
    match family {
        Family::V4 => [172, 16, random.u8(..), random.u8(..)].into(),
        Family::V6 => {
            let mut octets: [u8; 16] = random.u128(..).to_be_bytes();
            octets[..2].copy_from_slice(&[0x20, 0x01]);
            octets.into()
        }
    }
}

fn segment(random: &mut Rng, connection: &Connection) -> Tcp {
    let mut payload = vec![0; random.usize(..MOST)];
    random.fill(&mut payload);
    let side =
        if random.bool() { connection.clients(Flags::ACK) } else { connection.enis(Flags::ACK) };
    let (sequence, acknowledgement) = (random.u32(..), random.u32(..));
    Tcp { sequence, acknowledgement, hops: random.u8(3..), payload, ..side }
}

fn forward(bench: &mut Bench, hook: Hook, frame: &FakePacket) -> FakePacket {
    let (verdict, out) = bench.run(hook, &frame.bytes());
    assert_eq!(verdict, Verdict::Sent, "{hook:?}");
    let out = FakePacket::from_bytes(&out);
    assert!(checksums_verify(&out), "{hook:?}");
    out
}

#[test]
fn forth_and_back_gives_what_was_sent() {
    let mut bench = Bench::with_enis(3);
    let mut random = Rng::with_seed(SEED);
    for n in 0..CONNECTIONS {
        let client = client(&mut random, FAMILIES[n % 2]);
        let connection = Connection::open(&mut bench, (client, random.u16(1..)));
        for hook in Hook::BOTH {
            for _ in 0..SEGMENTS {
                let segment = segment(&mut random, &connection);
                there_and_back(&mut bench, hook, &connection, &segment);
            }
        }
    }
}

fn there_and_back(bench: &mut Bench, hook: Hook, connection: &Connection, segment: &Tcp) {
    let there = forward(bench, hook, &segment.frame());
    let expected = connection.translated(segment).frame();
    assert_eq!(there.bytes()[12..], expected.bytes()[12..], "{hook:?}: {segment:?}");
    let back = turned_round(&forward(bench, hook, &turned_round(&there)));
    let expected = Tcp { hops: segment.hops - 2, ..segment.clone() }.frame();
    assert_eq!(back.bytes()[12..], expected.bytes()[12..], "{hook:?}: {segment:?}");
}
