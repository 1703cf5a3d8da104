//! ICMP errors about packets that we translated, for the side that sent them: without these, path
//! MTU discovery ends at the appliance (RFC 1191, RFC 8201).
//!
//! The packet inside an error is one that left here. Its answer has an entry in the table, and
//! that entry leads back to the sender. A quotation that reaches as far as TCP's checksum keeps the
//! one that it has: nobody can verify it over a packet cut short.

use core::mem::offset_of;

use proxy_common::{
    addr::{Family, Port},
    config::Config,
    flow::{Direction, Flow, FlowKey, Half},
    reason::Reason,
    track::{Stage, TrackId},
};

use crate::{
    checksum::Change,
    environment::Environment,
    handover::client_key,
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

impl<I> ErrorFrame<I> {
    const CHECK_OFFSET: usize = offset_of!(Self, icmp) + offset_of!(Icmp, check);
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

/// A function of its own, so that segments do not carry its part of the stack.
#[inline(never)]
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
    if !frame.ip.verifies() {
        return Err(Reason::BadChecksum);
    }
    if frame.inner.carries_tcp().is_err() {
        return Err(Reason::IcmpOfNoFlow);
    }
    let answers = answers(frame, config).ok_or(Reason::IcmpOfNoFlow)?;
    let flow = environment.flow(&answers).ok_or(Reason::IcmpOfNoFlow)?;
    let back = offset_back(&answers, &flow, environment).ok_or(Reason::IcmpOfNoFlow)?;
    if concerns_a_syn(&flow) {
        return Err(Reason::IcmpWhileOpening);
    }
    if frame.ip.hops() <= 1 {
        return Err(Reason::TtlExpired);
    }
    let ours = frame.inner.source();
    let message = quote(frame, &flow).and(renumber(frame, back));
    let addresses = frame.ip.readdress(ours, flow.peer);
    // ICMP has no pseudo header over IPv4.
    let pseudo_header = if I::FAMILY == Family::V6 { addresses } else { Change::NONE };
    packet
        .patch_checksum(ErrorFrame::<I>::CHECK_OFFSET, pseudo_header, message)
        .map_err(|_refused| Reason::RewriteFailed)
}

#[inline(always)]
fn is_error(family: Family, kind: u8) -> bool {
    match family {
        Family::V4 => ERRORS_V4.contains(&kind),
        Family::V6 => ERRORS_V6.contains(&kind),
    }
}

/// The key of the answers to the quoted packet.
#[inline(always)]
fn answers<I: Ip>(frame: &ErrorFrame<I>, config: &Config) -> Option<FlowKey> {
    Some(FlowKey {
        remote: frame.inner.destination(),
        remote_port: Port::from_word(frame.inner_destination),
        local_port: Port::from_word(frame.inner_source),
        local: config.local(frame.inner.source())?,
        padding: 0,
    })
}

/// A client that is told of an unreachable backend gives up. Untold, it repeats its SYN, which then
/// goes to another one.
#[inline(always)]
fn concerns_a_syn(answers: &Flow) -> bool {
    answers.direction == Direction::ToClient && answers.half == Half::Opening
}

/// Quotes the packet as its sender, whom its answers go to, sent it. Returns what changed in
/// ICMP's checksum.
#[inline(always)]
fn quote<I: Ip>(frame: &mut ErrorFrame<I>, answers: &Flow) -> Change {
    let (source, destination) = (answers.peer_port.word(), answers.own_port.word());
    let ports = Change::NONE
        .word16(frame.inner_source, source)
        .word16(frame.inner_destination, destination);
    frame.inner_source = source;
    frame.inner_destination = destination;
    let ours = frame.inner.source();
    ports.and(frame.inner.quote(answers.peer, ours))
}

/// What is added to the quoted sequence number, so that its sender knows it; `None` if that is one of
/// the agent's sockets.
#[inline(always)]
fn offset_back<E: Environment>(answers: &FlowKey, flow: &Flow, environment: &E) -> Option<u32> {
    if flow.track == TrackId::NONE {
        return Some(0);
    }
    if flow.stage == Stage::Relayed {
        return None;
    }
    let by = environment.shift(&client_key(answers, flow), flow.track, flow.direction)?;
    Some(by.acknowledgement)
}

/// Returns what changed in ICMP's checksum.
#[inline(always)]
fn renumber<I>(frame: &mut ErrorFrame<I>, back: u32) -> Change {
    let [high, low] = frame.inner_sequence;
    let old = u32::from(u16::from_be(high)) << 16 | u32::from(u16::from_be(low));
    let new = old.wrapping_add(back);
    frame.inner_sequence = [((new >> 16) as u16).to_be(), (new as u16).to_be()];
    Change::NONE.word16(high, frame.inner_sequence[0]).word16(low, frame.inner_sequence[1])
}

#[cfg(test)]
mod tests;
