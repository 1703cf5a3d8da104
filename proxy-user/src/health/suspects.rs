//! Backends that connections have just failed on. A suspicion is no verdict: it brings the next
//! probe forward, and asks DNS whether the backend is still there.

use std::{
    collections::BTreeSet,
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::discovery::Refresh;

/// A handle: clones share one set. Cheap, and safe to call for every connection that fails.
#[derive(Clone, Debug)]
pub struct Suspects {
    named: Arc<Mutex<BTreeSet<SocketAddr>>>,
    news: Arc<Notify>,
    refresh: Refresh,
}

impl Suspects {
    pub fn new(refresh: Refresh) -> Self {
        Self { named: Arc::default(), news: Arc::default(), refresh }
    }

    pub fn name(&self, backend: SocketAddr) {
        self.named().insert(backend);
        self.news.notify_one();
        self.refresh.request();
    }

    /// Waits until there are some; each is handed out once, however often it was named.
    pub async fn take(&self) -> BTreeSet<SocketAddr> {
        self.news.notified().await;
        mem::take(&mut self.named())
    }

    fn named(&self) -> MutexGuard<'_, BTreeSet<SocketAddr>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_suspect_is_handed_out_once_however_often_it_was_named() {
        let suspects = Suspects::new(Refresh::default());
        let [one, other] = [1, 2].map(|last| SocketAddr::from(([10, 0, 0, last], 443)));
        for backend in [one, other, one] {
            suspects.name(backend);
        }
        assert_eq!(suspects.take().await, BTreeSet::from([one, other]));
        suspects.name(other);
        assert_eq!(suspects.take().await, BTreeSet::from([other]));
    }
}
