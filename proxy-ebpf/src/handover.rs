//! A connection that was accepted in user space: its packets go to the agent's sockets. Once the agent
//! has made a record of it they are counted there, until with one of them the program takes the
//! connection over and forwards it from then on.

use proxy_common::{
    config::Opens,
    counter::Counter,
    event::Change,
    flow::{Direction, Flow, FlowKey},
    reason::Reason,
    track::{Arm, Leg, Shift, Stage, Track, TrackId},
};

use crate::{
    environment::Environment,
    flip,
    packet::Behind,
    parse::{Flags, Segment},
    seen::{self, Seen},
    shift, track,
};

/// The key of the record: of the client's packets.
#[inline(always)]
pub const fn client_key(key: &FlowKey, flow: &Flow) -> FlowKey {
    match flow.direction {
        Direction::ToBackend => *key,
        Direction::ToClient => flow.twin(key.local),
    }
}

/// What became of a packet, by its record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// The entry is what is left of an earlier connection.
    NoTrack,
    Relayed,
    /// With this very packet.
    Taken,
    HandedOver,
}

/// A packet that is in the table, with a track. If it is to be forwarded, its numbers are translated;
/// what is left to do is what is done for every flow.
///
/// A function of its own, for its part of the stack.
#[inline(never)]
pub fn carry<P: Behind, E: Environment>(
    packet: &mut P,
    flow: &mut Flow,
    segment: &Segment,
    environment: &E,
) -> Result<(), Reason> {
    let Some(mut seen) = environment.scratch() else { return Err(Reason::Relayed) };
    if !seen::see(packet, segment.family, &mut seen) {
        return Err(Reason::Malformed);
    }
    let client = client_key(&segment.key, flow);
    if flow.stage == Stage::Relayed {
        match follow(&client, flow, segment, &seen, environment) {
            Found::NoTrack | Found::Relayed => return Err(relayed(flow, segment, environment)),
            Found::HandedOver => {}
            Found::Taken => {
                environment.count_opened(flow.backend);
                environment.count(Counter::HandedOver);
                environment.tell(Change::HandedOver, &segment.key);
            }
        }
        flow.stage = Stage::HandedOver;
    }
    let by = environment.shift(&client, flow.track, flow.direction).ok_or(Reason::Relayed)?;
    shift::shift(packet, segment.family, &seen, by)
}

/// What the table must know of it nevertheless: that it is in use, and how to reset it.
#[inline(always)]
fn relayed<E: Environment>(flow: &mut Flow, segment: &Segment, environment: &E) -> Reason {
    flow.seen = environment.now();
    if segment.flags.has(Flags::ACK) {
        flow.acked = segment.acknowledgement;
    }
    Reason::Relayed
}

/// Puts the packet on record, or takes the connection over with it.
///
/// A function of its own, for its part of the stack.
#[inline(never)]
fn follow<E: Environment>(
    client: &FlowKey,
    flow: &Flow,
    segment: &Segment,
    seen: &Seen,
    environment: &E,
) -> Found {
    let (id, direction, family) = (flow.track, flow.direction, segment.family);
    let arm = arm(client, flow, segment, environment);
    environment.with_track(client, Found::NoTrack, |track| {
        if track.id != id {
            return Found::NoTrack;
        }
        if track.stage == Stage::HandedOver {
            return Found::HandedOver;
        }
        track::hear(leg(track, direction), seen);
        if let Some(arm) = arm
            && flip::flip(track, direction, family, seen, arm)
        {
            return Found::Taken;
        }
        track::count(leg(track, direction), seen);
        Found::Relayed
    })
}

/// Of the end that packets of this direction come from.
#[inline(always)]
pub const fn leg(track: &mut Track, direction: Direction) -> &mut Leg {
    match direction {
        Direction::ToBackend => &mut track.client,
        Direction::ToClient => &mut track.backend,
    }
}

/// What the agent has added, if both entries are there to be forwarded by, and the packet could be
/// forwarded.
#[inline(always)]
fn arm<'a, E: Environment>(
    client: &FlowKey,
    flow: &Flow,
    segment: &Segment,
    environment: &'a E,
) -> Option<&'a Arm> {
    // Without the guard, which is there while the listener opens, a record is not kept whole.
    environment.config().filter(|config| config.opens == Opens::Listener)?;
    let twin = environment.flow(&flow.twin(segment.key.local))?;
    let may = twin.track == flow.track && segment.hops > 1;
    drop(twin);
    if may { environment.arm(client) } else { None }
}

/// Of a connection that was handed over: no word of these changes any more.
#[inline(always)]
pub fn shift_of(track: &Track, id: TrackId, direction: Direction) -> Option<&Shift> {
    if track.id != id {
        return None;
    }
    Some(match direction {
        Direction::ToBackend => &track.to_backend,
        Direction::ToClient => &track.to_client,
    })
}

#[cfg(test)]
mod tests;
