//! The composition root: everything that runs, and how it hangs together.
//!
//! ```text
//! discovery --answers--> control --snapshots--> packet path, listener, report --> admin
//!     ^                  (probes)                               |
//!     |                   ^                                     |
//!     +---- refresh ------+------- suspects, when one fails ----+
//! ```

use std::{
    collections::{BTreeMap, btree_map::Entry},
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use proxy_common::{backend::BackendId, config::Events};
use thiserror::Error;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

use crate::{
    admin::Admin,
    backends::Snapshot,
    carriers::carriers,
    cluster::Cluster,
    config::{Config, DrainConfig, Refusal, Route},
    datapath::{
        Datapath, Packet,
        carry::Carrier,
        flows::Flows,
        listener::{Bound, Leftover},
        tally::Tally,
    },
    files::Files,
    journal::{Journal, Kind},
    lifecycle::{Phase, Stops, closing},
    report::{DatapathFacts, PacketFacts, Report},
};

/// Connections wait so long in the kernel's queue for a first backend, rather than be refused.
const FIRST_BACKEND: Duration = Duration::from_secs(5);

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
    /// One for each address that is listened on.
    listening: JoinSet<Leftover>,
    /// None of them ends by itself.
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Agent {
    /// What can be refused is refused before anything is attached.
    async fn start(config: Config, stops: &Stops) -> anyhow::Result<Self> {
        let started_at = Timestamp::now();
        let files = Files::raised()?;
        let bound = bind(&config)?;
        let admin = Admin::bind(config.admin).await?;
        let journal = Journal::default();
        let mut clusters = clusters(&config, &journal)?;
        let tally = Arc::new(Tally::default());
        let carriers = carriers(&config, &clusters, files, &tally)?;
        let datapath = Datapath::open(&config).await?;

        announce(&journal, &config, &datapath, files);
        let (phase, serving) = watch::channel(Phase::Serving);
        let mut tasks = JoinSet::new();
        let datapath =
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
        let listening = listen(bound, carriers, &journal, &serving, &snapshots);
        clusters.into_iter().for_each(|cluster| cluster.run(&mut tasks));
        let request = stops.request();
        let admin =
            async { admin.serve(report, request).await.context("the admin endpoint broke") };
        tasks.spawn(admin);
        Ok(Self { journal, phase, drain: config.drain, listening, tasks })
    }

    async fn serve(mut self, stops: &mut Stops) -> anyhow::Result<()> {
        let who = self.until(stops.first()).await?;
        self.enter(Phase::Draining, &format!("{who}: draining: {}", self.drain));
        tokio::select! {
            ended = self.drain() => ended,
            signal = stops.signal() => {
                let message = format!("{signal} again: ended at once");
                self.journal.warn(Kind::Lifecycle, message);
                Ok(())
            }
        }
    }

    async fn drain(&mut self) -> anyhow::Result<()> {
        let DrainConfig { accept, deadline } = self.drain;
        self.until(sleep(accept)).await?;
        self.enter(Phase::Closing, "no new connections are accepted");
        let mut cut = 0;
        let patience = deadline.saturating_sub(accept);
        let mut draining = JoinSet::new();
        while let Some(leftover) = self.listening.join_next().await {
            draining.spawn(leftover?.drain(patience));
        }
        while let Some(ended) = draining.join_next().await {
            cut += ended?;
        }
        let ended = match cut {
            0 => "ended".to_owned(),
            cut => format!("ended; {cut} connections were reset"),
        };
        self.journal.note(Kind::Lifecycle, ended);
        Ok(())
    }

    /// Unless a part of the agent breaks before.
    async fn until<T>(&mut self, end: impl Future<Output = T>) -> anyhow::Result<T> {
        tokio::select! {
            done = end => Ok(done),
            ended = self.tasks.join_next() => Err(broken(ended)),
            ended = self.listening.join_next() => {
                Err(broken(ended.map(|joined| joined.map(|_| Ok(())))))
            }
        }
    }

    fn enter(&self, phase: Phase, message: &str) {
        self.journal.note(Kind::Lifecycle, message);
        self.phase.send_replace(phase);
    }
}

fn bind(config: &Config) -> Result<BTreeMap<SocketAddr, Bound>, Refusal> {
    let mut bound = BTreeMap::new();
    for route in &config.routes {
        if let Entry::Vacant(place) = bound.entry(route.listen) {
            place.insert(Bound::new(route.listen, config.listener.legs)?);
        }
    }
    Ok(bound)
}

/// Each says in the journal which it is, where there are several.
fn clusters(config: &Config, journal: &Journal) -> anyhow::Result<Vec<Cluster>> {
    let one = |route| match config.routes.len() {
        1 => Cluster::new(config, route, journal),
        _ => Cluster::new(config, route, &journal.about(&route.endpoint)),
    };
    config.routes.iter().map(one).collect()
}

fn listen(
    bound: BTreeMap<SocketAddr, Bound>,
    mut carriers: BTreeMap<SocketAddr, Carrier>,
    journal: &Journal,
    serving: &watch::Receiver<Phase>,
    snapshots: &[watch::Receiver<Arc<Snapshot>>],
) -> JoinSet<Leftover> {
    let mut listening = JoinSet::new();
    for (address, bound) in bound {
        let Some(carrier) = carriers.remove(&address) else { continue };
        let listener = bound.serve(carrier, journal.clone());
        let (first, closing) = (first_backends(snapshots.to_vec()), closing(serving.clone()));
        listening.spawn(async {
            first.await;
            listener.accept_until(closing).await
        });
    }
    listening
}

/// Until something is known to live of each cluster, or that nothing does, or it takes too long.
async fn first_backends(snapshots: Vec<watch::Receiver<Arc<Snapshot>>>) {
    let all = async {
        for mut snapshots in snapshots {
            let _gone = snapshots.wait_for(|snapshot| snapshot.is_judged).await;
        }
    };
    let _as_it_is = timeout(FIRST_BACKEND, all).await;
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
) -> DatapathFacts {
    let name = datapath.name();
    let packet = datapath.packet.map(|Packet { kernel, interface }| {
        for (target, legacy) in kernel.inherited() {
            cluster.control.inherit(BackendId(target.id), target.address, *legacy);
        }
        let hook = kernel.hook();
        let (snapshots, suspects) = (cluster.snapshots(), cluster.suspects.clone());
        let flows = Flows::new(kernel, flow_log, snapshots, suspects, journal.clone());
        let view = flows.view();
        tasks.spawn(flows.run());
        PacketFacts { hook, interface, view }
    });
    DatapathFacts { name, reason: datapath.reason, packet }
}

fn broken(ended: Option<Result<anyhow::Result<()>, JoinError>>) -> anyhow::Error {
    match ended {
        Some(Ok(Err(error))) => error,
        Some(Err(panic)) => anyhow!("a part of the agent broke: {panic}"),
        Some(Ok(Ok(()))) | None => anyhow!("a part of the agent ended by itself"),
    }
}
