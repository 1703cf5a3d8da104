//! An API server behind one ENI: TLS 1.3, HTTP/2 or HTTP/1.1, as much of Kubernetes as we need.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Context as _;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    place::Inside,
    routes,
    service::{self, Counters, Stopped},
};

const HANDSHAKE: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_secs(5);

/// Ends abruptly when dropped: its connections are closed where they stand.
pub(crate) struct ApiServer {
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<Stopped>>,
}

impl ApiServer {
    pub(crate) async fn start(
        inside: &Inside,
        address: SocketAddr,
        tls: Arc<ServerConfig>,
        counters: Arc<Counters>,
    ) -> anyhow::Result<Self> {
        let listener = service::listen(inside, address).await?;
        let (stop, stopped) = watch::channel(false);
        let server = Server { address, tls: tls.into(), counters, stopped };
        let task = inside.spawn(server.run(listener));
        Ok(Self { stop, task: Some(task) })
    }

    /// GOAWAY to all; requests may end, watches are closed.
    pub(crate) fn say_goodbye(&self) {
        self.stop.send_replace(true);
    }

    /// When it returns, nobody listens.
    pub(crate) async fn vanish(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            task.await.ok();
        }
    }

    /// Says goodbye, and waits for the end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Stopped> {
        self.say_goodbye();
        let task = self.task.take().context("the API server was stopped before")?;
        task.await.context("the API server failed")
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[derive(Clone)]
struct Server {
    address: SocketAddr,
    tls: TlsAcceptor,
    counters: Arc<Counters>,
    stopped: watch::Receiver<bool>,
}

impl Server {
    async fn run(self, listener: TcpListener) -> Stopped {
        let mut stopped = self.stopped.clone();
        let graceful = GracefulShutdown::new();
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        connections.spawn(self.clone().serve(stream, peer, graceful.watcher()));
                    }
                    Err(error) => tracing::warn!("accepting on {}: {error}", self.address),
                },
            }
        }
        drop(listener);
        match timeout(GRACE, graceful.shutdown()).await {
            Ok(()) => Stopped::Gracefully,
            Err(_) => Stopped::WithConnectionsOpen,
        }
    }

    async fn serve(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        graceful: hyper_util::server::graceful::Watcher,
    ) {
        stream.set_nodelay(true).ok();
        let Ok(Ok(stream)) = timeout(HANDSHAKE, self.tls.accept(stream)).await else {
            // A probe, most likely: it connects and says nothing.
            return;
        };
        let number = self.counters.connections.fetch_add(1, Relaxed) + 1;
        let connection = routes::Connection { eni: self.address, number, stopped: self.stopped };
        let counters = self.counters;
        let service = service_fn(move |request| {
            counters.requests.fetch_add(1, Relaxed);
            let response = routes::respond(&connection, &request);
            async move { Ok::<_, Infallible>(response) }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        if let Err(error) = graceful.watch(connection).await {
            tracing::debug!("connection of {peer} to {}: {error}", self.address);
        }
    }
}
