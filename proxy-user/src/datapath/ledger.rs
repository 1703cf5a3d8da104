//! The accounts of a route's open connections, and what each of its backends has had of them.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    ops::Deref,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    account::{Account, Caller, Led},
    tally::{Traffic, lock},
};

#[derive(Debug, Default)]
pub struct Ledger {
    opened: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Account>>>,
    backends: Mutex<BTreeMap<SocketAddr, Arc<Traffic>>>,
}

/// An account is in the ledger for as long as this lives.
#[derive(Debug)]
pub struct Entry {
    account: Arc<Account>,
    ledger: Arc<Ledger>,
}

impl Ledger {
    pub fn enter(
        self: &Arc<Self>,
        caller: Caller,
        led: Led,
        consumer: Option<Arc<Traffic>>,
    ) -> Entry {
        let id = self.opened.fetch_add(1, Relaxed);
        let sums = [Some(self.traffic(led.backend)), consumer];
        let account = Arc::new(Account::open(id, caller, led, sums));
        lock(&self.open).insert(id, account.clone());
        Entry { account, ledger: self.clone() }
    }

    /// In no order.
    pub fn for_each(&self, mut look: impl FnMut(&Account)) {
        lock(&self.open).values().for_each(|account| look(account));
    }

    pub fn traffic(&self, backend: SocketAddr) -> Arc<Traffic> {
        lock(&self.backends).entry(backend).or_default().clone()
    }

    /// Forgets all others, unless connections to them are still open.
    pub fn keep_only(&self, is_known: impl Fn(&SocketAddr) -> bool) {
        lock(&self.backends)
            .retain(|address, traffic| is_known(address) || traffic.open.load(Relaxed) > 0);
    }
}

impl Deref for Entry {
    type Target = Account;

    fn deref(&self) -> &Account {
        &self.account
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let left = lock(&self.ledger.open).remove(&self.account.id);
        debug_assert!(left.is_some(), "an account leaves its ledger once");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(ledger: &Arc<Ledger>, backend: SocketAddr) -> Entry {
        let caller = Caller { client: backend, listen: backend, consumer: None, server_name: None };
        ledger.enter(caller, Led { backend, source: backend }, None)
    }

    #[test]
    fn a_backend_is_forgotten_once_nobody_knows_it_and_nothing_is_open() {
        let ledger = Arc::new(Ledger::default());
        let backend = SocketAddr::from(([10, 0, 0, 1], 443));
        let entry = enter(&ledger, backend);
        ledger.keep_only(|_| false);
        assert_eq!(ledger.traffic(backend).opened.load(Relaxed), 1);
        drop(entry);
        ledger.keep_only(|_| false);
        assert_eq!(ledger.traffic(backend).opened.load(Relaxed), 0);
    }

    #[test]
    fn every_open_account_is_seen_and_no_other() {
        let ledger = Arc::new(Ledger::default());
        let [one, two] = [1, 2].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let (first, _second) = (enter(&ledger, one), enter(&ledger, two));
        let seen = |ledger: &Ledger| {
            let mut seen = Vec::new();
            ledger.for_each(|account| seen.push(account.backend()));
            seen.sort();
            seen
        };
        assert_eq!(seen(&ledger), [one, two]);
        drop(first);
        assert_eq!(seen(&ledger), [two]);
    }
}
