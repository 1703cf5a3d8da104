//! What the agent's own sockets send of connections that can be handed over. Before that, it is kept
//! on record what they promise; after it, they have nothing to say: the FIN or RST of a socket whose
//! agent has died would end a connection that goes on without it.

use proxy_common::{
    counter::Counter,
    flow::FlowKey,
    track::{Stage, TrackId},
};

use crate::{
    environment::Environment,
    handover::{client_key, leg},
    packet::Behind,
    parse,
    seen::{self, Seen},
    track,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    Granted,
    /// Counted already.
    Refused,
}

/// `mark`: of the socket that sends the packet. Sockets of young connections have none, and pay for
/// no more than this look.
#[inline(always)]
pub fn guard<P: Behind, E: Environment>(packet: &mut P, mark: u32, environment: &E) -> Leave {
    let Some(config) = environment.config() else { return Leave::Granted };
    if config.mark == 0 || config.mark != mark {
        return Leave::Granted;
    }
    let Some((key, family)) = parse::answers(packet, config) else {
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

/// `key`: of the packets of the end that this one goes to.
#[inline(always)]
fn put_on_record<E: Environment>(key: &FlowKey, seen: &Seen, environment: &E) -> Leave {
    let Some(flow) = environment.flow(key).filter(|flow| flow.track != TrackId::NONE) else {
        return Leave::Granted;
    };
    let (client, direction, id) = (client_key(key, &flow), flow.direction, flow.track);
    drop(flow);
    environment.with_track(&client, Leave::Granted, |track| {
        if id != track.id {
            return Leave::Granted;
        }
        if track.stage == Stage::HandedOver {
            return Leave::Refused;
        }
        track::say(leg(track, direction), seen);
        Leave::Granted
    })
}
