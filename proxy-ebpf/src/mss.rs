//! Lowers the maximum segment size that a SYN offers (RFC 9293, section 3.7.1), for paths that are
//! narrower than the ends know and lose the errors that would tell them.
//!
//! A SYN that offers none is left alone: then 536 bytes hold over IPv4 and 1220 over IPv6.

use core::{hint::black_box, mem::offset_of};

use proxy_common::{addr::Family, counter::Counter, reason::Reason};

use crate::{
    checksum::Change,
    environment::Environment,
    options::{self, HEADER, MAX_OPTIONS, MSS, MSS_LEN, Options, PLACES},
    packet::Behind,
    parse::{self, ETHERNET_LEN, Ethernet, Flags, Frame, Ip, Ipv4, Ipv6, Tcp},
};

/// An MSS begins no later than this many options, each of a single byte, after the first.
const MAX_STEPS: u32 = MAX_OPTIONS - MSS_LEN as u32 + 1;

/// What a SYN offers, and where in the frame it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offer {
    offset: u32,
    /// In bytes of payload.
    mss: u16,
}

/// Lowers what a translated segment offers to `most` bytes of payload, if it is a SYN and offers
/// more.
#[inline(always)]
pub fn clamp<P: Behind, E: Environment>(
    packet: &mut P,
    most: u16,
    environment: &E,
) -> Result<(), Reason> {
    let Some(ethernet) = packet.head::<Ethernet>() else { return Ok(()) };
    match parse::family(ethernet.kind) {
        Some(Family::V4) => clamp_over::<Ipv4, P, E>(packet, most, environment),
        Some(Family::V6) => clamp_over::<Ipv6, P, E>(packet, most, environment),
        None => Ok(()),
    }
}

#[inline(always)]
fn clamp_over<I: Ip, P: Behind, E: Environment>(
    packet: &mut P,
    most: u16,
    environment: &E,
) -> Result<(), Reason> {
    let room = packet.frame_len().wrapping_sub(ETHERNET_LEN);
    let Some(frame) = packet.head::<Frame<I>>() else { return Ok(()) };
    if !Flags(frame.tcp.flags).has(Flags::SYN) {
        return Ok(());
    }
    let end = ETHERNET_LEN + frame.ip.packet_len(room)?;
    match Options::of::<I>(&frame.tcp, end) {
        Some(options) => clamp_options(packet, options, most, environment),
        None => Ok(()),
    }
}

/// A function of its own, for its part of the stack.
#[inline(never)]
fn clamp_options<P: Behind, E: Environment>(
    packet: &mut P,
    options: Options,
    most: u16,
    environment: &E,
) -> Result<(), Reason> {
    let Some(offer) = offer(packet, options).filter(|offer| offer.mss > most) else {
        return Ok(());
    };
    lower(packet, options.begin - HEADER, offer, most)?;
    environment.count(Counter::MssClamped);
    Ok(())
}

/// The first one that is whole and of the right length; what follows an option of no possible
/// length is not looked at.
#[inline(always)]
fn offer<P: Behind>(packet: &P, options: Options) -> Option<Offer> {
    let mut at = 0;
    for _ in 0..MAX_STEPS {
        if at + u32::from(MSS_LEN) > options.len {
            return None;
        }
        let [kind, len, high, low] = packet.load(options.begin + at)?;
        if kind == MSS && len == MSS_LEN {
            let mss = u16::from_be_bytes([high, low]);
            return Some(Offer { offset: options.begin + at + 2, mss });
        }
        let step = options::step(kind, len);
        if step == 0 || at + step > options.len {
            return None;
        }
        at = black_box(at + step) & PLACES;
    }
    None
}

#[inline(always)]
fn lower<P: Behind>(packet: &mut P, tcp: u32, offer: Offer, most: u16) -> Result<(), Reason> {
    let (old, new) = (offer.mss.to_be_bytes(), most.to_be_bytes());
    let change = Change::NONE.bytes(offer.offset - tcp, old, new);
    let check = tcp as usize + offset_of!(Tcp, check);
    packet
        .store(offer.offset, new)
        .and_then(|()| packet.patch_checksum(check, Change::NONE, change))
        .map_err(|_refused| Reason::RewriteFailed)
}

#[cfg(test)]
mod tests;
