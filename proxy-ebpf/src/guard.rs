//! What the agent's own sockets send of connections that can be handed over. Before that, it is kept
//! on record what they promise; after it, they have nothing to say: the FIN or RST of a socket whose
//! agent has died would end a connection that goes on without it.

use proxy_common::{
    config::Config,
    counter::Counter,
    flow::{Direction, FlowKey},
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
    let wanted = wanted(config, mark);
    if wanted == NONE {
        return Leave::Granted;
    }
    let Some((key, family)) = parse::answers(packet, config, wanted) else {
        return Leave::Granted;
    };
    let Some(mut seen) = environment.scratch() else { return Leave::Granted };
    if !seen::see(packet, family, &mut seen) {
        return Leave::Granted;
    }
    let leave = put_on_record(&key, &seen, environment);
    if leave == Leave::Refused {
        environment.count(Counter::Guarded);
    }
    leave
}

/// TCP's flags: none of them.
const NONE: u8 = 0;

/// Packets of such a socket are looked at if they have one of these flags. Most connections end
/// young, and pay for no more than their SYNs.
#[inline(always)]
const fn wanted(config: &Config, mark: u32) -> u8 {
    if config.mark == 0 {
        NONE
    } else if mark == config.mark {
        Flags::ANY
    } else if mark == config.mark | Config::YOUNG {
        Flags::SYN
    } else {
        NONE
    }
}

/// `key`: of the packets of the end that this one goes to.
#[inline(always)]
fn put_on_record<E: Environment>(key: &FlowKey, seen: &Seen, environment: &E) -> Leave {
    let flow = environment.flow(key).filter(|flow| flow.track != TrackId::NONE);
    let (client, direction, id) = match &flow {
        Some(flow) => (client_key(key, flow), flow.direction, flow.track),
        // Of a client for whom no backend is chosen yet.
        None => (*key, Direction::ToBackend, TrackId::NONE),
    };
    drop(flow);
    environment.with_track(&client, Leave::Granted, |track| {
        if id != TrackId::NONE && id != track.id {
            return Leave::Granted;
        }
        if track.stage == Stage::HandedOver {
            return Leave::Refused;
        }
        track::say(leg(track, direction), seen);
        Leave::Granted
    })
}
