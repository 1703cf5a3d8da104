//! ICMP errors about frames of ours, built by the book.

extern crate std;

use core::net::IpAddr;
use std::{vec, vec::Vec};

use super::{
    PROXY, PROXY6,
    frame::{ETHERNET, FakePacket, internet_checksum, ip_header, is_v6, tcp_offset},
};

/// What a router says about a frame that we sent: "too big", as each family puts it, quoting
/// `quoted` bytes of the TCP header.
pub fn too_big(router: IpAddr, about: &FakePacket, mtu: u16, quoted: usize) -> FakePacket {
    let proxy = if router.is_ipv6() { PROXY6 } else { PROXY };
    too_big_between([router, proxy], 64, about, mtu, quoted)
}

/// The same from anyone to anyone.
pub fn too_big_between(
    ends: [IpAddr; 2],
    hops: u8,
    about: &FakePacket,
    mtu: u16,
    quoted: usize,
) -> FakePacket {
    let about = about.bytes();
    let (kind, code) = if is_v6(&about) { (2, 0) } else { (3, 4) };
    let mut message = vec![kind, code, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(&about[ETHERNET..tcp_offset(&about) + quoted]);
    let protocol = if is_v6(&about) { 58 } else { 1 };
    let mut frame = about[..ETHERNET].to_vec();
    frame.extend(ip_header(ends, hops, protocol, message.len()));
    let check = checksum(&frame, &message).to_ne_bytes();
    message[2..4].copy_from_slice(&check);
    frame.extend(message);
    FakePacket::from_bytes(&frame)
}

/// The message of an error frame is consistent with its checksum.
pub fn verifies(frame: &FakePacket) -> bool {
    let bytes = frame.bytes();
    let (headers, message) = bytes.split_at(tcp_offset(&bytes));
    let header_verifies = is_v6(&bytes) || internet_checksum(&headers[ETHERNET..]) == 0;
    header_verifies && checksum(headers, message) == 0
}

/// The quoted packet, as the frame that it was.
pub fn quotation(frame: &FakePacket) -> Vec<u8> {
    let bytes = frame.bytes();
    [&bytes[..ETHERNET], &bytes[tcp_offset(&bytes) + 8..]].concat()
}

/// RFC 4443, section 2.3: ICMPv6 sums a pseudo header too.
fn checksum(headers: &[u8], message: &[u8]) -> u16 {
    let mut area = vec![];
    if is_v6(headers) {
        area.extend(&headers[22..54]);
        area.extend((message.len() as u32).to_be_bytes());
        area.extend([0, 0, 0, 58]);
    }
    area.extend(message);
    internet_checksum(&area)
}
