//! What the servers behind ENIs have in common.

use std::{
    future::Future,
    net::SocketAddr,
    sync::atomic::{AtomicU32, AtomicU64},
};

use anyhow::Context as _;
use futures_util::future::select_all;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::place::Inside;

/// What listens on an ENI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    /// TLS 1.3 and HTTP: as much of Kubernetes as clients need.
    #[default]
    ApiServer,
    /// Bare TCP: sends back what it gets, and passes on how the connection ended.
    Echo,
    /// Bare TCP: greets at once, and has the last word.
    Talk,
    /// Bare TCP: says what the dice say, and checks what it hears.
    Banter,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// That said something: a probe is none.
    pub connections: AtomicU64,
    pub requests: AtomicU64,
    /// Payload of the largest segment that the newest connection may send, in bytes.
    pub segment_size: AtomicU32,
    pub heard: watch::Sender<Heard>,
    /// Connections that the other side reset.
    pub resets: watch::Sender<u64>,
}

/// How connections of `Banter` have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// All that was announced was heard.
    pub whole: u64,
    /// Without an error before that, or with other bytes.
    pub torn: u64,
}

/// Waits until these come to so much, all together.
pub(crate) async fn until_sum<T>(
    mut parts: Vec<watch::Receiver<T>>,
    value: impl Fn(&T) -> u64,
    wanted: u64,
) {
    while parts.iter_mut().map(|one| value(&one.borrow_and_update())).sum::<u64>() < wanted {
        let changes = parts.iter_mut().map(|one| Box::pin(one.changed()));
        let (changed, ..) = select_all(changes).await;
        changed.expect("an ENI outlives who borrows it");
    }
}

/// Did all connections end by themselves?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    Gracefully,
    WithConnectionsOpen,
}

pub(crate) async fn listen(inside: &Inside, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = inside.run(async move { Ok(TcpListener::bind(address).await?) });
    listener.await.with_context(|| format!("listening on {address}"))
}

/// A server of bare TCP: ends, with all its connections, when it is dropped.
pub(crate) struct Serving(Option<JoinHandle<()>>);

impl Serving {
    pub(crate) async fn start<F>(
        inside: &Inside,
        address: SocketAddr,
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> anyhow::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = listen(inside, address).await?;
        Ok(Self(Some(inside.spawn(accept(listener, serve)))))
    }

    /// When it returns, nobody listens.
    pub(crate) async fn vanish(mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
            task.await.ok();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream));
                }
                Err(error) => tracing::warn!("accepting: {error}"),
            },
        }
    }
}
