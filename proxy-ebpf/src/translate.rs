//! Rewrites a frame's addresses and ports, and its checksums with them.

use proxy_common::{
    addr::{Addr, Family, Port},
    flow::Flow,
    reason::Reason,
};

use crate::{
    checksum::Change,
    packet::{Hop, Packet},
    parse::{Ethernet, Frame, Ip, Ipv4, Ipv6},
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

/// Of a packet with hops left.
#[inline(always)]
pub fn translate<P: Packet>(packet: &mut P, family: Family, to: Translation) -> Result<(), Reason> {
    match family {
        Family::V4 => translate_over::<Ipv4, P>(packet, to),
        Family::V6 => translate_over::<Ipv6, P>(packet, to),
    }
}

/// Puts the ends of its way out into the frame.
#[inline(always)]
pub fn lead<P: Packet>(packet: &mut P, hop: &Hop) -> Result<(), Reason> {
    let Some(ethernet) = packet.head::<Ethernet>() else { return Err(Reason::RewriteFailed) };
    ethernet.source = hop.source;
    ethernet.destination = hop.destination;
    Ok(())
}

#[inline(always)]
fn translate_over<I: Ip, P: Packet>(packet: &mut P, to: Translation) -> Result<(), Reason> {
    let Some(frame) = packet.head::<Frame<I>>() else { return Err(Reason::RewriteFailed) };
    let ours = frame.ip.destination();
    let addresses = frame.ip.readdress(ours, to.destination);
    let ports = Change::NONE
        .word16(frame.tcp.source, to.source_port.word())
        .word16(frame.tcp.destination, to.destination_port.word());
    frame.tcp.source = to.source_port.word();
    frame.tcp.destination = to.destination_port.word();
    packet
        .patch_checksum(Frame::<I>::TCP_CHECK_OFFSET, addresses, ports)
        .map_err(|_refused| Reason::RewriteFailed)
}
