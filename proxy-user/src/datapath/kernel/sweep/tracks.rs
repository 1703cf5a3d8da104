//! Deletes records whose entries are gone, or were never made: an agent that dies leaves such.

use std::io;

use proxy_common::{flow::FlowKey, track::Track};

use crate::datapath::kernel::{records::Records, scan::Scan};

#[derive(Default)]
pub struct Tracks(Scan<FlowKey, Track>);

impl Tracks {
    /// One step. Entries are made before their record.
    pub fn sweep(&mut self, records: &Records) -> io::Result<()> {
        self.0.advance(&records.tracks)?;
        for (client, track) in self.0.entries() {
            if records.flows.get(client).is_none_or(|flow| flow.track != track.id) {
                records.forget(client, track.id);
            }
        }
        Ok(())
    }
}
