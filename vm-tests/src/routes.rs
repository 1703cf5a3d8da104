//! The paths an API server answers, and the headers that say who answered.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Full, channel::Channel, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    http::response::Builder,
};
use tokio::{
    sync::watch,
    time::{interval, timeout},
};

use crate::pods;

/// Which ENI answered.
pub(crate) const ENI: &str = "x-eni";
/// The number of the connection on that ENI, so that two requests can be told to share one.
pub(crate) const CONNECTION: &str = "x-connection";

const WATCH_INTERVAL: Duration = Duration::from_millis(250);
const READER_PATIENCE: Duration = Duration::from_secs(30);
const CHUNK: usize = 64 * 1024;
const BULK_LIMIT: usize = 1 << 30;

type Body = BoxBody<Bytes, Infallible>;

/// What the answers of one connection have in common.
#[derive(Clone)]
pub(crate) struct Connection {
    pub eni: SocketAddr,
    pub number: u64,
    /// Turns true when the server is to end.
    pub stopped: watch::Receiver<bool>,
}

pub(crate) fn respond(connection: &Connection, request: &Request<Incoming>) -> Response<Body> {
    let (status, kind, body) = route(connection, request);
    Builder::new()
        .status(status)
        .header("content-type", kind)
        .header(ENI, connection.eni.ip().to_string())
        .header(CONNECTION, connection.number)
        .body(body)
        .expect("constant header names and printable values")
}

fn route(connection: &Connection, request: &Request<Incoming>) -> (StatusCode, &'static str, Body) {
    const JSON: &str = "application/json";
    const TEXT: &str = "text/plain";
    let query = request.uri().query().unwrap_or_default();
    match request.uri().path() {
        "/readyz" | "/livez" | "/healthz" => (StatusCode::OK, TEXT, full("ok")),
        "/version" => (StatusCode::OK, JSON, full(pods::version())),
        "/api/v1/pods" if parameter(query, "watch") == Some("true") => {
            (StatusCode::OK, JSON, watch_pods(connection.stopped.clone()))
        }
        "/api/v1/pods" => (StatusCode::OK, JSON, full(pods::list())),
        "/bytes" => match parameter(query, "n").and_then(|n| n.parse().ok()) {
            Some(count) if count <= BULK_LIMIT => {
                (StatusCode::OK, "application/octet-stream", bulk(count))
            }
            _ => (StatusCode::BAD_REQUEST, TEXT, full("/bytes?n= takes a number up to 2^30\n")),
        },
        _ => (StatusCode::NOT_FOUND, TEXT, full("not found\n")),
    }
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name).map(|p| p.1)
}

fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).boxed()
}

/// One event at once and then one every interval, until the client or the server has enough.
fn watch_pods(mut stopped: watch::Receiver<bool>) -> Body {
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        let mut ticks = interval(WATCH_INTERVAL);
        for number in 0.. {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                _ = ticks.tick() => {}
            }
            if sender.send_data(pods::watch_event(number)).await.is_err() {
                return;
            }
        }
    });
    body.boxed()
}

/// That many zeros, at the reader's pace.
fn bulk(mut count: usize) -> Body {
    let (mut sender, body) = Channel::new(4);
    tokio::spawn(async move {
        let chunk = Bytes::from_static(&[0; CHUNK]);
        while count > 0 {
            let part = chunk.slice(..count.min(CHUNK));
            count -= part.len();
            if !matches!(timeout(READER_PATIENCE, sender.send_data(part)).await, Ok(Ok(()))) {
                return;
            }
        }
    });
    body.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_by_its_whole_name() {
        assert_eq!(parameter("timeout=5&watch=true", "watch"), Some("true"));
        assert_eq!(parameter("rewatch=true", "watch"), None);
        assert_eq!(parameter("", "n"), None);
    }
}
