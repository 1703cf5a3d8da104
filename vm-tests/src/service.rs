//! What the servers behind ENIs have in common.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, AtomicU64},
};

use anyhow::Context as _;
use tokio::{net::TcpListener, sync::watch};

use crate::place::Inside;

/// What listens on an ENI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    /// TLS 1.3 and HTTP: as much of Kubernetes as clients need.
    #[default]
    ApiServer,
    /// Bare TCP: sends back what it gets, and passes on how the connection ended.
    Echo,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// That said something: a probe is none.
    pub connections: AtomicU64,
    pub requests: AtomicU64,
    /// Payload of the largest segment that the newest connection may send, in bytes.
    pub segment_size: AtomicU32,
    /// Connections that the other side reset.
    pub resets: watch::Sender<u64>,
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
