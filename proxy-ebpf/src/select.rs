//! A new connection: which backend, which source port, and its two entries in the table.

use core::hint::black_box;

use proxy_common::{
    addr::Port,
    backend::{Backend, BackendId, Choices, MAX_BACKENDS},
    config::Config,
    flow::{Direction, Flow, FlowKey, Half, Life},
    reason::Reason,
    stamp::Age,
    track::{Stage, TrackId},
};

use crate::{
    environment::{Environment, InsertError},
    parse::Segment,
    translate::Translation,
};

/// Tries at a free source port, each of which costs a look into the table.
const FREE_TRIES: u32 = 16;
/// Tries at one whose connection has ended. Each is a path that the verifier walks.
const FINISHED_TRIES: u32 = 4;
/// A finished connection's port is not given away while its last packets may still be under way.
const PORT_REST: Age = Age::from_millis(1_000);

/// Makes the entries of a new connection, from a client's SYN that belongs to none yet.
/// `unanswered`: the backend that it was sent to before, and that kept silent; or
/// [`BackendId::NONE`].
///
/// A function of its own, so that established flows do not carry its part of the stack. With the
/// place of its result it has the five arguments that a function may have.
#[inline(never)]
pub fn open<E: Environment>(
    segment: &Segment,
    unanswered: BackendId,
    config: &Config,
    environment: &E,
) -> Result<Translation, Reason> {
    let set = environment.backends().ok_or(Reason::NotConfigured)?;
    let choices = set.of(segment.family);
    let backend = choose(choices, environment, unanswered).ok_or(Reason::NoBackend)?;
    // One entry after the other in the same place: the stack is small.
    let mut flow = answers(segment, backend.id, environment);
    let own_port = claim(segment, backend, config, &flow, environment)?;
    flow.peer = backend.address;
    flow.peer_port = backend.port;
    flow.own_port = own_port;
    flow.direction = Direction::ToBackend;
    flow.packets = 1;
    flow.bytes = u64::from(segment.bytes);
    if environment.insert(&segment.key, &flow).is_err() {
        environment.remove(&flow.twin(segment.key.local));
        return Err(Reason::TableFull);
    }
    environment.count_opened(flow.backend);
    environment.count_packet(flow.backend, Direction::ToBackend, segment.bytes);
    Ok(Translation::of(&flow))
}

/// Two at random, and of these the one with fewer open connections.
#[inline(always)]
fn choose<'a, E: Environment>(
    choices: &'a Choices,
    environment: &E,
    not: BackendId,
) -> Option<&'a Backend> {
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
    let prefer_second = if first.id == not {
        true
    } else if second.id == not {
        false
    } else {
        environment.open_flows(second.id) < environment.open_flows(first.id)
    };
    Some(if prefer_second { second } else { first })
}

/// A number below `len` from sixteen bits of chance.
#[inline(always)]
const fn scale(chance: u32, len: u32) -> u32 {
    ((chance & 0xffff) * len) >> 16
}

/// The compiler knows that the index is in bounds and would leave out the check, which the verifier
/// of older kernels needs: it does not follow a multiplication (seen on 6.1).
#[inline(always)]
fn at(choices: &Choices, index: u32) -> Option<&Backend> {
    choices.backends.get(black_box(index) as usize)
}

/// Claims a source port by inserting the entry of the answers; the client's own where it is free.
#[inline(always)]
fn claim<E: Environment>(
    segment: &Segment,
    backend: &Backend,
    config: &Config,
    to_client: &Flow,
    environment: &E,
) -> Result<Port, Reason> {
    let mut key = FlowKey {
        remote: backend.address,
        remote_port: backend.port,
        local_port: segment.key.remote_port,
        local: segment.key.local,
        padding: 0,
    };
    for attempt in 0..FREE_TRIES {
        if attempt > 0 || !config.sources.contains(segment.key.remote_port) {
            key.local_port = any(config, environment)?;
        }
        match environment.insert(&key, to_client) {
            Ok(()) => return Ok(key.local_port),
            Err(InsertError::Full) => return Err(Reason::TableFull),
            Err(InsertError::Taken) => {}
        }
    }
    for _ in 0..FINISHED_TRIES {
        key.local_port = any(config, environment)?;
        if make_way(&key, environment) && environment.insert(&key, to_client).is_ok() {
            return Ok(key.local_port);
        }
    }
    Err(Reason::PortsExhausted)
}

/// Not the neighbour of the last try: where clients' ports are kept, neighbours are taken together.
#[inline(always)]
fn any<E: Environment>(config: &Config, environment: &E) -> Result<Port, Reason> {
    config.sources.nth(environment.random()).ok_or(Reason::PortsExhausted)
}

/// Clears a finished connection off a port, once its last packets are no longer under way.
#[inline(always)]
fn make_way<E: Environment>(key: &FlowKey, environment: &E) -> bool {
    let Some(flow) = environment.flow(key) else { return true };
    let (half, rested) = (flow.half, environment.now().since(flow.seen) >= PORT_REST);
    let (twin, track) = (flow.twin(key.local), flow.track);
    drop(flow);
    // An entry whose other half is missing belongs to nobody.
    let other = environment.flow(&twin).map_or(Half::Reset, |twin| twin.half);
    // What the agent has entered, it takes away.
    if track != TrackId::NONE || !rested || Life::of(half, other) != Life::Closed {
        return false;
    }
    environment.remove(&twin);
    environment.remove(key);
    true
}

/// The flow of the answers, of which none has come yet.
#[inline(always)]
fn answers<E: Environment>(segment: &Segment, backend: BackendId, environment: &E) -> Flow {
    let now = environment.now();
    Flow {
        bytes: 0,
        peer: segment.key.remote,
        peer_port: segment.key.remote_port,
        own_port: segment.key.local_port,
        backend,
        direction: Direction::ToClient,
        half: Half::Opening,
        packets: 0,
        acked: 0,
        opened: now,
        seen: now,
        track: TrackId::NONE,
        stage: Stage::Relayed,
    }
}
