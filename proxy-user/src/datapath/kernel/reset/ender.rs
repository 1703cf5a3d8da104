//! Ends single connections: both ends get a RST, and the entries go.

use proxy_common::{
    config::Config,
    event::{Change, FlowEvent, Halves},
    flow::{Flow, FlowKey, Half, Life},
    stamp::Stamp,
};

use super::wire::{Wire, packets};
use crate::datapath::kernel::scan::FlowTable;

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
    /// it was read the connection may have gone on or ended. Returns what the program has not seen.
    pub fn end(
        &mut self,
        table: &mut FlowTable,
        config: &Config,
        key: &FlowKey,
        now: Stamp,
        why: impl FnOnce(&Flow) -> Option<Change>,
    ) -> Option<FlowEvent> {
        let flow = table.get(key, 0).ok()?;
        let why = why(&flow)?;
        let twin_key = flow.twin(key.local);
        let twin = table.get(&twin_key, 0).ok();
        for gone in [key, &twin_key] {
            // One that is gone already is what was wanted.
            let _gone = table.remove(gone);
        }
        if Life::of(flow.half, twin.map_or(Half::Reset, |twin| twin.half)) == Life::Closed {
            return None;
        }
        self.sum.connections += 1;
        for packet in packets(key, &flow, twin.as_ref(), config).into_iter().flatten() {
            match self.wire.send(&packet) {
                Ok(()) => self.sum.sent += 1,
                Err(error) => self.sum.error = Some(format!("{}: {error}", packet.to)),
            }
        }
        let halves = Halves::of(&flow, twin.as_ref()?, key.local);
        Some(FlowEvent::new(why, &halves, now))
    }
}
