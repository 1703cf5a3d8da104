//! ICMP errors about packets that we translated, for the side that sent them: without these, path
//! MTU discovery ends at the appliance (RFC 1191, RFC 8201).
//!
//! The packet inside an error is one that left here. Its answer has an entry in the table, and
//! that entry leads back to the sender. A quotation that reaches as far as TCP's checksum keeps the
//! one that it has: nobody can verify it over a packet cut short.

use core::mem::offset_of;

use proxy_common::{
    addr::{Addr, Family, Port},
    config::{Config, LocalId},
    flow::{Direction, Flow, FlowKey, Half},
    reason::Reason,
};

use crate::{
    checksum::Change,
    environment::Environment,
    packet::{Header, Packet},
    parse::{self, Ethernet, Ip, Ipv4, Ipv6},
};

/// An error, up to the first eight bytes of the TCP header inside it: all that there must be
/// (RFC 792), and all that is needed.
#[repr(C)]
struct ErrorFrame<I> {
    ethernet: Ethernet,
    ip: I,
    icmp: Icmp,
    inner: I,
    inner_source: u16,
    inner_destination: u16,
    inner_sequence: [u16; 2],
}

/// RFC 792, and RFC 4443, section 2.1. `rest` holds the path's MTU, which stays as it is.
#[repr(C, packed(2))]
struct Icmp {
    kind: u8,
    code: u8,
    check: u16,
    rest: u32,
}

#[allow(unsafe_code, reason = "the promise that `Header` asks for")]
mod header {
    // SAFETY: of parts that are integers packed to two, each of an even size: without padding.
    unsafe impl<I: super::Ip> super::Header for super::ErrorFrame<I> {}
}

/// Destination unreachable (fragmentation needed is one), time exceeded, parameter problem.
const ERRORS_V4: [u8; 3] = [3, 11, 12];
/// Destination unreachable, packet too big, time exceeded, parameter problem.
const ERRORS_V6: [u8; 4] = [1, 2, 3, 4];

/// Where the error goes, and what the packet inside it was before we translated it.
struct Way {
    local: Addr,
    sender: Addr,
    sender_port: Port,
    own_port: Port,
}

/// Translates an ICMP error in place; anything else is left as it came.
#[inline(always)]
pub fn relay<P: Packet, E: Environment>(
    packet: &mut P,
    config: &Config,
    environment: &E,
) -> Result<(), Reason> {
    let Some(ethernet) = packet.head::<Ethernet>() else { return Err(Reason::NotTcp) };
    match parse::family(ethernet.kind) {
        Some(Family::V4) => relay_over::<Ipv4, P, E>(packet, config, environment),
        Some(Family::V6) => relay_over::<Ipv6, P, E>(packet, config, environment),
        None => Err(Reason::NotTcp),
    }
}

#[inline(always)]
fn relay_over<I: Ip, P: Packet, E: Environment>(
    packet: &mut P,
    config: &Config,
    environment: &E,
) -> Result<(), Reason> {
    let Some(frame) = packet.head::<ErrorFrame<I>>() else { return Err(Reason::NotTcp) };
    if !frame.ip.carries_icmp() || !is_error(I::FAMILY, frame.icmp.kind) {
        return Err(Reason::NotTcp);
    }
    if config.local(frame.ip.destination()).is_none() {
        return Err(Reason::NotOurs);
    }
    let local = config.local(frame.inner.source()).ok_or(Reason::IcmpOfNoFlow)?;
    frame.inner.carries_tcp().map_err(|_| Reason::IcmpOfNoFlow)?;
    let way = way(frame, local, environment)?;
    if frame.ip.hops() <= 1 {
        return Err(Reason::TtlExpired);
    }
    let inside = readdress_inner(frame, &way);
    let addresses = frame.ip.readdress(way.local, way.sender);
    // ICMP has no pseudo header over IPv4.
    let pseudo_header = if I::FAMILY == Family::V6 { addresses } else { Change::NONE };
    packet
        .patch_checksum(
            offset_of!(ErrorFrame<I>, icmp) + offset_of!(Icmp, check),
            pseudo_header,
            inside,
        )
        .map_err(|_refused| Reason::RewriteFailed)
}

#[inline(always)]
fn is_error(family: Family, kind: u8) -> bool {
    match family {
        Family::V4 => ERRORS_V4.contains(&kind),
        Family::V6 => ERRORS_V6.contains(&kind),
    }
}

#[inline(always)]
fn way<I: Ip, E: Environment>(
    frame: &ErrorFrame<I>,
    local: LocalId,
    environment: &E,
) -> Result<Way, Reason> {
    let answers = FlowKey {
        remote: frame.inner.destination(),
        remote_port: Port::from_word(frame.inner_destination),
        local_port: Port::from_word(frame.inner_source),
        local,
        padding: 0,
    };
    let flow = environment.flow(&answers).ok_or(Reason::IcmpOfNoFlow)?;
    if concerns_a_syn(&flow) {
        return Err(Reason::IcmpWhileOpening);
    }
    Ok(Way {
        local: frame.inner.source(),
        sender: flow.peer,
        sender_port: flow.peer_port,
        own_port: flow.own_port,
    })
}

/// A client that is told of an unreachable backend gives up. Untold, it repeats its SYN, which then
/// goes to another one.
#[inline(always)]
fn concerns_a_syn(answers: &Flow) -> bool {
    answers.direction == Direction::ToClient && answers.half == Half::Opening
}

/// The packet inside, as its sender sent it. Returns what changed in ICMP's checksum.
#[inline(always)]
fn readdress_inner<I: Ip>(frame: &mut ErrorFrame<I>, way: &Way) -> Change {
    let ports = Change::NONE
        .word16(frame.inner_source, way.sender_port.word())
        .word16(frame.inner_destination, way.own_port.word());
    frame.inner_source = way.sender_port.word();
    frame.inner_destination = way.own_port.word();
    ports.and(frame.inner.quote(way.sender, way.local))
}

#[cfg(test)]
mod tests;
