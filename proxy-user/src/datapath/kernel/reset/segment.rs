//! A TCP segment, as a whole IP packet.

use std::net::{IpAddr, SocketAddr};

const TCP: u8 = 6;
const TCP_HEADER: u16 = 20;
const IPV4_HEADER: u16 = 20;
const HOPS: u8 = 64;
/// The header's length in words of four bytes, in the upper half of its byte.
const DATA_OFFSET: u8 = 5 << 4;

/// Control bits (RFC 9293, section 3.1).
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// All but the ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Segment<'a> {
    pub sequence: u32,
    pub acknowledgement: u32,
    pub flags: u8,
    pub window: u16,
    /// At most what fits into one packet beside the headers.
    pub payload: &'a [u8],
}

/// Without payload. `None` if the two ends are not of one family.
pub fn bare(from: SocketAddr, to: SocketAddr, sequence: u32, flags: u8) -> Option<Vec<u8>> {
    Segment { sequence, flags, ..Segment::default() }.packet(from, to)
}

impl Segment<'_> {
    /// `None` if the two ends are not of one family, or the payload is too long.
    pub fn packet(&self, from: SocketAddr, to: SocketAddr) -> Option<Vec<u8>> {
        let len = TCP_HEADER.checked_add(u16::try_from(self.payload.len()).ok()?)?;
        let (header, addresses) = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let addresses = [from.octets(), to.octets()].concat();
                (ipv4(&addresses, IPV4_HEADER.checked_add(len)?), addresses)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let addresses = [from.octets(), to.octets()].concat();
                (ipv6(&addresses, len), addresses)
            }
            _ => return None,
        };
        Some(
            [&header, &tcp([from.port(), to.port()], self, len, &addresses), self.payload].concat(),
        )
    }
}

fn ipv4(addresses: &[u8], len: u16) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend(len.to_be_bytes());
    header.extend([0, 0, 0x40, 0, HOPS, TCP, 0, 0]);
    header.extend(addresses);
    let check = checksum(&[&header]);
    header[10..12].copy_from_slice(&check);
    header
}

fn ipv6(addresses: &[u8], len: u16) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(len.to_be_bytes());
    header.extend([TCP, HOPS]);
    header.extend(addresses);
    header
}

fn tcp(ports: [u16; 2], segment: &Segment<'_>, len: u16, addresses: &[u8]) -> Vec<u8> {
    let mut header = ports.map(u16::to_be_bytes).concat();
    header.extend(segment.sequence.to_be_bytes());
    header.extend(segment.acknowledgement.to_be_bytes());
    header.extend([DATA_OFFSET, segment.flags]);
    header.extend(segment.window.to_be_bytes());
    header.extend([0, 0, 0, 0]);
    // The pseudo-header's other words; in IPv6 it has more, which are zero.
    let pseudo = [[0, TCP], len.to_be_bytes()].concat();
    let check = checksum(&[addresses, &pseudo, &header, segment.payload]);
    header[16..18].copy_from_slice(&check);
    header
}

/// The Internet checksum (RFC 1071) of parts of even length, but the last.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let word = |word: &[u8]| u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]);
    let mut sum: u32 = words.map(|bytes| u32::from(word(bytes))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proxy_ebpf::fake::{FakePacket, checksums_verify, ends};

    use super::*;

    fn framed(ether_type: u16, packet: &[u8]) -> FakePacket {
        let ethernet = [&[0; 12], &ether_type.to_be_bytes()[..]].concat();
        FakePacket::from_bytes(&[&ethernet, packet].concat())
    }

    proptest! {
        #[test]
        fn it_is_from_one_end_to_the_other_with_right_checksums(
            a: [u8; 4], b: [u8; 4], c: [u8; 16], d: [u8; 16], ports: [u16; 2], sequence: u32,
        ) {
            let end = |ip: IpAddr, port| SocketAddr::new(ip, port);
            for (from, to, ether_type, tcp_at) in [
                (IpAddr::from(a), IpAddr::from(b), 0x0800, 20),
                (IpAddr::from(c), IpAddr::from(d), 0x86dd, 40),
            ] {
                let packet = bare(end(from, ports[0]), end(to, ports[1]), sequence, RST).unwrap();
                let frame = framed(ether_type, &packet);
                prop_assert!(checksums_verify(&frame));
                prop_assert_eq!(ends(&frame), [(from, ports[0]), (to, ports[1])]);
                let tcp = &packet[tcp_at..];
                prop_assert_eq!(&tcp[4..8], &sequence.to_be_bytes());
                prop_assert_eq!((tcp.len(), tcp[13]), (20, RST));
            }
        }
    }

    proptest! {
        #[test]
        fn payload_of_any_length_is_in_its_checksum_and_at_its_end(
            payload in proptest::collection::vec(any::<u8>(), 0..1_400), sequences: [u32; 2],
        ) {
            let [sequence, acknowledgement] = sequences;
            let segment =
                Segment { sequence, acknowledgement, flags: ACK, window: 500, payload: &payload };
            for (ends, ether_type, header) in [
                (["10.0.0.1:1", "10.0.0.2:2"], 0x0800, 40),
                (["[fd00::1]:1", "[fd00::2]:2"], 0x86dd, 60),
            ] {
                let [from, to] = ends.map(|end| end.parse().unwrap());
                let packet = segment.packet(from, to).unwrap();
                prop_assert!(checksums_verify(&framed(ether_type, &packet)));
                prop_assert_eq!(&packet[header..], &payload[..]);
                let tcp = &packet[header - 20..];
                prop_assert_eq!(&tcp[8..12], &acknowledgement.to_be_bytes());
            }
        }
    }

    #[test]
    fn two_families_have_no_packet() {
        let ends = ["10.0.0.1:1", "[fd00::1]:2"].map(|end| end.parse().unwrap());
        assert_eq!(bare(ends[0], ends[1], 0, RST), None);
    }
}
