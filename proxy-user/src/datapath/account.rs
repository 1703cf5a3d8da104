//! The account of one connection that user space carries: who it is, what it has moved, and whether
//! it must end. The programs keep the same of theirs in the flow table.

use std::{
    future::poll_fn,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};

use futures_util::task::AtomicWaker;
use jiff::Timestamp;
use proxy_common::flow::Direction;

use super::{
    flow_log::{End, Line},
    preface::{Consumer, ServerName},
    tally::{Failure, Traffic},
};

/// Who connected, and where to.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The peer of the socket; behind a load balancer it is that.
    pub client: SocketAddr,
    /// The address and port that it connected to.
    pub listen: SocketAddr,
    /// Whom the PROXY header names.
    pub consumer: Option<Box<Consumer>>,
    pub server_name: Option<ServerName>,
}

/// Where it was led.
#[derive(Clone, Copy, Debug)]
pub struct Led {
    pub backend: SocketAddr,
    /// Our end of the connection to the backend.
    pub source: SocketAddr,
}

#[derive(Debug)]
pub struct Account {
    pub id: u64,
    caller: Caller,
    led: Led,
    opened: Timestamp,
    started: Instant,
    to_backend: AtomicU64,
    to_client: AtomicU64,
    /// The backend's, and its consumer's if that is known.
    sums: [Option<Arc<Traffic>>; 2],
    must_end: OnceLock<Failure>,
    /// Of the one who moves its bytes.
    mover: AtomicWaker,
    /// The programs count it as open on its backend.
    is_handed_over: AtomicBool,
}

impl Account {
    /// Each of the sums has one more connection open for as long as this lives.
    pub fn open(id: u64, caller: Caller, led: Led, sums: [Option<Arc<Traffic>>; 2]) -> Self {
        for sum in sums.iter().flatten() {
            sum.open.fetch_add(1, Relaxed);
            sum.opened.fetch_add(1, Relaxed);
        }
        Self {
            id,
            caller,
            led,
            opened: Timestamp::now(),
            started: Instant::now(),
            to_backend: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
            sums,
            must_end: OnceLock::new(),
            mover: AtomicWaker::new(),
            is_handed_over: AtomicBool::new(false),
        }
    }

    pub fn backend(&self) -> SocketAddr {
        self.led.backend
    }

    pub fn started(&self) -> Instant {
        self.started
    }

    /// Payload bytes.
    pub fn moved(&self, direction: Direction, bytes: u64) {
        self.count(direction).fetch_add(bytes, Relaxed);
        for sum in self.sums.iter().flatten() {
            sum.count(direction).fetch_add(bytes, Relaxed);
        }
    }

    /// Payload bytes that the programs have counted for the backend.
    pub fn moved_by_program(&self, direction: Direction, bytes: u64) {
        self.count(direction).fetch_add(bytes, Relaxed);
        if let [_, Some(consumer)] = &self.sums {
            consumer.count(direction).fetch_add(bytes, Relaxed);
        }
    }

    /// The programs carry it to its end.
    pub fn handed_over(&self) {
        let was = self.is_handed_over.swap(true, Relaxed);
        if let ([Some(backend), _], false) = (&self.sums, was) {
            backend.open.fetch_sub(1, Relaxed);
        }
    }

    pub fn total(&self, direction: Direction) -> u64 {
        self.count(direction).load(Relaxed)
    }

    /// The first reason is the one that counts.
    pub fn end(&self, why: Failure) {
        let _too_late = self.must_end.set(why);
        self.mover.wake();
    }

    /// Why it must end, if it must.
    pub fn ordered(&self) -> Option<Failure> {
        self.must_end.get().copied()
    }

    /// Waits until it must end; for the one who moves its bytes, and nobody else.
    pub async fn must_end(&self) -> Failure {
        poll_fn(|context| self.poll_must_end(context)).await
    }

    /// Asked after the waker is known, or an order in between would wake nobody.
    fn poll_must_end(&self, context: &Context<'_>) -> Poll<Failure> {
        self.mover.register(context.waker());
        self.ordered().map_or(Poll::Pending, Poll::Ready)
    }

    /// A line of the flow log; with `why`, of its end.
    pub fn log(&self, path: &'static str, why: Option<&'static str>) {
        Line {
            path,
            client: self.caller.client,
            listen: self.caller.listen,
            source: self.led.source,
            backend: self.led.backend,
            consumer: self.caller.consumer.as_deref(),
            server_name: self.caller.server_name.as_ref(),
            opened: self.opened,
            end: why.map(|why| End {
                at: Timestamp::now(),
                duration: self.started.elapsed(),
                bytes_to_backend: self.total(Direction::ToBackend),
                bytes_to_client: self.total(Direction::ToClient),
                packets: None,
                why,
            }),
        }
        .write();
    }

    fn count(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToBackend => &self.to_backend,
            Direction::ToClient => &self.to_client,
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let gone = usize::from(self.is_handed_over.load(Relaxed));
        for sum in self.sums.iter().skip(gone).flatten() {
            sum.open.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
impl Account {
    /// Of a connection that nobody asks about.
    pub fn of_test(backend: Arc<Traffic>) -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let caller = Caller { client: nowhere, listen: nowhere, consumer: None, server_name: None };
        Self::open(0, caller, Led { backend: nowhere, source: nowhere }, [Some(backend), None])
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Relaxed);
        }
    }

    #[test]
    fn who_waits_is_woken_by_the_order() {
        let account = Account::of_test(Arc::default());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let context = Context::from_waker(&waker);
        assert_eq!(account.poll_must_end(&context), Poll::Pending);
        account.end(Failure::Drained);
        assert!(woken.0.load(Relaxed));
        assert_eq!(account.poll_must_end(&context), Poll::Ready(Failure::Drained));
    }

    #[tokio::test]
    async fn the_first_reason_to_end_is_the_one_that_counts() {
        let traffic = Arc::new(Traffic::default());
        let account = Account::of_test(traffic.clone());
        account.end(Failure::MaxAge);
        account.end(Failure::BackendDown);
        assert_eq!(account.must_end().await, Failure::MaxAge);
        assert_eq!(account.must_end().await, Failure::MaxAge, "however often it is asked");
        account.moved(Direction::ToClient, 5);
        drop(account);
        assert_eq!((traffic.open.load(Relaxed), traffic.opened.load(Relaxed)), (0, 1));
        assert_eq!((traffic.to_client.load(Relaxed), traffic.to_backend.load(Relaxed)), (5, 0));
    }
}
