//! One probe: what it asks, and the one deadline for all of it.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use hyper::Request;
use tokio::{net::TcpStream, time::timeout_at};

use super::{
    failure::{ProbeError, Stage},
    https,
    judge::Outcome,
    tls::Tls,
};
use crate::{
    config::{Endpoint, HealthConfig, Probing},
    tcp::TcpInfo,
};

#[derive(Debug)]
pub struct Finding {
    pub backend: SocketAddr,
    pub result: Result<(), ProbeError>,
    pub took: Duration,
    /// The largest segment that it takes, in bytes; 0 where that is not known.
    pub segment: u16,
}

impl Finding {
    /// `None` where it says nothing of the backend.
    pub fn outcome(&self) -> Option<Outcome> {
        self.result.as_ref().map_or_else(ProbeError::outcome, |()| Some(Outcome::Passed))
    }
}

/// What is asked of each backend.
#[derive(Clone)]
pub struct Probe {
    question: Question,
    limit: Duration,
}

#[derive(Clone)]
enum Question {
    Tcp,
    Tls(Tls),
    Https(Tls, Box<Request<String>>),
}

impl Probe {
    pub fn new(endpoint: &Endpoint, health: &HealthConfig) -> anyhow::Result<Self> {
        let question = match &health.probing {
            Probing::Tcp => Question::Tcp,
            // As kubectl does.
            Probing::Tls(trust) => {
                Question::Tls(Tls::new(&endpoint.host, trust, &["h2", "http/1.1"])?)
            }
            Probing::Https(trust) => {
                let request = https::request(endpoint)
                    .with_context(|| format!("endpoint: {endpoint}: is no host for HTTP"))?;
                Question::Https(Tls::new(&endpoint.host, trust, &["http/1.1"])?, Box::new(request))
            }
        };
        Ok(Self { question, limit: health.timeout })
    }

    pub async fn of(&self, backend: SocketAddr) -> Finding {
        let started = Instant::now();
        let mut segment = 0;
        let result = self.ask(backend, started, &mut segment).await;
        Finding { backend, result, took: started.elapsed(), segment }
    }

    /// The connection is gone when this returns: closed, or reset.
    async fn ask(
        &self,
        backend: SocketAddr,
        started: Instant,
        segment: &mut u16,
    ) -> Result<(), ProbeError> {
        let within = Limit { length: self.limit, started };
        let stream = within.limit(Stage::Connection, connect(backend)).await?;
        *segment = TcpInfo::of(&stream).map_or(0, |info| info.terms().takes);
        match &self.question {
            Question::Tcp => Ok(()),
            Question::Tls(tls) => within.limit(Stage::Handshake, tls.greet(stream)).await,
            Question::Https(tls, request) => {
                let stream = within.limit(Stage::Handshake, tls.handshake(stream)).await?;
                within.limit(Stage::Answer, https::ask(stream, (**request).clone())).await
            }
        }
    }
}

struct Limit {
    started: Instant,
    length: Duration,
}

impl Limit {
    async fn limit<T, E: Into<ProbeError>>(
        &self,
        stage: Stage,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ProbeError> {
        match timeout_at((self.started + self.length).into(), step).await {
            Ok(result) => result.map_err(Into::into),
            Err(_) => Err(ProbeError::Timeout { stage, limit: self.length }),
        }
    }
}

/// Closed by a reset unless it is asked otherwise: no local port is held back in TIME_WAIT for each
/// probe.
async fn connect(backend: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(backend).await?;
    stream.set_zero_linger()?;
    Ok(stream)
}

#[cfg(test)]
mod tests;
