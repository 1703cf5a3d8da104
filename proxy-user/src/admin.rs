//! The admin endpoint: health for the load balancer, metrics, and status for programs and people.
//! It looks at no Host header, since health checks send the load balancer's address.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, ORIGIN},
    },
    response::{Html, IntoResponse, Response},
    routing::{get, post},
    serve::Listener,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    config::Refusal,
    lifecycle::{DrainRequest, Phase},
    report::Report,
};

const PAGE: &str = include_str!("admin/page.html");
const PROMETHEUS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const JSON: &str = "application/json";

pub struct Admin(TcpListener);

/// Accepts while this agent is the one to ask.
struct Door {
    socket: TcpListener,
    phase: watch::Receiver<Phase>,
}

impl Admin {
    /// The socket that was bound by another, if there is one.
    pub async fn open(address: SocketAddr, given: Vec<StdListener>) -> Result<Self, Refusal> {
        let opened = match given.into_iter().next() {
            Some(socket) => TcpListener::from_std(socket),
            None => TcpListener::bind(address).await,
        };
        opened.map(Self).map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::AddrInUse => "; stop what listens there or give another --admin",
                _ => "",
            };
            Refusal::new("admin", address, format!("cannot be bound: {error}{advice}"))
        })
    }

    /// A copy of the socket, for a successor.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
    }

    pub async fn serve(self, report: Report, drain: DrainRequest) -> io::Result<()> {
        let door = Door { socket: self.0, phase: report.phase.clone() };
        axum::serve(door, router(report, drain)).await
    }
}

impl Listener for Door {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let mut phase = self.phase.clone();
        loop {
            if phase.wait_for(|phase| phase.answers()).await.is_err() {
                // The agent is gone, and with it what there was to say.
                return std::future::pending().await;
            }
            tokio::select! {
                accepted = Listener::accept(&mut self.socket) => return accepted,
                _ = phase.wait_for(|phase| !phase.answers()) => {}
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

fn router(report: Report, drain: DrainRequest) -> Router {
    let draining = |headers: HeaderMap| async move { begin_to_drain(&headers, &drain) };
    Router::new()
        .route("/drain", post(draining))
        .route("/", get(|| async { Html(PAGE) }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .with_state(Arc::new(report))
}

/// Browsers say where a request of another page comes from, and no page may drain the appliance.
fn begin_to_drain(headers: &HeaderMap, drain: &DrainRequest) -> (StatusCode, &'static str) {
    if headers.contains_key(ORIGIN) {
        return (StatusCode::FORBIDDEN, "not from a web page\n");
    }
    drain.make();
    (StatusCode::ACCEPTED, "draining\n")
}

async fn readyz(State(report): State<Arc<Report>>) -> Response {
    match report.unready() {
        None => report
            .doubt()
            .map_or("ok\n".into(), |doubt| format!("ok, but {doubt}\n"))
            .into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n").into_response(),
    }
}

async fn metrics(State(report): State<Arc<Report>>) -> Response {
    answer(PROMETHEUS, report.metrics())
}

async fn status(State(report): State<Arc<Report>>) -> Response {
    answer(JSON, serde_json::to_string_pretty(&report.status()))
}

fn answer<E: std::error::Error>(kind: &'static str, body: Result<String, E>) -> Response {
    match body {
        Ok(body) => ([(CONTENT_TYPE, kind)], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
