//! Walks the flow table in steps of bounded size, round and round.

use std::io;

use aya::maps::{HashMap, MapData};
use proxy_common::flow::{Flow, FlowKey};

use super::sys::{self, Cursor};

pub type FlowTable = HashMap<MapData, FlowKey, Flow>;

/// Entries looked at in one step, at most.
pub const STEP: usize = 4_096;

/// Where a round has come to. Its memory is that of one step, however large the table is.
#[derive(Default)]
pub struct Scan {
    cursor: Option<Cursor>,
    keys: Vec<FlowKey>,
    flows: Vec<Flow>,
}

impl Scan {
    /// Reads the next entries; was that the round's last step? An error begins a new round.
    pub fn advance(&mut self, table: &FlowTable) -> io::Result<bool> {
        let from = self.cursor.take();
        self.cursor = sys::lookup_batch(table, from, STEP, &mut self.keys, &mut self.flows)?;
        Ok(self.cursor.is_none())
    }

    /// The entries of this step, as they were when it was made.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&FlowKey, &Flow)> {
        self.keys.iter().zip(&self.flows)
    }
}
