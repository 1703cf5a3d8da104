//! Deletes records of connections that no agent has accepted, or whose agent has died.

use std::{io, time::Duration};

use proxy_common::{
    flow::FlowKey,
    stamp::Stamp,
    track::{Leg, Stage, Track},
};

use super::ABANDONED;
use crate::datapath::kernel::{records::Records, scan::Scan};

/// For a client to complete its handshake: who has not, may never have been there.
const HANDSHAKE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Tracks(Scan<FlowKey, Track>);

impl Tracks {
    /// One step. A record of a connection that is in the table goes with its entries.
    pub fn sweep(&mut self, records: &Records, now: Stamp) -> io::Result<()> {
        self.0.advance(&records.tracks)?;
        for (client, track) in self.0.entries() {
            if is_stale(track, now) && records.flows.get(client).is_none() {
                records.forget(client, track.id);
            }
        }
        Ok(())
    }
}

/// One that has been handed over is in the table, or has just left it.
fn is_stale(track: &Track, now: Stamp) -> bool {
    let age = Duration::from(now.since(track.began));
    let limit = match track.stage {
        Stage::Relayed if !track.client.has(Leg::ACKED) => HANDSHAKE,
        Stage::Relayed => ABANDONED,
        Stage::HandedOver => HANDSHAKE,
    };
    age > limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_goes_soon_without_a_handshake_and_late_with_one() {
        let at = |seconds: u64| Stamp::from_nanos(seconds * 1_000_000_000);
        let syn = Track { began: at(100), ..Track::EMPTY };
        let acked = Leg { flags: Leg::ACKED, ..Leg::EMPTY };
        let accepted = Track { client: acked, ..syn };
        assert!(!is_stale(&syn, at(109)) && is_stale(&syn, at(111)));
        assert!(!is_stale(&accepted, at(790)) && is_stale(&accepted, at(801)));
    }
}
