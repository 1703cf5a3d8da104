//! Walks a table in steps of bounded size, round and round.

use std::io;

use aya::Pod;

use super::{sys::Cursor, table::Table};

/// Entries looked at in one step, at most.
pub const STEP: usize = 4_096;

/// Where a round has come to. Its memory is that of one step, however large the table is.
pub struct Scan<K, V> {
    cursor: Option<Cursor>,
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K, V> Default for Scan<K, V> {
    fn default() -> Self {
        Self { cursor: None, keys: Vec::new(), values: Vec::new() }
    }
}

impl<K: Pod, V: Pod> Scan<K, V> {
    /// Reads the next entries; was that the round's last step? An error begins a new round.
    pub fn advance(&mut self, table: &Table<K, V>) -> io::Result<bool> {
        let from = self.cursor.take();
        self.cursor = table.read(from, STEP, &mut self.keys, &mut self.values)?;
        Ok(self.cursor.is_none())
    }

    /// The entries of this step, as they were when it was made.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&K, &V)> {
        self.keys.iter().zip(&self.values)
    }

    /// How many entries a whole round meets.
    pub fn count(table: &Table<K, V>) -> io::Result<u64> {
        let mut scan = Self::default();
        let mut count = 0;
        loop {
            let is_last = scan.advance(table)?;
            count += scan.keys.len() as u64;
            if is_last {
                return Ok(count);
            }
        }
    }
}
