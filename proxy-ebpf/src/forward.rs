//! The one path of a packet: parse, look up or select, account, translate.

use proxy_common::{
    backend::BackendId,
    config::{Config, Opens},
    event::Change,
    flow::{Direction, Flow, Half, Life},
    reason::Reason,
    stamp::{Age, Stamp},
    track::TrackId,
};

use crate::{
    environment::Environment,
    exits, handover, icmp, life, mss,
    packet::{Behind, Exit, Leaving},
    parse::{self, Flags, Segment},
    select,
    translate::{self, Translation},
};

/// A SYN that comes again this long after the last was answered by nobody. Linux repeats a SYN
/// after a second (RFC 6298, section 2); copies made by the network come sooner.
const SYN_UNANSWERED: Age = Age::from_millis(500);

/// The packet was translated: it leaves through this interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send {
    pub ifindex: u32,
}

/// Decides about one packet and translates it in place. Nothing of the packet has changed when the
/// reason is one to pass it to the stack.
#[inline(always)]
pub fn forward<P: Behind, E: Environment>(packet: &mut P, environment: &E) -> Result<Send, Reason> {
    let config = environment.config().ok_or(Reason::NotConfigured)?;
    match forward_segment(packet, config, environment) {
        Err(Reason::NotTcp) => icmp::relay(packet, config, environment)?,
        // Here, and not where the segment is known: the stack there is full.
        Ok(()) if config.mss_clamp != 0 => mss::clamp(packet, config.mss_clamp, environment)?,
        forwarded => forwarded?,
    }
    Ok(Send { ifindex: config.ifindex })
}

/// A function of its own, beside [`icmp::relay`]: each has the whole of the small stack.
#[inline(never)]
fn forward_segment<P: Behind, E: Environment>(
    packet: &mut P,
    config: &Config,
    environment: &E,
) -> Result<(), Reason> {
    let segment = parse::segment(packet, config)?;
    let to = match known(packet, &segment, environment)? {
        Known::Flow(translation) => translation,
        Known::Nothing { .. } if is_the_listeners(&segment, config) => {
            return Err(Reason::Relayed);
        }
        Known::Nothing { unanswered } if opens(&segment, config) => {
            must_have_hops(&segment)?;
            let to = select::open(&segment, unanswered, config, environment)?;
            environment.tell(Change::Opened, &segment.key);
            to
        }
        Known::Nothing { .. } if segment.key.local_port == config.listen => {
            return Err(Reason::UnknownFlow);
        }
        Known::Nothing { .. } => return Err(Reason::OtherPort),
    };
    translate::translate(packet, segment.family, to)
}

/// The same for what is in the table already, and nothing else: for a hook with another behind it
/// that calls [`forward`].
#[inline(always)]
pub fn forward_established<P: Leaving, E: Environment>(
    packet: &mut P,
    environment: &E,
) -> Result<Send, Reason> {
    let config = environment.config().ok_or(Reason::NotConfigured)?;
    let segment = parse::segment(packet, config)?;
    if segment.flags.has(Flags::SYN) {
        return Err(Reason::UnknownFlow);
    }
    let flow = environment.flow(&segment.key).ok_or(Reason::UnknownFlow)?;
    if flow.track != TrackId::NONE {
        // TC reads options, and knows the agent's sockets.
        return Err(Reason::Relayed);
    }
    must_have_hops(&segment)?;
    let exit = Exit {
        family: segment.family,
        local: segment.key.local,
        source: config.address(segment.key.local),
        destination: &flow.peer,
        bytes: segment.bytes,
        ifindex: config.ifindex,
    };
    // Asked for once: the clock is a tenth of all that is done here.
    let now = environment.now();
    let hop = exits::find(packet, &exit, now, environment)?;
    let to = account(flow, &segment, now, environment);
    translate::translate(packet, segment.family, to)?;
    translate::lead(packet, &hop)?;
    Ok(Send { ifindex: config.ifindex })
}

enum Known {
    Flow(Translation),
    /// No entry, or none any more. `unanswered`: the backend that it was, and that kept silent; or
    /// [`BackendId::NONE`].
    Nothing {
        unanswered: BackendId,
    },
}

#[inline(always)]
fn known<P: Behind, E: Environment>(
    packet: &mut P,
    segment: &Segment,
    environment: &E,
) -> Result<Known, Reason> {
    let Some(mut flow) = environment.flow(&segment.key) else {
        return Ok(Known::Nothing { unanswered: BackendId::NONE });
    };
    if flow.track == TrackId::NONE {
        must_have_hops(segment)?;
    }
    if segment.flags.opens()
        && flow.direction == Direction::ToBackend
        && let Some(over) = over(&flow, segment, environment)
    {
        return Ok(over);
    }
    if flow.track != TrackId::NONE {
        handover::carry(packet, &mut flow, segment, environment)?;
        must_have_hops(segment)?;
    }
    Ok(Known::Flow(account(flow, segment, environment.now(), environment)))
}

/// Asked before the packet is taken into any account: what cannot leave has not happened.
#[inline(always)]
const fn must_have_hops(segment: &Segment) -> Result<(), Reason> {
    if segment.hops <= 1 { Err(Reason::TtlExpired) } else { Ok(()) }
}

/// Takes a packet into the account of its flow; returns what becomes of it.
#[inline(always)]
fn account<E: Environment>(
    mut flow: E::Entry<'_>,
    segment: &Segment,
    now: Stamp,
    environment: &E,
) -> Translation {
    let to = Translation::of(&flow);
    let ended = life::advance(&mut flow, segment, now, environment);
    drop(flow);
    if let Some(change) = ended {
        environment.tell(change, &segment.key);
    }
    to
}

/// A client's SYN for a connection that is in the table: is that one over, so that this begins a
/// new one? If so its entries are gone. One that lives gets the SYN, and answers it (RFC 5961,
/// section 4).
#[inline(always)]
fn over<E: Environment>(flow: &Flow, segment: &Segment, environment: &E) -> Option<Known> {
    let twin = flow.twin(segment.key.local);
    let answer = environment.flow(&twin).map_or(Half::Reset, |twin| twin.half);
    let unanswered = match Life::of(flow.half, answer) {
        Life::Closed => BackendId::NONE,
        Life::Opening if answer == Half::Opening && moves_on(flow, segment, environment) => {
            environment.count_closed(flow.backend);
            environment.tell(Change::Unanswered, &segment.key);
            flow.backend
        }
        Life::Opening | Life::Open => return None,
    };
    environment.remove(&twin);
    environment.remove(&segment.key);
    if flow.track != TrackId::NONE {
        environment.remove_track(&segment.key);
    }
    Some(Known::Nothing { unanswered })
}

/// The backend had its time to answer, and is not the only one. Where there is none any more, the
/// listener resets the client.
#[inline(always)]
fn moves_on<E: Environment>(flow: &Flow, segment: &Segment, environment: &E) -> bool {
    let Some(set) = environment.backends() else { return false };
    let choices = set.of(segment.family);
    let this_alone = choices.len == 1 && choices.backends[0].id == flow.backend;
    !this_alone && environment.now().since(flow.seen) >= SYN_UNANSWERED
}

/// The listener takes new connections, and carries those that are not in the table: this is of one of
/// its legs, or may be.
#[inline(always)]
fn is_the_listeners(segment: &Segment, config: &Config) -> bool {
    let port = segment.key.local_port;
    config.opens == Opens::Listener && (port == config.listen || config.sources.contains(port))
}

#[inline(always)]
fn opens(segment: &Segment, config: &Config) -> bool {
    segment.flags.opens() && segment.key.local_port == config.listen
}

#[cfg(test)]
mod tests;
