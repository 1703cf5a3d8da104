//! One probe, and the tasks that send them: one for each address, so that a slow backend delays
//! nobody else's probe and its own never pile up.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    net::TcpStream,
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use crate::config::{HealthConfig, HealthKind};

/// Share of the interval by which the probes of several backends drift apart.
const SPREAD: f64 = 0.1;

#[derive(Debug)]
pub struct Finding {
    pub backend: SocketAddr,
    pub result: Result<(), ProbeError>,
    pub took: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Io(#[from] io::Error),
}

pub struct Probers {
    config: HealthConfig,
    findings: mpsc::Sender<Finding>,
    running: BTreeMap<SocketAddr, AbortHandle>,
    /// Ends them all with this value.
    tasks: JoinSet<()>,
}

impl Probers {
    pub fn new(config: HealthConfig, findings: mpsc::Sender<Finding>) -> Self {
        Self { config, findings, running: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Probes these from now on, new ones at once, and no others.
    pub fn watch(&mut self, backends: &BTreeSet<SocketAddr>) {
        self.running.retain(|backend, task| {
            let stays = backends.contains(backend);
            if !stays {
                task.abort();
            }
            stays
        });
        for backend in backends {
            self.running.entry(*backend).or_insert_with(|| {
                self.tasks.spawn(keep_probing(*backend, self.config, self.findings.clone()))
            });
        }
        while self.tasks.try_join_next().is_some() {}
    }
}

async fn keep_probing(backend: SocketAddr, config: HealthConfig, findings: mpsc::Sender<Finding>) {
    loop {
        let finding = probe(backend, config.kind, config.timeout).await;
        if findings.send(finding).await.is_err() {
            return;
        }
        let luck = 1.0 + SPREAD * (2.0 * fastrand::f64() - 1.0);
        sleep(config.interval.mul_f64(luck)).await;
    }
}

pub async fn probe(backend: SocketAddr, kind: HealthKind, limit: Duration) -> Finding {
    let started = Instant::now();
    let result = match kind {
        HealthKind::Tcp => match timeout(limit, connect(backend)).await {
            Ok(connected) => connected.map_err(ProbeError::from),
            Err(_) => Err(ProbeError::Timeout(limit)),
        },
    };
    Finding { backend, result, took: started.elapsed() }
}

async fn connect(backend: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect(backend).await?;
    // Closed by a reset: no local port is held back in TIME_WAIT for each probe.
    stream.set_zero_linger()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::config::{Config, Settings};

    const DEADLINE: Duration = Duration::from_secs(10);

    fn config() -> HealthConfig {
        let settings: Settings = toml::from_str(
            "endpoint = \"a.example\"\nhealth-interval = \"20ms\"\nhealth-timeout = \"200ms\"",
        )
        .unwrap();
        Config::load(settings, None).unwrap().health
    }

    async fn next(findings: &mut mpsc::Receiver<Finding>) -> Finding {
        timeout(DEADLINE, findings.recv()).await.expect("no probe in time").unwrap()
    }

    #[tokio::test]
    async fn a_listener_passes_and_a_closed_port_fails() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let backend = listener.local_addr().unwrap();
        let limit = Duration::from_secs(5);
        assert!(probe(backend, HealthKind::Tcp, limit).await.result.is_ok());
        drop(listener);
        let error = probe(backend, HealthKind::Tcp, limit).await.result.unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn backends_are_probed_again_and_again_until_they_are_no_longer_watched() {
        let listeners = [
            tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
            tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
        ];
        let [stays, leaves] = listeners.each_ref().map(|l| l.local_addr().unwrap());
        let (sender, mut findings) = mpsc::channel(1);
        let mut probers = Probers::new(config(), sender);
        probers.watch(&BTreeSet::from([stays, leaves]));
        let mut seen = BTreeMap::new();
        while seen.len() < 2 || seen.values().any(|count| *count < 2) {
            *seen.entry(next(&mut findings).await.backend).or_insert(0) += 1;
        }
        probers.watch(&BTreeSet::from([stays]));
        let mut others = 0;
        for _ in 0..10 {
            others += usize::from(next(&mut findings).await.backend == leaves);
        }
        assert!(others <= 2, "at most one probe was on its way and one in the channel");
    }
}
