//! What a packet tells of the leg that it passes: pure, and under the record's lock, where nothing
//! may be called.

use proxy_common::track::{Leg, Seed};

use crate::{parse::Flags, seen::Seen};

/// Is `one` later than `other`? Of numbers that wrap, less than 2^31 apart (RFC 1982).
#[inline(always)]
pub const fn after(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) > 0
}

/// The later one, or the new one where the old means nothing yet.
#[inline(always)]
pub const fn newest(means_something: bool, old: u32, new: u32) -> u32 {
    if means_something && after(old, new) { old } else { new }
}

/// A packet has come from this end. Its data are not yet counted.
#[inline(always)]
pub fn hear(leg: &mut Leg, seen: &Seen) {
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

/// The data of a packet that goes to our socket. A SYN bears none that count: the connection is open.
#[inline(always)]
pub fn count(leg: &mut Leg, seen: &Seen) {
    if !seen.flags.has(Flags::SYN) {
        reach(leg, seen.end);
    }
}

/// What the socket knows besides: of packets that came before the record, or by another way.
#[inline(always)]
pub fn sow(leg: &mut Leg, seed: &Seed) {
    reach(leg, seed.end);
    leg.acked = newest(leg.has(Leg::ACKED), leg.acked, seed.acked);
}

#[inline(always)]
fn reach(leg: &mut Leg, end: u32) {
    leg.end = newest(leg.has(Leg::COUNTED), leg.end, end);
    leg.flags |= Leg::COUNTED;
}

/// A packet of our socket's leaves for this end. What it has promised before, a later packet says
/// again: a window never shrinks (tcp_select_window in net/ipv4/tcp_output.c), but where a host sets
/// net.ipv4.tcp_shrink_window; there a peer may send more than the other takes, and has to repeat it.
#[inline(always)]
pub fn say(leg: &mut Leg, seen: &Seen) {
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
