//! The composition root: everything that runs, and how it hangs together.
//!
//! ```text
//! discovery --answers--> control --snapshots--> packet path, listener, report --> admin
//!     ^                  (probes)                               |
//!     |                   ^                                     |
//!     +---- refresh ------+------- suspects, when one fails ----+
//! ```

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use proxy_common::{backend::BackendId, config::Events};
use thiserror::Error;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use crate::{
    admin::Admin,
    config::{Config, Refusal},
    control::Control,
    datapath::{
        Datapath, Packet,
        carry::Carrier,
        flows::Flows,
        interface,
        listener::{Bound, Leftover},
        tally::Tally,
    },
    discovery::{Discovery, Keeper, Refresh, Resolver, Sieve, Store},
    health::{Probe, Suspects},
    journal::{Journal, Kind},
    lifecycle::{Phase, Stops, draining},
    report::{DatapathFacts, PacketFacts, Report},
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
    let agent = Agent::start(config).await.map_err(Failure::Start)?;
    agent.serve(&mut stops).await.map_err(Failure::Later)
}

/// Runs for as long as it is held.
struct Agent {
    journal: Journal,
    phase: watch::Sender<Phase>,
    drain_timeout: Duration,
    listening: JoinSet<Leftover>,
    /// None of them ends by itself.
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Agent {
    /// What can be refused is refused before anything is attached.
    async fn start(config: Config) -> anyhow::Result<Self> {
        let started_at = Timestamp::now();
        let bound = Bound::new(config.listen)?;
        let admin = Admin::bind(config.admin).await?;
        let sieve = Sieve::new(config.listen, interface::addresses);
        let resolver = Resolver::new(&config.endpoint.host, &config.resolvers, sieve)?;
        let resolvers = resolver.servers();
        let probe = Probe::new(&config)?;
        let journal = Journal::default();
        let keeper = Keeper::new(open_store(&config, &journal)?, journal.clone());
        let datapath = Datapath::open(&config).await?;

        announce(&journal, &config, &datapath);
        let (phase, serving) = watch::channel(Phase::Serving);
        let refresh = Refresh::default();
        let discovery =
            Discovery::new(resolver, config.ttl, refresh.clone(), keeper, journal.clone());
        let knowledge = discovery.knowledge();
        let suspects = Suspects::new(refresh);
        let mut control =
            Control::new(&config, probe, suspects.clone(), knowledge.clone(), journal.clone());

        let mut tasks = JoinSet::new();
        let datapath =
            run_datapath(&mut tasks, datapath, config.log.flows, &mut control, &suspects, &journal);
        let tally = Arc::new(Tally::default());
        let carrier = Carrier {
            snapshots: control.snapshots(),
            suspects,
            connect_timeout: config.connect_timeout,
            max_age: config.life.max_age,
            reset_window: config.packet.reset_window,
            tally: tally.clone(),
        };
        let report = Report {
            endpoint: config.endpoint,
            listen: config.listen,
            started_at,
            resolvers,
            datapath,
            phase: serving.clone(),
            knowledge,
            snapshots: control.snapshots(),
            probes: control.probes(),
            transitions: control.transitions(),
            tally,
            journal: journal.clone(),
        };
        let mut listening = JoinSet::new();
        let listener = bound.serve(carrier, journal.clone());
        listening.spawn(listener.accept_until(draining(serving)));
        tasks.spawn(async {
            discovery.run().await;
            Ok(())
        });
        tasks.spawn(async {
            control.run().await;
            Ok(())
        });
        tasks.spawn(async { admin.serve(report).await.context("the admin endpoint broke") });
        Ok(Self { journal, phase, drain_timeout: config.drain_timeout, listening, tasks })
    }

    async fn serve(mut self, stops: &mut Stops) -> anyhow::Result<()> {
        let signal = tokio::select! {
            signal = stops.next() => signal,
            ended = self.tasks.join_next() => return Err(broken(ended)),
            ended = self.listening.join_next() => {
                return Err(broken(ended.map(|joined| joined.map(|_| Ok(())))));
            }
        };
        self.journal.note(Kind::Lifecycle, format!("{signal}: draining"));
        self.phase.send_replace(Phase::Draining);
        tokio::select! {
            cut = drain(&mut self.listening, self.drain_timeout) => match cut? {
                0 => self.journal.note(Kind::Lifecycle, "ended"),
                cut => self.journal.warn(Kind::Lifecycle, format!("ended; {cut} connections were reset")),
            },
            signal = stops.next() => {
                self.journal.warn(Kind::Lifecycle, format!("{signal} again: ended at once"));
            }
        }
        Ok(())
    }
}

/// A folder that was asked for must do; the default one is a good to have.
fn open_store(config: &Config, journal: &Journal) -> Result<Option<Store>, Refusal> {
    let folder = &config.state.folder;
    match Store::open(folder, &config.endpoint.host) {
        Ok(store) => Ok(Some(store)),
        Err(wrong) if config.state.is_given => {
            Err(Refusal::new("state-dir", folder.display(), wrong))
        }
        Err(wrong) => {
            let shown = folder.display();
            let message = format!("{shown}: {wrong}, with --state-dir: answers are not saved");
            journal.warn(Kind::Dns, message);
            Ok(None)
        }
    }
}

fn announce(journal: &Journal, config: &Config, datapath: &Datapath) {
    let Config { listen, endpoint, admin, .. } = config;
    let version = env!("CARGO_PKG_VERSION");
    let message = format!("enigate {version}: {listen} to {endpoint}, admin on {admin}");
    journal.note(Kind::Lifecycle, message);
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

fn run_datapath(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    datapath: Datapath,
    flow_log: Events,
    control: &mut Control,
    suspects: &Suspects,
    journal: &Journal,
) -> DatapathFacts {
    let name = datapath.name();
    let packet = datapath.packet.map(|Packet { kernel, interface }| {
        for (target, legacy) in kernel.inherited() {
            control.inherit(BackendId(target.id), target.address, *legacy);
        }
        let hook = kernel.hook();
        let flows =
            Flows::new(kernel, flow_log, control.snapshots(), suspects.clone(), journal.clone());
        let view = flows.view();
        tasks.spawn(flows.run());
        PacketFacts { hook, interface, view }
    });
    DatapathFacts { name, reason: datapath.reason, packet }
}

async fn drain(listening: &mut JoinSet<Leftover>, patience: Duration) -> anyhow::Result<usize> {
    let leftover = listening.join_next().await.context("nobody listens")??;
    Ok(leftover.drain(patience).await)
}

fn broken(ended: Option<Result<anyhow::Result<()>, JoinError>>) -> anyhow::Error {
    match ended {
        Some(Ok(Err(error))) => error,
        Some(Err(panic)) => anyhow!("a part of the agent broke: {panic}"),
        Some(Ok(Ok(()))) | None => anyhow!("a part of the agent ended by itself"),
    }
}
