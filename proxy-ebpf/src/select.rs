//! A new connection: which backend, which source port, and its two entries in the table.

use proxy_common::{
    addr::{Addr, Port},
    backend::{Backend, BackendId, Choices, MAX_BACKENDS},
    config::Config,
    flow::{Direction, Flow, FlowKey, Half, Life},
    reason::Reason,
    stamp::Age,
};

use crate::{
    environment::{Environment, InsertError},
    parse::Segment,
    translate::Translation,
};

/// Tries at a free source port, each of which costs a look into the table.
const PORT_TRIES: u32 = 24;
/// A finished connection's port is not given away while its last packets may still be under way.
const PORT_REST: Age = Age::from_millis(1_000);

/// A client's SYN that belongs to no connection yet.
pub struct New<'a> {
    pub segment: Segment,
    pub config: &'a Config,
    /// The backend that it was sent to before, and that kept silent.
    pub unanswered: Option<BackendId>,
}

/// Makes the entries of a new connection.
///
/// A function of its own, so that established flows do not carry its part of the stack.
#[inline(never)]
pub fn open<E: Environment>(new: &New<'_>, environment: &E) -> Result<Translation, Reason> {
    let New { segment, config, unanswered } = new;
    let set = environment.backends().ok_or(Reason::NotConfigured)?;
    let choices = set.of(segment.family);
    let backend = choose(choices, environment, *unanswered).ok_or(Reason::NoBackend)?;
    let own_port = claim(segment, &backend, config, environment)?;
    let to_backend = Flow {
        peer: backend.address,
        peer_port: backend.port,
        own_port,
        direction: Direction::ToBackend,
        packets: 1,
        bytes: u64::from(segment.bytes),
        ..blank(backend.id, environment)
    };
    if environment.insert(&segment.key(), &to_backend).is_err() {
        environment.remove(&to_backend.twin(segment.local));
        return Err(Reason::TableFull);
    }
    environment.count_opened(backend.id);
    environment.count_packet(backend.id, Direction::ToBackend, segment.bytes);
    Ok(Translation::of(&to_backend))
}

/// Two at random, and of these the one with fewer open connections.
#[inline(always)]
fn choose<E: Environment>(
    choices: &Choices,
    environment: &E,
    not: Option<BackendId>,
) -> Option<Backend> {
    let len = choices.len.min(MAX_BACKENDS as u32);
    if len == 0 {
        return None;
    }
    let chance = environment.random();
    let first_index = scale(chance, len);
    let first = at(choices, first_index)?;
    if len == 1 {
        return Some(first);
    }
    // One of the others, each as likely as the next.
    let among_others = scale(chance >> 16, len - 1);
    let second = at(choices, among_others + u32::from(among_others >= first_index))?;
    let prefer_second = if Some(first.id) == not {
        true
    } else if Some(second.id) == not {
        false
    } else {
        environment.open_flows(second.id) < environment.open_flows(first.id)
    };
    Some(if prefer_second { second } else { first })
}

/// A number below `len` from sixteen bits of chance. Without a division, whose bounds the verifier
/// does not follow as far as the compiler does.
#[inline(always)]
const fn scale(chance: u32, len: u32) -> u32 {
    ((chance & 0xffff) * len) >> 16
}

#[inline(always)]
fn at(choices: &Choices, index: u32) -> Option<Backend> {
    choices.backends.get(index as usize).copied()
}

/// Claims a source port by inserting the entry of the answers; the client's own where it is free.
#[inline(always)]
fn claim<E: Environment>(
    segment: &Segment,
    backend: &Backend,
    config: &Config,
    environment: &E,
) -> Result<Port, Reason> {
    let to_client = Flow {
        peer: segment.source,
        peer_port: segment.source_port,
        own_port: segment.destination_port,
        direction: Direction::ToClient,
        ..blank(backend.id, environment)
    };
    let start = environment.random();
    for attempt in 0..PORT_TRIES {
        let port = match attempt {
            0 if config.sources.contains(segment.source_port) => segment.source_port,
            _ => config
                .sources
                .nth((start >> 1).wrapping_add(attempt))
                .ok_or(Reason::PortsExhausted)?,
        };
        let key = FlowKey {
            remote: backend.address,
            remote_port: backend.port,
            local_port: port,
            local: segment.local,
            padding: 0,
        };
        let mut claimed = environment.insert(&key, &to_client);
        if claimed == Err(InsertError::Taken) && make_way(&key, environment) {
            claimed = environment.insert(&key, &to_client);
        }
        match claimed {
            Ok(()) => return Ok(port),
            Err(InsertError::Full) => return Err(Reason::TableFull),
            Err(InsertError::Taken) => {}
        }
    }
    Err(Reason::PortsExhausted)
}

/// Clears a finished connection off a port, once its last packets are no longer under way.
#[inline(always)]
fn make_way<E: Environment>(key: &FlowKey, environment: &E) -> bool {
    let Some(flow) = environment.flow(key) else { return true };
    let (half, rested) = (flow.half, environment.now().since(flow.seen) >= PORT_REST);
    let twin = flow.twin(key.local);
    drop(flow);
    // An entry whose other half is missing belongs to nobody.
    let other = environment.flow(&twin).map_or(Half::Reset, |twin| twin.half);
    if !rested || Life::of(half, other) != Life::Closed {
        return false;
    }
    environment.remove(&twin);
    environment.remove(key);
    true
}

/// A flow of which nothing is known yet but its backend and the time.
#[inline(always)]
fn blank<E: Environment>(backend: BackendId, environment: &E) -> Flow {
    let now = environment.now();
    Flow {
        bytes: 0,
        peer: Addr::UNSPECIFIED,
        peer_port: Port::default(),
        own_port: Port::default(),
        backend,
        direction: Direction::ToBackend,
        half: Half::Opening,
        packets: 0,
        acked: 0,
        opened: now,
        seen: now,
    }
}
