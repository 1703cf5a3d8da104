//! Deletes the entries of connections that have ended or that nobody has heard of for too long.

mod tracks;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::SocketAddr,
    time::Duration,
};

use anyhow::Context as _;
use nix::time::{ClockId, clock_gettime};
use proxy_common::{
    addr::socket,
    event::{Change, FlowEvent, Halves},
    flow::{Direction, Flow, FlowKey, Half, Life},
    stamp::Stamp,
};

use self::tracks::Tracks;
use super::{
    records::{Carrier, Records},
    scan::Scan,
};
use crate::{config::FlowTimeouts, datapath::age::MaxAge};

/// Connections that one step finds too old, at most: they connect again, and not all at once.
const OLD_ONES: usize = 64;

/// What a backend has to answer a SYN; the client repeats its own no sooner, and another backend gets
/// that one.
const ANSWER: Duration = Duration::from_millis(500);

/// Nobody's agent carries a connection of which nothing is heard for so long: sockets ask after their
/// peers more often than every 350 s (`--keepalive`). If one does, it loses the handover and no more.
const ABANDONED: Duration = Duration::from_secs(2 * 350);

/// Goes through the table a step at a time.
pub struct Sweep {
    timeouts: FlowTimeouts,
    max_age: Option<MaxAge>,
    scan: Scan<FlowKey, Flow>,
    tracks: Tracks,
    /// In this round, so far.
    left: u64,
}

/// What one step came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub looked_at: usize,
    pub deleted: u64,
    /// Connections whose end the program has not seen, and so has neither counted nor told.
    pub ended: Vec<FlowEvent>,
    /// Connections that are to end for their age, by the key of the entry towards the backend.
    pub old: Vec<FlowKey>,
    /// The newest of the RSTs for those that could not be sent.
    pub unsent: Option<String>,
    /// Backends that have left a SYN without an answer for longer than [`ANSWER`].
    pub mute: BTreeSet<SocketAddr>,
    /// Entries left in the table, when this was the last step of a round.
    pub left: Option<u64>,
}

impl Sweep {
    pub fn new(timeouts: FlowTimeouts, max_age: Option<MaxAge>) -> Self {
        Self { timeouts, max_age, scan: Scan::default(), tracks: Tracks::default(), left: 0 }
    }

    pub fn step(&mut self, records: &Records, now: Stamp) -> io::Result<Step> {
        let is_last = self.scan.advance(&records.flows).inspect_err(|_| self.left = 0)?;
        self.tracks.sweep(records)?;
        let mut step = Step { looked_at: self.scan.entries().len(), ..Step::default() };
        let mut over = HashMap::new();
        for (key, flow) in self.scan.entries() {
            if over.contains_key(key) {
                continue;
            }
            match self.over(records, key, flow, now, &mut step.mute) {
                None => {
                    self.left += 1;
                    let is_old = step.old.len() < OLD_ONES && self.is_old(key, flow, now);
                    step.old.extend(is_old.then_some(*key));
                }
                Some(silent) => {
                    step.ended.extend(silent.event(key, flow, now));
                    over.insert(*key, *flow);
                    over.extend(silent.twin.map(|twin| (flow.twin(key.local), twin)));
                }
            }
        }
        // One that is gone already is what was wanted.
        let removed = over.iter().filter(|(key, flow)| records.remove(key, flow));
        step.deleted = removed.count() as u64;
        step.left = is_last.then(|| std::mem::take(&mut self.left));
        Ok(step)
    }

    /// Connections that are not yet open or have ended are left to the timeouts.
    fn is_old(&self, key: &FlowKey, flow: &Flow, now: Stamp) -> bool {
        let Some(max_age) = self.max_age else { return false };
        let age = Duration::from(now.since(flow.opened));
        flow.direction == Direction::ToBackend
            && flow.half == Half::Open
            && age > max_age.least()
            && age > max_age.of(key)
    }

    fn over(
        &self,
        records: &Records,
        key: &FlowKey,
        flow: &Flow,
        now: Stamp,
        mute: &mut BTreeSet<SocketAddr>,
    ) -> Option<Silent> {
        // Most entries are too young for any limit, which spares the look at their twins.
        if flow.half != Half::Opening && silence(flow, now) <= self.timeouts.shortest() {
            return None;
        }
        let twin = records.flows.get(&flow.twin(key.local));
        if records.carrier(key, flow) == Carrier::Agent {
            let silent = |flow: &Flow| silence(flow, now) > ABANDONED;
            let is_over = silent(flow) && twin.as_ref().is_none_or(silent);
            return is_over.then_some(Silent { life: Life::Closed, twin });
        }
        mute.extend(mute_backend(flow, twin.as_ref(), now));
        let life = over(flow, twin.as_ref(), now, self.timeouts)?;
        Some(Silent { life, twin })
    }
}

/// A connection that is over, of which one entry has been met: both go together, for an entry
/// alone does not say what it was part of.
struct Silent {
    life: Life,
    twin: Option<Flow>,
}

impl Silent {
    /// `None` if the program has told of the end, or it is for an agent to tell.
    fn event(&self, key: &FlowKey, flow: &Flow, now: Stamp) -> Option<FlowEvent> {
        let change = match self.life {
            Life::Opening => Change::HandshakeTimeout,
            Life::Open => Change::IdleTimeout,
            Life::Closed => return None,
        };
        let halves = Halves::of(flow, self.twin.as_ref()?, key.local);
        Some(FlowEvent::new(change, &halves, now))
    }
}

/// How far a connection had come of which both directions have been silent, or which has been
/// opening, for longer than that allows; `None` while it may go on. An entry without a twin belongs
/// to no connection.
fn over(flow: &Flow, twin: Option<&Flow>, now: Stamp, timeouts: FlowTimeouts) -> Option<Life> {
    let life = Life::of(flow.half, twin.map_or(Half::Reset, |twin| twin.half));
    let limit = timeouts.of(life);
    // A handshake has so long in all: each SYN or answer that is repeated would prolong it.
    let is_opening = life == Life::Opening;
    let idle = |flow: &Flow| if is_opening { age(flow, now) } else { silence(flow, now) };
    let silent = |flow: &Flow| idle(flow) > limit;
    (silent(flow) && twin.is_none_or(silent)).then_some(life)
}

/// Whom a SYN was sent to that is still without an answer, after more than its time. A handshake that
/// the client leaves undone is no fault of the backend's.
fn mute_backend(flow: &Flow, twin: Option<&Flow>, now: Stamp) -> Option<SocketAddr> {
    let is_unanswered = flow.direction == Direction::ToBackend
        && flow.half == Half::Opening
        && twin.is_some_and(|twin| twin.half == Half::Opening)
        && age(flow, now) > ANSWER;
    is_unanswered.then(|| socket(flow.peer, flow.peer_port))
}

fn age(flow: &Flow, now: Stamp) -> Duration {
    now.since(flow.opened).into()
}

fn silence(flow: &Flow, now: Stamp) -> Duration {
    now.since(flow.seen).into()
}

/// The clock that the programs read.
pub fn now() -> anyhow::Result<Stamp> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).context("no monotonic clock")?;
    let nanos =
        u64::try_from(Duration::from(now).as_nanos()).context("the clock is out of range")?;
    Ok(Stamp::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use proxy_common::{
        addr::{Addr, Port},
        backend::BackendId,
        track::{Stage, TrackId},
    };

    use super::*;

    fn at(seconds: u64) -> Stamp {
        Stamp::from_nanos(seconds * 1_000_000_000)
    }

    fn judge(flow: &Flow, twin: Option<&Flow>, now: Stamp) -> Option<Life> {
        over(flow, twin, now, FlowTimeouts::default())
    }

    fn flow(half: Half, seen: u64) -> Flow {
        Flow {
            bytes: 0,
            peer: Addr::UNSPECIFIED,
            peer_port: Port::new(1),
            own_port: Port::new(2),
            backend: BackendId(0),
            direction: Direction::ToBackend,
            half,
            packets: 0,
            acked: 0,
            opened: at(seen),
            seen: at(seen),
            track: TrackId::NONE,
            stage: Stage::Relayed,
        }
    }

    #[test]
    fn each_life_has_its_limit() {
        let rows = [
            (Half::Opening, Half::Opening, 10, Life::Opening),
            (Half::Open, Half::Open, 6_100, Life::Open),
            (Half::Done, Half::Open, 6_100, Life::Open),
            (Half::Done, Half::Done, 120, Life::Closed),
            (Half::Open, Half::Reset, 120, Life::Closed),
        ];
        for (one, other, limit, life) in rows {
            let (flow, twin) = (flow(one, 1_000), flow(other, 1_000));
            assert_eq!(judge(&flow, Some(&twin), at(1_000 + limit - 1)), None, "{one:?} {other:?}");
            assert_eq!(judge(&flow, Some(&twin), at(1_000 + limit + 1)), Some(life));
        }
    }

    #[test]
    fn a_connection_lives_while_either_direction_does() {
        let (silent, lively) = (flow(Half::Open, 0), flow(Half::Open, 6_000));
        assert_eq!(judge(&silent, Some(&lively), at(6_200)), None);
        assert_eq!(judge(&silent, Some(&silent), at(6_200)), Some(Life::Open));
    }

    #[test]
    fn a_handshake_is_not_prolonged_by_what_is_repeated() {
        let since_0 = |half, seen| Flow { opened: at(0), ..flow(half, seen) };
        let (syn, answer) = (since_0(Half::Opening, 9), since_0(Half::Open, 11));
        assert_eq!(judge(&syn, Some(&answer), at(9)), None);
        assert_eq!(judge(&syn, Some(&answer), at(11)), Some(Life::Opening));
        assert_eq!(judge(&answer, Some(&syn), at(11)), Some(Life::Opening));
    }

    #[test]
    fn a_backend_is_mute_that_leaves_a_syn_alone_and_not_one_whose_client_does() {
        let (syn, nothing, answer) =
            (flow(Half::Opening, 0), flow(Half::Opening, 0), flow(Half::Open, 0));
        let silent = |twin: &Flow, now| mute_backend(&syn, Some(twin), now).is_some();
        let late = Stamp::from_nanos(501_000_000);
        assert!(silent(&nothing, late));
        assert!(!silent(&nothing, Stamp::from_nanos(500_000_000)), "it still has time");
        assert!(!silent(&answer, late), "the client owes the next packet");
        let back = Flow { direction: Direction::ToClient, ..nothing };
        assert_eq!(mute_backend(&back, Some(&syn), late), None, "its peer is the client");
        assert_eq!(mute_backend(&syn, None, late), None);
    }

    #[test]
    fn an_entry_without_a_twin_goes_after_a_while() {
        assert_eq!(judge(&flow(Half::Open, 0), None, at(60)), None);
        assert_eq!(judge(&flow(Half::Open, 0), None, at(130)), Some(Life::Closed));
    }
}
