//! May the program take a connection over with this packet? If so, nothing is in the agent's hands:
//! all that came from either end has reached the other and was acknowledged there, and this packet
//! is the next.
//!
//! Everything that has gone to a socket since there is a record was counted before it did, and what
//! had passed the program before that was in the socket when its numbers were read: a grace period
//! lies between the two. A byte anywhere else makes an equality false, and the connection stays with
//! the agent. But for those that had come out of order before there was a record: the socket takes them
//! with it, and their sender, which has been told that they were there, sends them again as for a
//! receiver that reneges (RFC 2018, section 8).

use proxy_common::{
    addr::Family,
    flow::Direction,
    track::{Arm, Leg, Offer, Shift, Stage, Track},
};

use crate::{
    parse::Flags,
    seen::Seen,
    track::{after, sow},
};

/// Takes the connection over if it may. Called with the record locked and not yet handed over, and
/// with a packet of `direction` that was heard and whose data are not counted.
#[inline(always)]
pub fn flip(
    track: &mut Track,
    direction: Direction,
    family: Family,
    seen: &Seen,
    arm: &Arm,
) -> bool {
    if arm.id != track.id || !is_plain(seen.flags) {
        return false;
    }
    sow(&mut track.client, &arm.client);
    sow(&mut track.backend, &arm.backend);
    let (client, backend) = (&track.client, &track.backend);
    let next = match direction {
        Direction::ToBackend => client.end,
        Direction::ToClient => backend.end,
    };
    let may = seen.sequence == next
        && is_known(client, seen)
        && is_known(backend, seen)
        && client.suits(backend, family)
        && is_quiet(client, backend, arm.to_backend)
        && is_quiet(backend, client, arm.to_client)
        && is_honest(client, backend, arm.to_backend)
        && is_honest(backend, client, arm.to_client);
    if may {
        shift(track, arm);
    }
    may
}

/// All that has come from the one end has reached the other. `offset`: how much more the other calls
/// the one's numbers by.
#[inline(always)]
const fn is_quiet(from: &Leg, to: &Leg, offset: u32) -> bool {
    to.acked == from.end.wrapping_add(offset)
}

/// The one end was told of no more room than the other has.
#[inline(always)]
const fn is_honest(from: &Leg, to: &Leg, offset: u32) -> bool {
    !after(from.promised.wrapping_add(offset), to.edge)
}

/// An acknowledgement, with or without data.
#[inline(always)]
const fn is_plain(flags: Flags) -> bool {
    flags.0 & (Flags::SYN | Flags::FIN | Flags::RST | Flags::ACK) == Flags::ACK
}

/// A packet of each side is on record, and neither wants to end. Where timestamps are in use, so is
/// one of each: else the first that an end gets from the other may look older than the last (RFC
/// 7323, section 5.2).
#[inline(always)]
const fn is_known(leg: &Leg, seen: &Seen) -> bool {
    let is_stamped = leg.agreed() & Offer::TIMESTAMPS == 0
        || leg.has(Leg::STAMPED | Leg::OWN_STAMPED) && seen.is_stamped;
    leg.has(Leg::ACKED | Leg::PROMISED) && leg.flags & Leg::OVER == 0 && is_stamped
}

/// Each end's next timestamp becomes the next after the last that our socket has sent to the other;
/// clocks that tick unlike each other stay apart from then on, and the echo undoes it.
#[inline(always)]
fn shift(track: &mut Track, arm: &Arm) {
    let next = |leg: &Leg| leg.own_tsval.wrapping_add(1);
    let to_backend = next(&track.backend).wrapping_sub(track.client.tsval);
    let to_client = next(&track.client).wrapping_sub(track.backend.tsval);
    track.to_backend = Shift {
        sequence: arm.to_backend,
        acknowledgement: arm.to_client.wrapping_neg(),
        tsval: to_backend,
        tsecr: to_client.wrapping_neg(),
        scale_from: track.client.peer_scale(),
        scale_to: track.backend.own_scale(),
        padding: 0,
    };
    track.to_client = Shift {
        sequence: arm.to_client,
        acknowledgement: arm.to_backend.wrapping_neg(),
        tsval: to_client,
        tsecr: to_backend.wrapping_neg(),
        scale_from: track.backend.peer_scale(),
        scale_to: track.client.own_scale(),
        padding: 0,
    };
    track.stage = Stage::HandedOver;
}

#[cfg(test)]
mod tests;
