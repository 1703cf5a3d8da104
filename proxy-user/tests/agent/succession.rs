//! One agent takes another's place, or is given its socket by systemd.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::{
    backend::Subnet,
    dns::Dns,
    process::{Agent, DEADLINE},
};

/// Requests by several clients, one after the other without a pause.
struct Load {
    done: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<u32>,
}

impl Load {
    fn start(agent: &Arc<Agent>) -> Self {
        let (done, stop) = (Arc::<AtomicU32>::default(), Arc::<AtomicBool>::default());
        let mut clients = JoinSet::new();
        for _ in 0..4 {
            let (agent, done, stop) = (agent.clone(), done.clone(), stop.clone());
            clients.spawn(async move {
                let mut failed = 0;
                while !stop.load(Relaxed) {
                    failed += u32::from(agent.request("load").await.ok() != Some("1:load".into()));
                    done.fetch_add(1, Relaxed);
                }
                failed
            });
        }
        Self { done, stop, clients }
    }

    /// So many more are over.
    async fn more(&self, count: u32) {
        let wanted = self.done.load(Relaxed) + count;
        while self.done.load(Relaxed) < wanted {
            tokio::task::yield_now().await;
        }
    }

    async fn failed(self) -> u32 {
        self.stop.store(true, Relaxed);
        self.clients.join_all().await.iter().sum()
    }
}

async fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"x").await.unwrap();
    assert_eq!(timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap(), b'x');
}

#[tokio::test]
async fn a_successor_takes_the_place_and_no_connection_is_refused_or_broken() {
    let net = Subnet::fresh();
    let _backend = net.backend(1).await;
    let dns = Dns::start(&[net.address(1)]).await;
    let first = Arc::new(Agent::start(dns.address, &[]));
    let started_at = first.until_live(&[1]).await.started_at;
    let mut held = first.hold().await;
    let load = Load::start(&first);
    load.more(100).await;

    let second = first.successor(&[]);
    let is_second = |status: &proxy_user::status::Status| status.started_at != started_at;
    second.until("the second", |status| is_second(status) && status.ready).await;
    load.more(100).await;
    echoes(&mut held).await;
    let accepted = second.until("it accepts", |status| status.listener.accepted > 0).await;
    assert!(accepted.listener.failures.is_empty(), "{:?}", accepted.listener.failures);

    let third = second.successor(&[]);
    drop(held);
    let second_end = second.ended();
    let agent = Arc::into_inner(first);
    assert_eq!(load.failed().await, 0);
    assert!(agent.is_none(), "the load held it until now");
    assert_eq!(second_end.await.code(), Some(0));
    third.until_live(&[1]).await;
    assert_eq!(third.request("third").await.unwrap(), "1:third");
}

#[tokio::test]
async fn a_successor_that_fails_leaves_everything_as_it_was() {
    let net = Subnet::fresh();
    let _backend = net.backend(1).await;
    let dns = Dns::start(&[net.address(1)]).await;
    let first = Arc::new(Agent::start(dns.address, &[]));
    let started_at = first.until_live(&[1]).await.started_at;
    let load = Load::start(&first);
    let failing = first.successor(&["--interface=nowhere0"]);
    assert_eq!(failing.ended().await.code(), Some(2));
    load.more(100).await;
    let status = first.until("it is ready", |status| status.ready).await;
    assert_eq!(status.started_at, started_at);
    let gave_up = status.events.iter().any(|event| event.message.contains("successor gave up"));
    assert!(gave_up, "it was never paused: {:?}", status.events);
    assert_eq!(load.failed().await, 0);
}

#[tokio::test]
async fn a_socket_of_systemd_is_served_and_outlives_the_agent() {
    let net = Subnet::fresh();
    let _backend = net.backend(1).await;
    let dns = Dns::start(&[net.address(1)]).await;
    let agent = Agent::activated(dns.address, &[]);
    agent.until_live(&[1]).await;
    assert_eq!(agent.request("hello").await.unwrap(), "1:hello");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ended().await.code(), Some(0));

    let elsewhere = Agent::activated(dns.address, &["--config=/dev/null"]);
    elsewhere.until_live(&[1]).await;
}
