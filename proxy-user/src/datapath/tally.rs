//! What user space counts of the connections that it carries.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use proxy_common::flow::Direction;

use super::preface::Refused;
use crate::{
    config::VpceId,
    status::{ConsumerStatus, ListenerStatus},
};

/// Consumers that have a name of their own in metrics.
const NAMED: usize = 256;
const OTHERS: &str = "others";

/// Why a connection was refused or broken, or was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    NoBackend,
    /// Not from where --allow-source says.
    SourceRefused,
    /// Not through a VPC endpoint of --allow-vpce.
    VpceRefused,
    TooMany,
    TooManyFromSource,
    TooManyFromVpce,
    /// One attempt on one backend.
    ConnectFailed,
    /// One attempt that had no answer after its head start.
    ConnectSlow,
    /// Every attempt failed.
    NoBackendReached,
    /// This process may not open a file more, nor, with it, a connection to a backend.
    NoDescriptors,
    ClientBroke,
    BackendBroke,
    HalfClosedTooLong,
    /// The sockmap program's account of a connection does not hold, or cannot be read.
    SpliceBroke,
    BackendDown,
    /// The backend's time to drain was over.
    Drained,
    MaxAge,
    CutAtShutdown,
    AcceptFailed,
    /// No file descriptors: accepting paused.
    AcceptPaused,
    /// A buffer's worth of bytes was copied for want of a pipe to splice it through.
    NoPipe,
    /// The kernel splices none of these sockets: everything is copied.
    SpliceRefused,
    /// What the client said first, or did not say.
    Preface(Refused),
}

#[derive(Debug, Default)]
pub struct Tally {
    pub accepted: AtomicU64,
    pub open: AtomicU64,
    pub relayed: AtomicU64,
    failures: Mutex<BTreeMap<Failure, u64>>,
    consumers: Mutex<BTreeMap<String, Arc<Traffic>>>,
}

/// Of one backend or consumer, payload bytes.
#[derive(Debug, Default)]
pub struct Traffic {
    pub open: AtomicU64,
    pub opened: AtomicU64,
    pub to_backend: AtomicU64,
    pub to_client: AtomicU64,
}

impl Traffic {
    pub fn count(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToBackend => &self.to_backend,
            Direction::ToClient => &self.to_client,
        }
    }
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
            Self::SourceRefused => "source_refused",
            Self::VpceRefused => "vpce_refused",
            Self::TooMany => "too_many",
            Self::TooManyFromSource => "too_many_from_source",
            Self::TooManyFromVpce => "too_many_from_vpce",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectSlow => "connect_slow",
            Self::NoBackendReached => "no_backend_reached",
            Self::NoDescriptors => "no_descriptors",
            Self::ClientBroke => "client_broke",
            Self::BackendBroke => "backend_broke",
            Self::HalfClosedTooLong => "half_closed_too_long",
            Self::SpliceBroke => "splice_broke",
            Self::BackendDown => "backend_down",
            Self::Drained => "drained",
            Self::MaxAge => "max_age",
            Self::CutAtShutdown => "cut_at_shutdown",
            Self::AcceptFailed => "accept_failed",
            Self::AcceptPaused => "accept_paused",
            Self::Preface(refused) => refused.as_str(),
            Self::NoPipe => "no_pipe",
            Self::SpliceRefused => "splice_refused",
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

    /// What comes through a VPC endpoint; those after the first few hundred share a name, for each is
    /// a label of metrics.
    pub fn consumer(&self, vpce: &VpceId) -> Arc<Traffic> {
        let mut consumers = lock(&self.consumers);
        let is_known = consumers.contains_key(vpce.as_str());
        let name = if is_known || consumers.len() < NAMED { vpce.as_str() } else { OTHERS };
        consumers.entry(name.to_owned()).or_default().clone()
    }

    pub fn status(&self) -> ListenerStatus {
        let failures = lock(&self.failures);
        ListenerStatus {
            accepted: self.accepted.load(Relaxed),
            open: self.open.load(Relaxed),
            relayed: self.relayed.load(Relaxed),
            failures: failures.iter().map(|(why, count)| (why.as_str().into(), *count)).collect(),
            consumers: lock(&self.consumers).iter().map(consumer_status).collect(),
        }
    }
}

fn consumer_status((name, traffic): (&String, &Arc<Traffic>)) -> (String, ConsumerStatus) {
    let status = ConsumerStatus {
        open: traffic.open.load(Relaxed),
        opened: traffic.opened.load(Relaxed),
        bytes_to_backend: traffic.to_backend.load(Relaxed),
        bytes_to_client: traffic.to_client.load(Relaxed),
    };
    (name.clone(), status)
}

/// A panic of another holder leaves counts that are still the best there are.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_are_told_apart_until_they_are_too_many() {
        let tally = Tally::default();
        let id = |number| format!("vpce-{number:017x}").parse::<VpceId>().unwrap();
        for number in 0..NAMED + 5 {
            tally.consumer(&id(number)).opened.fetch_add(1, Relaxed);
        }
        tally.consumer(&id(0)).opened.fetch_add(1, Relaxed);
        let consumers = tally.status().consumers;
        assert_eq!(consumers.len(), NAMED + 1);
        assert_eq!(consumers["vpce-00000000000000000"].opened, 2);
        assert_eq!(consumers[OTHERS].opened, 5);
    }

    #[test]
    fn failures_are_counted_by_name() {
        let tally = Tally::default();
        tally.failed(Failure::NoBackend);
        tally.failed(Failure::NoBackend);
        assert_eq!(tally.status().failures, BTreeMap::from([("no_backend".into(), 2)]));
    }
}
