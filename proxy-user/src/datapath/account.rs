//! The account of one connection that user space carries: what it has moved. The programs keep the
//! same of theirs in the flow table.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use proxy_common::flow::Direction;

use super::tally::Traffic;

/// Payload bytes; its backend's sums grow with it.
#[derive(Debug)]
pub struct Account {
    to_backend: AtomicU64,
    to_client: AtomicU64,
    backend: Arc<Traffic>,
}

impl Account {
    /// The backend has one more connection open for as long as this lives.
    pub fn open(backend: Arc<Traffic>) -> Self {
        backend.open.fetch_add(1, Relaxed);
        backend.opened.fetch_add(1, Relaxed);
        Self { to_backend: AtomicU64::new(0), to_client: AtomicU64::new(0), backend }
    }

    pub fn moved(&self, direction: Direction, bytes: u64) {
        let (here, sum) = match direction {
            Direction::ToBackend => (&self.to_backend, &self.backend.to_backend),
            Direction::ToClient => (&self.to_client, &self.backend.to_client),
        };
        here.fetch_add(bytes, Relaxed);
        sum.fetch_add(bytes, Relaxed);
    }

    pub fn total(&self, direction: Direction) -> u64 {
        match direction {
            Direction::ToBackend => self.to_backend.load(Relaxed),
            Direction::ToClient => self.to_client.load(Relaxed),
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.backend.open.fetch_sub(1, Relaxed);
    }
}
