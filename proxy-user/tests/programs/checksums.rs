//! A segment that was damaged on its way stays damaged: whoever gets it sees as much.

use proxy_ebpf::{
    fake::{FakePacket, Tcp, checksums_verify, tcp_checksum, tcp_offset},
    parse::Flags,
};

use super::{
    bench::{Bench, Hook, Verdict},
    connection::{CPORT, Connection, FAMILIES, client_of},
};

/// Each bit of the checksum, and words that carry.
fn damages() -> impl Iterator<Item = u16> {
    (0..16).map(|bit| 1 << bit).chain([0xff, 0x7fff, 0xfffe])
}

/// Open connections of both families, and a segment of either side of each.
fn segments(bench: &mut Bench) -> Vec<Tcp> {
    let segments = |family| {
        let connection = Connection::open(bench, (client_of(family), CPORT));
        [connection.clients(Flags::ACK), connection.enis(Flags::ACK)]
    };
    let with_payload = |segment| Tcp { payload: b"odd".to_vec(), ..segment };
    FAMILIES.into_iter().flat_map(segments).map(with_payload).collect()
}

#[test]
fn a_wrong_checksum_comes_out_wrong_by_the_same_amount() {
    let mut bench = Bench::with_enis(1);
    for segment in segments(&mut bench) {
        for (damage, hook) in damages().flat_map(|damage| Hook::BOTH.map(|hook| (damage, hook))) {
            let mut frame = segment.frame().bytes();
            let check = tcp_offset(&frame) + 16;
            let [high, low] = damage.to_be_bytes();
            frame[check] ^= high;
            frame[check + 1] ^= low;
            let name = format!("{damage:#x} at {hook:?} in {segment:?}");
            assert_ne!(tcp_checksum(&frame), 0, "{name}");
            let (verdict, out) = bench.run(hook, &frame);
            assert_eq!(verdict, Verdict::Sent, "{name}");
            assert_eq!(tcp_checksum(&out), tcp_checksum(&frame), "{name}");
        }
    }
}

#[test]
fn a_flipped_bit_of_the_payload_is_still_seen() {
    let mut bench = Bench::with_enis(1);
    for segment in segments(&mut bench) {
        for (bit, hook) in (0..24).flat_map(|bit| Hook::BOTH.map(|hook| (bit, hook))) {
            let mut frame = segment.frame().bytes();
            let payload = tcp_offset(&frame) + 20;
            frame[payload + bit / 8] ^= 1 << (bit % 8);
            let (verdict, out) = bench.run(hook, &frame);
            assert_eq!(verdict, Verdict::Sent);
            assert_eq!(out[payload..], frame[payload..]);
            let verifies = checksums_verify(&FakePacket::from_bytes(&out));
            assert!(!verifies, "bit {bit} at {hook:?} of {segment:?}");
        }
    }
}
