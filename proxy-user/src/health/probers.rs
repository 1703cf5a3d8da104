//! The tasks that probe: one for each address, so that a slow backend delays nobody else's probe
//! and its own never pile up.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::sleep_until,
};

use super::{
    pace::Pace,
    probe::{Finding, Probe},
};

pub struct Probers {
    probe: Probe,
    pace: Pace,
    findings: mpsc::Sender<Finding>,
    running: BTreeMap<SocketAddr, Running>,
    /// Ends them all with this value.
    tasks: JoinSet<()>,
}

struct Running {
    task: AbortHandle,
    suspected: watch::Sender<()>,
}

impl Probers {
    pub fn new(probe: Probe, interval: Duration, findings: mpsc::Sender<Finding>) -> Self {
        let pace = Pace::new(interval);
        Self { probe, pace, findings, running: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Probes these from now on, new ones at once, and no others.
    pub fn watch(&mut self, backends: &BTreeSet<SocketAddr>) {
        self.running.retain(|backend, running| {
            let stays = backends.contains(backend);
            if !stays {
                running.task.abort();
            }
            stays
        });
        for backend in backends {
            if !self.running.contains_key(backend) {
                let running = self.start(*backend);
                self.running.insert(*backend, running);
            }
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Probes this one soon, if it is watched.
    pub fn suspect(&self, backend: &SocketAddr) {
        if let Some(running) = self.running.get(backend) {
            running.suspected.send_replace(());
        }
    }

    fn start(&mut self, backend: SocketAddr) -> Running {
        let (suspected, suspicions) = watch::channel(());
        let prober = Prober {
            backend,
            probe: self.probe.clone(),
            pace: self.pace,
            suspicions,
            findings: self.findings.clone(),
        };
        Running { task: self.tasks.spawn(prober.run()), suspected }
    }
}

struct Prober {
    backend: SocketAddr,
    probe: Probe,
    pace: Pace,
    suspicions: watch::Receiver<()>,
    findings: mpsc::Sender<Finding>,
}

impl Prober {
    async fn run(mut self) {
        let mut failures = 0u32;
        loop {
            let began = Instant::now();
            // This probe is the answer to all that was suspected so far.
            self.suspicions.mark_unchanged();
            let finding = self.probe.of(self.backend).await;
            failures = if finding.result.is_ok() { 0 } else { failures.saturating_add(1) };
            if self.findings.send(finding).await.is_err() {
                return;
            }
            let next = self.pace.next(began, failures, fastrand::f64());
            tokio::select! {
                () = sleep_until(next.into()) => {}
                Ok(()) = self.suspicions.changed() => {
                    sleep_until(self.pace.next_of_suspect(began).into()).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
