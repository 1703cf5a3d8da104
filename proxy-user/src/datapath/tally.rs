//! What user space counts of the connections that it carries.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::preface::Refused;
use crate::status::ListenerStatus;

/// Why a connection was refused or broken, or was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    NoBackend,
    /// One attempt on one backend.
    ConnectFailed,
    /// One attempt that had no answer after its head start.
    ConnectSlow,
    /// Every attempt failed.
    NoBackendReached,
    ClientBroke,
    BackendBroke,
    HalfClosedTooLong,
    BackendDown,
    /// The backend's time to drain was over.
    Drained,
    MaxAge,
    CutAtShutdown,
    AcceptFailed,
    /// No file descriptors: accepting paused.
    AcceptPaused,
    /// What the client said first, or did not say.
    Preface(Refused),
}

#[derive(Debug, Default)]
pub struct Tally {
    pub accepted: AtomicU64,
    pub open: AtomicU64,
    pub relayed: AtomicU64,
    failures: Mutex<BTreeMap<Failure, u64>>,
    backends: Mutex<BTreeMap<SocketAddr, Arc<Traffic>>>,
}

/// Of one backend, payload bytes.
#[derive(Debug, Default)]
pub struct Traffic {
    pub open: AtomicU64,
    pub opened: AtomicU64,
    pub to_backend: AtomicU64,
    pub to_client: AtomicU64,
}

/// Counts something as open until it is dropped.
pub struct Open<'a>(&'a AtomicU64);

impl<'a> Open<'a> {
    pub fn count(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Relaxed);
        Self(counter)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Failure {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoBackend => "no_backend",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectSlow => "connect_slow",
            Self::NoBackendReached => "no_backend_reached",
            Self::ClientBroke => "client_broke",
            Self::BackendBroke => "backend_broke",
            Self::HalfClosedTooLong => "half_closed_too_long",
            Self::BackendDown => "backend_down",
            Self::Drained => "drained",
            Self::MaxAge => "max_age",
            Self::CutAtShutdown => "cut_at_shutdown",
            Self::AcceptFailed => "accept_failed",
            Self::AcceptPaused => "accept_paused",
            Self::Preface(refused) => refused.as_str(),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Preface(refused)
    }
}

impl Tally {
    pub fn failed(&self, failure: Failure) {
        *lock(&self.failures).entry(failure).or_default() += 1;
    }

    pub fn traffic(&self, backend: SocketAddr) -> Arc<Traffic> {
        lock(&self.backends).entry(backend).or_default().clone()
    }

    /// Forgets all others, unless connections to them are still open.
    pub fn keep_only(&self, is_known: impl Fn(&SocketAddr) -> bool) {
        lock(&self.backends)
            .retain(|address, traffic| is_known(address) || traffic.open.load(Relaxed) > 0);
    }

    pub fn status(&self) -> ListenerStatus {
        let failures = lock(&self.failures);
        ListenerStatus {
            accepted: self.accepted.load(Relaxed),
            open: self.open.load(Relaxed),
            relayed: self.relayed.load(Relaxed),
            failures: failures.iter().map(|(why, count)| (why.as_str().into(), *count)).collect(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_forgotten_once_nobody_knows_it_and_nothing_is_open() {
        let tally = Tally::default();
        let backend = SocketAddr::from(([10, 0, 0, 1], 443));
        let traffic = tally.traffic(backend);
        traffic.opened.fetch_add(1, Relaxed);
        let open = Open::count(&traffic.open);
        tally.keep_only(|_| false);
        assert_eq!(tally.traffic(backend).opened.load(Relaxed), 1);
        drop(open);
        tally.keep_only(|_| false);
        assert_eq!(tally.traffic(backend).opened.load(Relaxed), 0);
    }

    #[test]
    fn failures_are_counted_by_name() {
        let tally = Tally::default();
        tally.failed(Failure::NoBackend);
        tally.failed(Failure::NoBackend);
        assert_eq!(tally.status().failures, BTreeMap::from([("no_backend".into(), 2)]));
    }
}
