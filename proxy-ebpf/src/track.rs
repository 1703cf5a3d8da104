//! What a packet tells of the leg that it passes: pure, and under the record's lock, where nothing
//! may be called.

use proxy_common::{
    stamp::Stamp,
    track::{Leg, Seed, Stage, Track, TrackId},
};

use crate::{parse::Flags, seen::Seen};

/// Is `one` later than `other`? Of numbers that wrap, less than 2^31 apart (RFC 1982).
#[inline(always)]
pub const fn after(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) > 0
}

#[inline(always)]
pub const fn later(one: u32, other: u32) -> u32 {
    if after(one, other) { one } else { other }
}

/// The later one, or the new one where the old means nothing yet.
#[inline(always)]
pub const fn newest(means_something: bool, old: u32, new: u32) -> u32 {
    if means_something && after(old, new) { old } else { new }
}

/// Begins the record of a connection with its client's SYN; whatever it was is forgotten.
#[inline(always)]
pub fn begin(track: &mut Track, id: TrackId, now: Stamp, syn: &Seen) {
    track.id = id;
    track.stage = Stage::Relayed;
    track.began = now;
    // Without its flags a leg means nothing; to write all of it, older kernels would call something.
    track.client.flags = 0;
    track.backend.flags = 0;
    hear(&mut track.client, syn);
}

/// Does this SYN of the client's begin another connection than the one on record? It may for as
/// long as the handshake goes on; after that the stack answers it, and the record is not to be lost
/// to whoever forges one.
#[inline(always)]
pub fn begins_anew(track: &Track, syn: &Seen) -> bool {
    track.client.flags & (Leg::ACKED | Leg::HEARD) == Leg::HEARD && track.client.end != syn.end
}

/// A packet has come from this end. Its data are not yet counted.
#[inline(always)]
pub fn hear(leg: &mut Leg, seen: &Seen) {
    if seen.flags.has(Flags::SYN) {
        hear_syn(leg, seen);
    }
    if seen.flags.has(Flags::FIN | Flags::RST) {
        leg.flags |= Leg::OVER;
    }
    if seen.flags.has(Flags::ACK) {
        let before = leg.has(Leg::ACKED);
        leg.acked = newest(before, leg.acked, seen.acknowledgement);
        leg.edge = newest(before, leg.edge, seen.edge(leg.peer_scale()));
        leg.flags |= Leg::ACKED;
    }
    if seen.is_stamped {
        leg.tsval = newest(leg.has(Leg::STAMPED), leg.tsval, seen.tsval);
        leg.flags |= Leg::STAMPED;
    }
}

/// The data of a packet that goes to our socket. A SYN's were counted when it was heard.
#[inline(always)]
pub fn count(leg: &mut Leg, seen: &Seen) {
    if !seen.flags.has(Flags::SYN) {
        leg.end = later(seen.end, leg.end);
    }
}

/// What the socket knows besides: of packets that came by another way.
#[inline(always)]
pub fn sow(leg: &mut Leg, seed: &Seed) {
    leg.end = later(seed.end, leg.end);
    leg.acked = later(seed.acked, leg.acked);
}

/// One that comes again tells nothing new.
#[inline(always)]
fn hear_syn(leg: &mut Leg, seen: &Seen) {
    if leg.has(Leg::HEARD) {
        return;
    }
    leg.end = seen.end;
    leg.peer = seen.offer;
    leg.flags |= Leg::HEARD;
}

/// A packet of our socket's leaves for this end.
#[inline(always)]
pub fn say(leg: &mut Leg, seen: &Seen) {
    match seen.flags.has(Flags::SYN) {
        true => introduce(leg, seen),
        false => promise(leg, seen),
    }
}

/// Our socket's SYN leaves for this end. What it promises, a later packet says again: a window never
/// shrinks (tcp_select_window in net/ipv4/tcp_output.c).
#[inline(always)]
fn introduce(leg: &mut Leg, seen: &Seen) {
    if seen.flags.opens() {
        // To a backend, perhaps not the first one: what was known of another is of no use.
        leg.flags = 0;
    }
    leg.own = seen.offer;
    leg.flags |= Leg::SAID;
}

#[inline(always)]
fn promise(leg: &mut Leg, seen: &Seen) {
    if seen.flags.has(Flags::FIN | Flags::RST) {
        leg.flags |= Leg::OVER;
    }
    if seen.flags.has(Flags::ACK) {
        let edge = seen.edge(leg.own_scale());
        leg.promised = newest(leg.has(Leg::PROMISED), leg.promised, edge);
        leg.flags |= Leg::PROMISED;
    }
    if seen.is_stamped {
        leg.own_tsval = newest(leg.has(Leg::OWN_STAMPED), leg.own_tsval, seen.tsval);
        leg.flags |= Leg::OWN_STAMPED;
    }
}

#[cfg(test)]
mod tests;
