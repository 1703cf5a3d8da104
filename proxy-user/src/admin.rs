//! The admin endpoint: health for the load balancer, metrics, and status for programs and people.
//! It looks at no Host header, since health checks send the load balancer's address.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, ORIGIN},
    },
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use tokio::net::TcpListener;

use crate::{config::Refusal, lifecycle::DrainRequest, report::Report};

const PAGE: &str = include_str!("admin/page.html");
const PROMETHEUS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const JSON: &str = "application/json";

pub struct Admin(TcpListener);

impl Admin {
    pub async fn bind(address: SocketAddr) -> Result<Self, Refusal> {
        TcpListener::bind(address).await.map(Self).map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::AddrInUse => "; stop what listens there or give another --admin",
                _ => "",
            };
            Refusal::new("admin", address, format!("cannot be bound: {error}{advice}"))
        })
    }

    pub async fn serve(self, report: Report, drain: DrainRequest) -> io::Result<()> {
        axum::serve(self.0, router(report, drain)).await
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
