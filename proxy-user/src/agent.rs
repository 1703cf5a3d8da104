//! The composition root: everything that runs, and how it hangs together.
//!
//! ```text
//! discovery --answers--> control --snapshots--> packet path, listener, report --> admin
//!     ^                  (probes)                               |
//!     |                   ^                                     |
//!     +---- refresh ------+------- suspects, when one fails ----+
//! ```

mod parts;

use std::{net::SocketAddr, os::fd::OwnedFd, sync::Arc};

use anyhow::Context as _;
use jiff::Timestamp;
use proxy_common::{backend::BackendId, config::Events};
use thiserror::Error;
use tokio::{
    sync::{OwnedMutexGuard, watch},
    task::JoinSet,
    time::sleep,
};

use self::parts::Parts;
use crate::{
    admin::Admin,
    carriers::carriers,
    cluster::Cluster,
    config::{Config, DrainConfig, Route},
    datapath::{
        Datapath, Packet, Place,
        flows::{Flows, Turn},
        handover::Handover,
        tally::Tally,
    },
    files::Files,
    journal::{Journal, Kind},
    lifecycle::{Phase, Stops},
    listeners::Listeners,
    report::{DatapathFacts, PacketFacts, Report},
    succession::{self, Estate, Heir, Host, Predecessor},
};

#[derive(Debug, Error)]
pub enum Failure {
    /// Nothing is attached that was not before.
    #[error("{0:#}")]
    Start(anyhow::Error),
    #[error("{0:#}")]
    Later(anyhow::Error),
}

/// Runs until a signal ends it. The packet path then stays attached: it carries its connections on
/// and the next agent takes it over.
pub async fn run(config: Config) -> Result<(), Failure> {
    let mut stops = Stops::listen().map_err(Failure::Start)?;
    let agent = Agent::start(config, &stops).await.map_err(Failure::Start)?;
    agent.serve(&mut stops).await.map_err(Failure::Later)
}

/// Runs for as long as it is held.
struct Agent {
    journal: Journal,
    phase: watch::Sender<Phase>,
    drain: DrainConfig,
    /// For successors; `None` where none can come.
    host: Option<Host>,
    turn: Option<Turn>,
    handover: Option<Arc<Handover>>,
    /// The packet path is a successor's.
    kept: Option<OwnedMutexGuard<()>>,
    parts: Parts,
}

impl Agent {
    /// What can be refused is refused before anything is attached, and before an agent whose place
    /// this one takes makes room.
    async fn start(config: Config, stops: &Stops) -> anyhow::Result<Self> {
        let started_at = Timestamp::now();
        let (files, journal) = (Files::raised()?, Journal::default());
        let (mut estate, mut predecessor) = inherit(&config, &journal).await?;
        let listeners = Listeners::bind(&config, &mut estate)?;
        let admin = Admin::open(config.admin, estate.take(config.admin)).await?;
        let listening = listeners.copies()?;
        let mut copies = listeners.copies()?;
        copies.push(admin.copy()?);
        let mut clusters = clusters(&config, &journal)?;
        let tally = Arc::new(Tally::default());
        let mut carriers = carriers(&config, &clusters, files, &tally)?;
        if let Some(predecessor) = &mut predecessor {
            predecessor.pause().await?;
        }
        let place = Place { listening, is_alone: predecessor.is_none() };
        let datapath = Datapath::open(&config, place).await?;
        if datapath.mover.handover().is_none() {
            listeners.relay_all()?;
        }
        carriers.values_mut().for_each(|carrier| carrier.mover = datapath.mover.clone());

        announce(&journal, &config, &datapath, files);
        let (phase, serving) = watch::channel(Phase::Serving);
        let handover = datapath.mover.handover().cloned();
        let mut tasks = JoinSet::new();
        let (datapath, turn) =
            run_datapath(&mut tasks, datapath, config.log.flows, &mut clusters[0], &journal);
        let report = Report {
            started_at,
            datapath,
            phase: serving.clone(),
            routes: clusters.iter().map(Cluster::facts).collect(),
            tally,
            journal: journal.clone(),
        };
        let snapshots: Vec<_> = clusters.iter().map(Cluster::snapshots).collect();
        let listening = listeners.run(carriers, &journal, &serving, &snapshots);
        clusters.into_iter().for_each(|cluster| cluster.run(&mut tasks));
        let request = stops.request();
        let admin =
            async { admin.serve(report, request).await.context("the admin endpoint broke") };
        tasks.spawn(admin);
        if let Some(predecessor) = predecessor {
            retire(predecessor, &journal).await;
        }
        let host = host(config.admin, copies, &journal);
        let parts = Parts { listening, tasks };
        Ok(Self { journal, phase, drain: config.drain, host, turn, handover, kept: None, parts })
    }

    async fn serve(mut self, stops: &mut Stops) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                who = stops.first() => {
                    self.enter(Phase::Draining, &format!("{who}: draining: {}", self.drain));
                    break;
                }
                heir = succession::next(self.host.as_ref()) => {
                    if self.gives_way(heir).await? {
                        break;
                    }
                }
                broken = self.parts.break_down() => return Err(broken),
            }
        }
        tokio::select! {
            ended = self.end() => ended,
            signal = stops.signal() => {
                let message = format!("{signal} again: ended at once");
                self.journal.warn(Kind::Lifecycle, message);
                Ok(())
            }
        }
    }

    /// To a successor, unless that gives up.
    async fn gives_way(&mut self, mut heir: Heir) -> anyhow::Result<bool> {
        if let Err(error) = self.parts.unless_broken(heir.asks_to_pause()).await? {
            self.journal.warn(Kind::Lifecycle, format!("a successor gave up: {error}"));
            return Ok(false);
        }
        let turn = match &self.turn {
            Some(turn) => Some(turn.clone().lock_owned().await),
            None => None,
        };
        self.enter(Phase::Paused, "a successor is ready: what is new waits for it");
        if let Err(error) = heir.takes_over().await {
            let message = format!("the successor gave up, and this agent goes on: {error}");
            self.enter(Phase::Serving, &message);
            return Ok(false);
        }
        (self.host, self.kept) = (None, turn);
        self.enter(Phase::Retired, "a successor has taken over");
        if let Err(error) = heir.bye().await {
            tracing::debug!("the successor did not wait for the last word: {error}");
        }
        Ok(true)
    }

    async fn end(&mut self) -> anyhow::Result<()> {
        let DrainConfig { accept, deadline } = self.drain;
        let mut patience = deadline;
        if *self.phase.borrow() == Phase::Draining {
            self.parts.unless_broken(sleep(accept)).await?;
            // Its copies of the sockets would go on to queue connections that nobody accepts.
            self.host = None;
            self.enter(Phase::Closing, "no new connections are accepted");
            patience = deadline.saturating_sub(accept);
        }
        let ended = match self.parts.drain(patience).await? {
            0 => "ended".to_owned(),
            cut => format!("ended; {cut} connections were reset"),
        };
        self.journal.note(Kind::Lifecycle, ended);
        Ok(())
    }

    fn enter(&self, phase: Phase, message: &str) {
        self.journal.note(Kind::Lifecycle, message);
        if let (Phase::Draining | Phase::Retired, Some(handover)) = (phase, &self.handover) {
            handover.hurry();
        }
        self.phase.send_replace(phase);
    }
}

/// The sockets that systemd and an earlier agent have bound.
async fn inherit(
    config: &Config,
    journal: &Journal,
) -> anyhow::Result<(Estate, Option<Predecessor>)> {
    let mut estate = Estate::of_systemd(&config.listening())?;
    let Some((predecessor, sockets)) = Predecessor::find(config.admin).await? else {
        return Ok((estate, None));
    };
    journal.note(Kind::Lifecycle, "an agent runs here: this one takes its place");
    estate.add(sockets);
    Ok((estate, Some(predecessor)))
}

/// One that dies at this very moment has made room as well.
async fn retire(predecessor: Predecessor, journal: &Journal) {
    match predecessor.retire().await {
        Ok(()) => journal.note(Kind::Lifecycle, "the earlier agent has made room and retires"),
        Err(error) => journal.warn(Kind::Lifecycle, format!("{error:#}; this one serves")),
    }
}

/// For successors, who keep the queues of these sockets alive.
fn host(admin: SocketAddr, copies: Vec<OwnedFd>, journal: &Journal) -> Option<Host> {
    let host = Host::open(admin, copies);
    if let Err(error) = &host {
        let message = format!("no successor can take this agent's place: {error}");
        journal.warn(Kind::Lifecycle, message);
    }
    host.ok()
}

/// Each says in the journal which it is, where there are several.
fn clusters(config: &Config, journal: &Journal) -> anyhow::Result<Vec<Cluster>> {
    let one = |route| match config.routes.len() {
        1 => Cluster::new(config, route, journal),
        _ => Cluster::new(config, route, &journal.about(&route.endpoint)),
    };
    config.routes.iter().map(one).collect()
}

fn announce(journal: &Journal, config: &Config, datapath: &Datapath, files: Files) {
    let version = env!("CARGO_PKG_VERSION");
    for Route { listen, endpoint, .. } in &config.routes {
        let message =
            format!("enigate {version}: {listen} to {endpoint}, admin on {}", config.admin);
        journal.note(Kind::Lifecycle, message);
    }
    if let Some(lack) = files.lack(config.listener.limits.total) {
        journal.warn(Kind::Lifecycle, lack);
    }
    journal.note(Kind::Backend, format!("probes: {}", config.health.probing));
    journal.note(Kind::Datapath, format!("{}: {}", datapath.name(), datapath.reason));
    if datapath.packet.is_none() && config.packet.pin_dir.exists() {
        let message = format!(
            "{} holds an earlier agent's packet path: while it is attached, it goes on taking \
             connections for the backends that it knew; run `enigate detach` to end that",
            config.packet.pin_dir.display()
        );
        journal.warn(Kind::Datapath, message);
    }
}

/// The packet path has one cluster alone.
fn run_datapath(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    datapath: Datapath,
    flow_log: Events,
    cluster: &mut Cluster,
    journal: &Journal,
) -> (DatapathFacts, Option<Turn>) {
    let name = datapath.name();
    let handover = datapath.mover.handover().cloned();
    let packet = datapath.packet.map(|Packet { kernel, interface }| {
        for (target, legacy) in kernel.inherited() {
            cluster.control.inherit(BackendId(target.id), target.address, *legacy);
        }
        let hook = kernel.hook();
        let (snapshots, suspects) = (cluster.snapshots(), cluster.suspects.clone());
        let flows = Flows::new(kernel, flow_log, snapshots, suspects, journal.clone(), handover);
        let (view, turn) = (flows.view(), flows.turn());
        tasks.spawn(flows.run());
        (PacketFacts { hook, interface, view }, turn)
    });
    let (packet, turn) = packet.unzip();
    (DatapathFacts { name, reason: datapath.reason, packet, mover: datapath.mover }, turn)
}
