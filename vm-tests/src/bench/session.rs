//! Every contender once in each round, in an order that no round shares with the next but by
//! chance.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::time::sleep;

use super::{
    clocked::Programs,
    contender::{Contender, Running},
    events,
    figure::What,
    load,
    loader::Loader,
    machine::{Machine, busy_with_others},
    others, packets,
    report::{Report, Run},
    servers::Servers,
    site::Site,
    trial::Trial,
    workload::Workload,
};

/// They take long, and are far apart: fewer do. One where there are three rounds.
const EVENT_ROUNDS: usize = 3;
const READY: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);

pub(crate) struct Plan {
    /// The eBPF programs by themselves, too.
    pub programs: bool,
    pub contenders: Vec<Contender>,
    pub rounds: usize,
    pub quick: bool,
    pub agent: PathBuf,
    pub load: PathBuf,
}

pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let mut report = Report::new(Machine::this()?, plan.rounds);
    if plan.programs {
        programs(plan, &mut report).await?;
    }
    for contender in &plan.contenders {
        report.versions.insert(*contender, contender.version(&plan.agent).await?);
    }
    let mut progress = Progress::new(plan.rounds * plan.contenders.len());
    for round in 1..=plan.rounds {
        let mut order = plan.contenders.clone();
        fastrand::shuffle(&mut order);
        for contender in order {
            progress.say(&format!("round {round} of {}: {contender}", plan.rounds));
            let mut parts = vec![one(plan, contender).await];
            if round <= EVENT_ROUNDS.min(plan.rounds / 2) {
                parts.push(events::run(contender, &plan.agent).await);
                parts.push(others::bulk(contender, &plan.agent, &plan.load).await);
            }
            for part in parts {
                match part {
                    Ok(run) => {
                        progress.note_failures(&run);
                        report.add(contender, run);
                    }
                    Err(error) => {
                        eprintln!("{contender}: {error:#}");
                        report.broken.push(format!("{contender}, round {round}: {error:#}"));
                    }
                }
            }
        }
    }
    report.subtract_plain();
    Ok(report)
}

async fn programs(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    // There the kernel looks up routes for XDP.
    let site = Site::build(&plan.load, Contender::Xdp.wires()).await.context("building the lab")?;
    match packets::measure(&site, plan.rounds).await {
        Ok(measured) => {
            report.broken.extend(measured.broken.iter().cloned());
            report.packets = measured;
        }
        Err(error) => report.broken.push(format!("the eBPF programs: {error:#}")),
    }
    Ok(())
}

/// One contender in a lab of its own.
async fn one(plan: &Plan, contender: Contender) -> anyhow::Result<Run> {
    let site = Site::build(&plan.load, contender.wires()).await.context("building the lab")?;
    let others = Programs::present()?;
    let mut running = contender.start(&site, &plan.agent).await?;
    let targets = contender.targets(site.backends());
    for target in &targets {
        until_it_carries(&site, &mut running, *target).await?;
    }
    let programs = Programs::present()?.without(&others);
    let loader = Loader::new(site.client(), &plan.load, &targets);
    let run = Run { busy_before: Some(busy_with_others().await?), ..Run::default() };
    let servers = Servers::new(site.servers());
    let mut trial = Trial { loader, servers, running, programs, quick: plan.quick, run };
    if trial.running.has_tables() {
        trial.run.add(Workload::Idle, What::Table, site.table_bytes_each()?);
    }
    trial.all().await
}

/// A message and its echo, all the way: none of the contenders says by itself when it is ready.
async fn until_it_carries(
    site: &Site,
    running: &mut Running,
    target: SocketAddr,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY;
    loop {
        let tried = site.client().run(async move { load::try_once(target).await }).await;
        let Err(error) = tried else { return Ok(()) };
        if let Running::Daemon(daemon) = running
            && let Some(why) = daemon.has_ended()
        {
            bail!(why);
        }
        if Instant::now() > deadline {
            return Err(error).context(format!("carries nothing to {target} after {READY:?}"));
        }
        sleep(POLL).await;
    }
}

/// What is going on and how long it will yet, on standard error.
struct Progress {
    began: Instant,
    done: u32,
    all: u32,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self { began: Instant::now(), done: 0, all: u32::try_from(all).unwrap_or(u32::MAX) }
    }

    fn say(&mut self, what: &str) {
        let left = match self.left() {
            Some(left) => format!("about {} s left", left.as_secs()),
            None => "the first will say how long all takes".to_owned(),
        };
        self.done += 1;
        eprintln!("[{}/{}] {what}; {left}", self.done, self.all);
    }

    /// Which, the report says.
    fn note_failures(&self, run: &Run) {
        let failures = run.failures.total();
        if failures > 0 {
            eprintln!("[{}/{}] {failures} failures", self.done, self.all);
        }
    }

    fn left(&self) -> Option<Duration> {
        let each = self.began.elapsed().checked_div(self.done)?;
        Some(each * (self.all - self.done))
    }
}
