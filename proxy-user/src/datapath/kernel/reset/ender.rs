//! Ends single connections: both ends get a RST, and the entries go.

use proxy_common::{
    config::Config,
    event::{Change, FlowEvent, Halves},
    flow::{Flow, FlowKey, Half, Life},
    stamp::Stamp,
};

use super::wire::{Wire, packets};
use crate::datapath::kernel::records::{Carrier, Records};

#[derive(Default)]
pub struct Ender {
    wire: Wire,
    pub sum: Sum,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub connections: u64,
    pub sent: u64,
    /// The newest of the RSTs that could not be sent.
    pub error: Option<String>,
}

impl Ender {
    /// `key`: of the entry towards the backend. `why`: asked of the entry as it is now, for since
    /// it was read the connection may have gone on or ended. What an agent carries it ends itself.
    /// Returns what the program has not seen.
    pub fn end(
        &mut self,
        records: &Records,
        config: &Config,
        key: &FlowKey,
        now: Stamp,
        why: impl FnOnce(&Flow) -> Option<Change>,
    ) -> Option<FlowEvent> {
        let flow = records.flows.get(key)?;
        let why = why(&flow)?;
        if records.carrier(key, &flow) == Carrier::Agent {
            return None;
        }
        let twin_key = flow.twin(key.local);
        let twin = records.flows.get(&twin_key);
        records.remove(key, &flow);
        // One that is gone already is what was wanted.
        records.flows.remove(&twin_key);
        if Life::of(flow.half, twin.map_or(Half::Reset, |twin| twin.half)) == Life::Closed {
            return None;
        }
        self.tell(key, &flow, twin.as_ref(), config);
        let halves = Halves::of(&flow, twin.as_ref()?, key.local);
        Some(FlowEvent::new(why, &halves, now))
    }

    /// Both ends that it is over. `key` and `flow`: of the entry towards the backend.
    pub fn tell(&mut self, key: &FlowKey, flow: &Flow, twin: Option<&Flow>, config: &Config) {
        self.sum.connections += 1;
        for packet in packets(key, flow, twin, config).into_iter().flatten() {
            match self.wire.send(&packet) {
                Ok(()) => self.sum.sent += 1,
                Err(error) => self.sum.error = Some(format!("{}: {error}", packet.to)),
            }
        }
    }
}
