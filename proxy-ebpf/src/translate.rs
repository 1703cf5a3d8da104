//! Rewrites a frame's addresses and ports, and its checksums with them.

use proxy_common::{
    addr::{Addr, Port},
    flow::Flow,
    reason::Reason,
};

use crate::{
    checksum::Change,
    packet::Packet,
    parse::{Frame, Segment, TCP_CHECK_OFFSET},
};

/// What a segment turns into. Its source becomes the address that it came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    pub destination: Addr,
    pub destination_port: Port,
    pub source_port: Port,
}

impl Translation {
    #[inline(always)]
    pub const fn of(flow: &Flow) -> Self {
        Self {
            destination: flow.peer,
            destination_port: flow.peer_port,
            source_port: flow.own_port,
        }
    }
}

#[inline(always)]
pub fn translate<P: Packet>(
    packet: &mut P,
    segment: &Segment,
    to: Translation,
) -> Result<(), Reason> {
    let Some(frame) = packet.head::<Frame>() else { return Err(Reason::RewriteFailed) };
    if frame.ip.ttl <= 1 {
        return Err(Reason::TtlExpired);
    }
    let addresses = readdress(frame, segment.destination.v4_word(), to.destination.v4_word());
    let ports = Change::NONE
        .word16(frame.tcp.source, to.source_port.word())
        .word16(frame.tcp.destination, to.destination_port.word());
    frame.tcp.source = to.source_port.word();
    frame.tcp.destination = to.destination_port.word();
    packet
        .patch_tcp_checksum(TCP_CHECK_OFFSET, addresses, ports)
        .map_err(|_refused| Reason::RewriteFailed)
}

/// The IP header, with one hop less to live. Returns what changed in TCP's pseudo header.
#[inline(always)]
fn readdress(frame: &mut Frame, source: u32, destination: u32) -> Change {
    let ip = &mut frame.ip;
    let addresses = Change::NONE.word32(ip.source, source).word32(ip.destination, destination);
    let hop = |ttl: u8| u16::from_ne_bytes([ttl, ip.protocol]);
    let header = addresses.word16(hop(ip.ttl), hop(ip.ttl - 1));
    ip.check = header.apply(ip.check);
    ip.ttl -= 1;
    ip.source = source;
    ip.destination = destination;
    addresses
}
