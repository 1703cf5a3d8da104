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
    contender::{Contender, Running},
    figure::{Figure, What},
    load::{self, Failures, Outcome},
    loader::Loader,
    machine::{Machine, busy_with_others},
    process::Usage,
    report::{Report, Run},
    site::Site,
    workload::Workload,
};

const READY: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);

pub(crate) struct Plan {
    pub contenders: Vec<Contender>,
    pub rounds: usize,
    pub quick: bool,
    pub agent: PathBuf,
    pub load: PathBuf,
}

pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let mut report = Report::new(Machine::this()?, plan.rounds);
    let mut progress = Progress::new(plan.rounds * plan.contenders.len());
    for round in 1..=plan.rounds {
        let mut order = plan.contenders.clone();
        fastrand::shuffle(&mut order);
        for contender in order {
            progress.say(&format!("round {round} of {}: {contender}", plan.rounds));
            match one(plan, contender).await {
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
    Ok(report)
}

/// One contender in a lab of its own.
async fn one(plan: &Plan, contender: Contender) -> anyhow::Result<Run> {
    let site = Site::build(&plan.load).await.context("building the lab")?;
    let mut running = contender.start(&site, &plan.agent).await?;
    let targets = contender.targets(site.backends());
    for target in &targets {
        until_it_carries(&site, &mut running, *target).await?;
    }
    let mut run = Run { busy_before: busy_with_others().await?, ..Run::default() };
    let loader = Loader::new(site.client(), &plan.load, &targets);
    for workload in Workload::ALL {
        let measured = measure(&loader, &running, workload, plan.quick).await;
        let (outcome, usage, share) = measured.with_context(|| workload.to_string())?;
        run.add(workload, &outcome, usage);
        if let Some(share) = share {
            run.figures.push((Figure { workload, what: What::HandedOver }, share));
        }
    }
    Ok(run)
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

async fn measure(
    loader: &Loader,
    running: &Running,
    workload: Workload,
    quick: bool,
) -> anyhow::Result<(Outcome, Option<Usage>, Option<f64>)> {
    let usage = || running.group().map(Usage::of_group).transpose();
    let earlier = running.handovers().await?;
    let before = usage()?;
    let mut going = loader.start(workload.arguments(quick)).await?;
    let mut outcome = going.outcome().await?;
    let after = usage()?;
    let later = running.handovers().await?;
    if workload == Workload::Idle {
        going.let_go();
        outcome.failures.absorb(&going.outcome().await?.failures);
    }
    let used = before.zip(after).map(|(before, after)| after.since(before));
    Ok((outcome, used, earlier.zip(later).map(|(earlier, later)| later.share_since(earlier))))
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

impl Run {
    fn add(&mut self, workload: Workload, outcome: &Outcome, usage: Option<Usage>) {
        self.figures.extend(workload.figures(outcome, usage));
        let named = |(what, count): (&String, &u64)| (format!("{workload}: {what}"), *count);
        self.failures.absorb(&Failures(outcome.failures.0.iter().map(named).collect()));
    }
}
