//! Backends that are known no more, and whose connections end with them.

use std::{collections::BTreeMap, net::SocketAddr};

use proxy_common::backend::MAX_BACKENDS;

use super::snapshot::Doom;

/// Of many, some.
#[derive(Debug, Default)]
pub struct Forgotten(BTreeMap<SocketAddr, Doom>);

impl Forgotten {
    pub fn add(&mut self, address: SocketAddr, doom: Doom) {
        self.0.insert(address, doom);
        while self.0.len() > MAX_BACKENDS {
            self.0.pop_first();
        }
    }

    /// It is known again.
    pub fn remove(&mut self, address: SocketAddr) {
        self.0.remove(&address);
    }

    pub fn all(&self) -> impl Iterator<Item = (SocketAddr, Doom)> {
        self.0.iter().map(|(address, doom)| (*address, *doom))
    }
}
