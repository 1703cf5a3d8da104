//! Deletes the entries of connections that have ended or that nobody has heard of for too long.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use nix::time::{ClockId, clock_gettime};
use proxy_common::{
    backend::BackendId,
    flow::{Direction, Flow, FlowKey, Half, Life},
    stamp::Stamp,
};

use super::Tables;

/// How long a connection may be silent, by how far it has come.
const OPENING: Duration = Duration::from_secs(10);
/// Above the longest idle timeout of a Network Load Balancer, 6,000 s.
const OPEN: Duration = Duration::from_secs(6_100);
/// For the last packets of both sides.
const CLOSED: Duration = Duration::from_secs(120);

impl Tables {
    /// Returns the entries left and the entries deleted.
    pub fn sweep(&mut self) -> anyhow::Result<(u64, u64)> {
        let now = now()?;
        let (mut left, mut over, mut unseen) = (0, Vec::new(), BTreeMap::new());
        for entry in self.flows.iter() {
            // An entry that went away while it was read is no error.
            let Ok((key, flow)) = entry else { continue };
            match self.over(&key, &flow, now) {
                None => left += 1,
                Some(life) => {
                    over.push(key);
                    // The program counted the end of a connection that it saw end; of a pair,
                    // one entry counts.
                    if life != Life::Closed && flow.direction == Direction::ToBackend {
                        *unseen.entry(flow.backend).or_insert(0) += 1;
                    }
                }
            }
        }
        for key in &over {
            // Gone already is what was wanted.
            let _gone = self.flows.remove(key);
        }
        self.count_expired(unseen)?;
        Ok((left, over.len() as u64))
    }

    fn over(&self, key: &FlowKey, flow: &Flow, now: Stamp) -> Option<Life> {
        // Most entries are too young for any limit, which spares the look at their twins.
        if silence(flow, now) <= OPENING {
            return None;
        }
        over(flow, self.flows.get(&flow.twin(key.local), 0).ok().as_ref(), now)
    }

    fn count_expired(&mut self, unseen: BTreeMap<BackendId, u64>) -> anyhow::Result<()> {
        for (backend, ended) in unseen {
            let index = u32::from(backend.0);
            let before = self.expired.get(&index, 0)?;
            self.expired.set(index, before + ended, 0)?;
        }
        Ok(())
    }
}

/// How far a connection had come of which both directions have been silent for longer than that
/// allows; `None` while it may go on. An entry without a twin belongs to no connection.
fn over(flow: &Flow, twin: Option<&Flow>, now: Stamp) -> Option<Life> {
    let life = Life::of(flow.half, twin.map_or(Half::Reset, |twin| twin.half));
    let limit = match life {
        Life::Opening => OPENING,
        Life::Open => OPEN,
        Life::Closed => CLOSED,
    };
    let silent = |flow: &Flow| silence(flow, now) > limit;
    (silent(flow) && twin.is_none_or(silent)).then_some(life)
}

fn silence(flow: &Flow, now: Stamp) -> Duration {
    now.since(flow.seen).into()
}

/// The clock that the programs read.
fn now() -> anyhow::Result<Stamp> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).context("no monotonic clock")?;
    let nanos =
        u64::try_from(Duration::from(now).as_nanos()).context("the clock is out of range")?;
    Ok(Stamp::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use proxy_common::addr::{Addr, Port};

    use super::*;

    fn at(seconds: u64) -> Stamp {
        Stamp::from_nanos(seconds * 1_000_000_000)
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
            opened: at(0),
            seen: at(seen),
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
            assert_eq!(over(&flow, Some(&twin), at(1_000 + limit - 1)), None, "{one:?} {other:?}");
            assert_eq!(over(&flow, Some(&twin), at(1_000 + limit + 1)), Some(life));
        }
    }

    #[test]
    fn a_connection_lives_while_either_direction_does() {
        let (silent, lively) = (flow(Half::Open, 0), flow(Half::Open, 6_000));
        assert_eq!(over(&silent, Some(&lively), at(6_200)), None);
        assert_eq!(over(&silent, Some(&silent), at(6_200)), Some(Life::Open));
    }

    #[test]
    fn an_entry_without_a_twin_goes_after_a_while() {
        assert_eq!(over(&flow(Half::Open, 0), None, at(60)), None);
        assert_eq!(over(&flow(Half::Open, 0), None, at(130)), Some(Life::Closed));
    }
}
