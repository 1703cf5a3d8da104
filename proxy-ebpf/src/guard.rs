//! What the agent's own sockets send of connections that can be handed over. Before that, it is kept
//! on record what they promise; after it, they have nothing to say: the FIN or RST of a socket whose
//! agent has died would end a connection that goes on without it.

use proxy_common::{
    config::Config,
    counter::Counter,
    flow::Direction,
    track::{Stage, TrackId},
};

use crate::{
    environment::Environment,
    handover::{client_key, leg},
    packet::Behind,
    parse::{self, Flags},
    seen::{self, Seen},
    track,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    Granted,
    /// Counted already.
    Refused,
}

/// `mark`: of the socket that sends the packet.
#[inline(always)]
pub fn guard<P: Behind, E: Environment>(packet: &mut P, mark: u32, environment: &E) -> Leave {
    let Some(config) = environment.config() else { return Leave::Granted };
    let is_young = mark == config.mark | Config::YOUNG;
    if config.mark == 0 || config.mark != mark && !is_young {
        return Leave::Granted;
    }
    let Some((key, family, flags)) = parse::answers(packet, config) else { return Leave::Granted };
    if is_young && !flags.has(Flags::SYN) {
        // Most connections end young, and pay for no more than this.
        return Leave::Granted;
    }
    // The packets of the end that this one goes to.
    let flow = environment.flow(&key).filter(|flow| flow.track != TrackId::NONE);
    let (client, direction, id) = match &flow {
        Some(flow) => (client_key(&key, flow), flow.direction, flow.track),
        // Of a client for whom no backend is chosen yet.
        None => (key, Direction::ToBackend, TrackId::NONE),
    };
    drop(flow);
    let Some(mut seen) = environment.scratch() else { return Leave::Granted };
    if !seen::see(packet, family, &mut seen) {
        return Leave::Granted;
    }
    let seen: &Seen = &seen;
    let leave = environment.with_track(&client, Leave::Granted, |track| {
        if id != TrackId::NONE && id != track.id {
            return Leave::Granted;
        }
        if track.stage == Stage::HandedOver {
            return Leave::Refused;
        }
        let leg = leg(track, direction);
        if seen.flags.has(Flags::SYN) {
            track::introduce(leg, seen)
        } else {
            track::say(leg, seen)
        }
        Leave::Granted
    });
    if leave == Leave::Refused {
        environment.count(Counter::Guarded);
    }
    leave
}
