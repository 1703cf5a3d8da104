//! The one task that owns the backends: feeds them answers and findings, publishes what comes of
//! it, and keeps exactly the known backends probed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::NonZeroU16,
    sync::Arc,
    time::Instant,
};

use proxy_common::backend::{BackendId, MAX_BACKENDS};
use tokio::{
    sync::{mpsc, watch},
    time::sleep_until,
};

use crate::{
    backends::{Backends, Cause, Legacy, Probed, Rules, Snapshot, Transitions},
    config::Config,
    discovery::{Answer, Knowledge},
    health::{Finding, Probe, Probers, Suspects},
    journal::{Journal, Kind},
    status::ProbeStatus,
    zone::Zone,
};

/// Findings that wait while the task is busy; a prober waits for room.
const FINDINGS: usize = 64;

pub type ProbeBook = BTreeMap<SocketAddr, ProbeStatus>;

pub struct Control {
    port: NonZeroU16,
    backends: Backends,
    probers: Probers,
    suspects: Suspects,
    knowledge: watch::Receiver<Knowledge>,
    /// How many answers there had been at the last one that was heard: a lookup that failed repeats
    /// it, and a saved one comes before the first.
    answers: Option<u64>,
    findings: mpsc::Receiver<Finding>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    probes: watch::Sender<ProbeBook>,
    transitions: watch::Sender<Transitions>,
    journal: Journal,
}

impl Control {
    pub fn new(
        config: &Config,
        port: NonZeroU16,
        probe: Probe,
        suspects: Suspects,
        knowledge: watch::Receiver<Knowledge>,
        journal: Journal,
    ) -> Self {
        let (sender, findings) = mpsc::channel(FINDINGS);
        let Config { health, life, .. } = config;
        let zone = Zone::of_host();
        if life.prefer_zone && zone.is_empty() {
            let wrong = "--prefer-zone: no interface has a subnet, so no backend is preferred";
            journal.warn(Kind::Backend, wrong);
        }
        Self {
            port,
            backends: Backends::new(Rules::new(health, life, zone), fastrand::u64(..)),
            probers: Probers::new(probe, health.interval, sender),
            suspects,
            knowledge,
            answers: None,
            findings,
            snapshots: watch::Sender::default(),
            probes: watch::Sender::default(),
            transitions: watch::Sender::default(),
            journal,
        }
    }

    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.subscribe()
    }

    pub fn probes(&self) -> watch::Receiver<ProbeBook> {
        self.probes.subscribe()
    }

    pub fn transitions(&self) -> watch::Receiver<Transitions> {
        self.transitions.subscribe()
    }

    /// Backends of an earlier agent keep their ids; those of another port are not ours.
    pub fn inherit(&mut self, id: BackendId, address: SocketAddr, legacy: Legacy) {
        if address.port() == self.port.get() {
            self.backends.inherit(id, address, legacy, Instant::now());
            self.publish(&Cause::Inherited);
        }
    }

    /// Ends when discovery has ended.
    pub async fn run(mut self) {
        self.probers.watch(&self.backends.addresses());
        loop {
            let deadline = self.backends.next_deadline();
            tokio::select! {
                known = self.knowledge.changed() => match known {
                    Ok(()) => self.answered(),
                    Err(_) => return,
                },
                Some(finding) = self.findings.recv() => self.found(&finding),
                suspects = self.suspects.take() => self.suspected(&suspects),
                () = until(deadline) => {
                    self.backends.tick(Instant::now());
                    self.publish(&Cause::Waited);
                }
            }
            self.probers.watch(&self.backends.addresses());
        }
    }

    fn answered(&mut self) {
        let Knowledge { answer, answers, .. } = self.knowledge.borrow_and_update().clone();
        let Some(Answer { addresses, .. }) = answer.filter(|_| Some(answers) != self.answers)
        else {
            return;
        };
        self.answers = Some(answers);
        let answer: BTreeSet<_> =
            addresses.iter().map(|ip| SocketAddr::new(*ip, self.port.get())).collect();
        let left_out = self.backends.answered(&answer, Instant::now());
        if left_out > 0 {
            let message = format!(
                "{left_out} of {} addresses are left out: at most {MAX_BACKENDS} are served",
                answer.len()
            );
            self.journal.warn(Kind::Backend, message);
        }
        self.publish(&Cause::Answered);
    }

    fn found(&mut self, finding: &Finding) {
        if !self.backends.addresses().contains(&finding.backend) {
            return;
        }
        self.probes.send_modify(|book| note(book, finding));
        let Some(outcome) = finding.outcome() else { return };
        let at = Instant::now();
        let begun = at.checked_sub(finding.took).unwrap_or(at);
        self.backends.probed(
            finding.backend,
            outcome,
            Probed { begun, at, segment: finding.segment },
        );
        self.publish(&Cause::Probed(finding));
    }

    fn suspected(&mut self, suspects: &BTreeSet<SocketAddr>) {
        let known = self.backends.addresses();
        for suspect in suspects.intersection(&known) {
            self.probers.suspect(suspect);
            self.probes.send_modify(|book| book.entry(*suspect).or_default().suspected += 1);
        }
    }

    fn publish(&mut self, cause: &Cause<'_>) {
        let (before, after) = (self.snapshots.borrow().clone(), self.backends.snapshot());
        if before.generation == after.generation {
            return;
        }
        for change in after.changes_since(&before) {
            self.journal.note(Kind::Backend, format!("{change}: {}", cause.of(&change)));
            self.transitions.send_modify(|counts| counts.count(&change));
        }
        self.tell_of_the_whole(&before, &after, cause);
        let known = self.backends.addresses();
        self.probes.send_modify(|book| book.retain(|address, _| known.contains(address)));
        self.snapshots.send_replace(after);
    }

    /// What is not the state of any one backend.
    fn tell_of_the_whole(&self, before: &Snapshot, after: &Snapshot, cause: &Cause<'_>) {
        if let Some(last) = after.last_resort.filter(|_| after.last_resort != before.last_resort) {
            let why = cause.of_fault(last);
            let message = format!("{last}: stays in use, for no other is live, but {why}");
            self.journal.warn(Kind::Backend, message);
        }
        if let Some(last) = before.last_resort.filter(|_| after.last_resort.is_none()) {
            let message = format!("{last}: is the last resort no more");
            self.journal.note(Kind::Backend, message);
        }
        match (before.spills_over(), after.spills_over()) {
            (false, true) => {
                let message = "none of the own zone is live: new connections leave it";
                self.journal.warn(Kind::Backend, message);
            }
            (true, false) => {
                self.journal.note(Kind::Backend, "new connections keep to the own zone again");
            }
            _ => {}
        }
    }
}

fn note(book: &mut ProbeBook, finding: &Finding) {
    let status = book.entry(finding.backend).or_default();
    status.last_ms = Some(finding.took.as_secs_f64() * 1_000.0);
    status.last_error = finding.result.as_ref().err().map(ToString::to_string);
    match finding.result {
        Ok(()) => status.passed += 1,
        Err(_) => status.failed += 1,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
