//! One contender under all loads, one after the other.

use anyhow::Context as _;
use aya::sys::{Stats, enable_stats};

use super::{
    clocked::Programs,
    contender::Running,
    figure::What,
    load::{Failures, Outcome},
    loader::{Going, Loader},
    others,
    report::Run,
    servers::Servers,
    spent::{Account, Spent},
    workload::Workload,
};

pub(crate) struct Trial {
    pub loader: Loader,
    pub servers: Servers,
    pub running: Running,
    /// Those of the contender, where it has any.
    pub programs: Programs,
    pub quick: bool,
    pub run: Run,
}

impl Trial {
    pub(crate) async fn all(mut self) -> anyhow::Result<Run> {
        let alone = self.servers.open().await?;
        let mut idle = self.measure(Workload::Idle).await?;
        self.measure(Workload::Crowd).await?;
        idle.let_go();
        let outcome = idle.outcome().await?;
        self.settle(Workload::Idle, alone).await?;
        self.note_failures(Workload::Idle, &outcome);
        for workload in Workload::AFTER_IDLE {
            self.measure(workload).await?;
        }
        self.run.figures.extend(others::requests(&self.loader).await?);
        if !self.programs.is_empty() {
            for workload in Workload::CLOCKED {
                self.clock(workload).await.with_context(|| format!("clocked: {workload}"))?;
            }
        }
        Ok(self.run)
    }

    /// Connections that stay do so for as long as what this returns.
    async fn measure(&mut self, workload: Workload) -> anyhow::Result<Going> {
        let earlier = self.running.handovers().await?;
        let (outcome, spent, going) =
            self.load(workload).await.with_context(|| workload.to_string())?;
        let later = self.running.handovers().await?;
        self.note_failures(workload, &outcome);
        self.run.figures.extend(workload.figures(&outcome, &spent));
        if let Some((earlier, later)) = earlier.zip(later) {
            self.run.add(workload, What::HandedOver, later.share_since(earlier));
        }
        Ok(going)
    }

    async fn clock(&mut self, workload: Workload) -> anyhow::Result<()> {
        // Off again when it is dropped.
        let _clock = enable_stats(Stats::RunTime)?;
        let before = self.programs.runs()?;
        let (outcome, ..) = self.load(workload).await?;
        let runs = self.programs.runs()?.since(before);
        let each = runs.time.as_secs_f64() / outcome.total.max(1) as f64;
        self.run.add(workload, What::Programs, each);
        if let Some(run) = runs.each() {
            self.run.add(workload, What::Run, run);
        }
        Ok(())
    }

    async fn load(&mut self, workload: Workload) -> anyhow::Result<(Outcome, Spent, Going)> {
        let open = self.servers.open().await?;
        let before = Account::now(&self.running)?;
        let mut going = self.loader.start(workload.arguments(self.quick)).await?;
        let outcome = going.outcome().await?;
        let spent = Account::now(&self.running)?.since(&before)?;
        if workload != Workload::Idle {
            self.settle(workload, open).await?;
        }
        Ok((outcome, spent, going))
    }

    /// Until servers have no more connections than these: a load has ended.
    async fn settle(&mut self, workload: Workload, open: u64) -> anyhow::Result<()> {
        let stayed = self.servers.until(open).await?;
        if stayed > 0 {
            let what = format!("{workload}: servers did not hear of the end");
            self.run.failures.absorb(&Failures([(what, stayed)].into()));
        }
        Ok(())
    }

    fn note_failures(&mut self, workload: Workload, outcome: &Outcome) {
        let named = |(what, count): (&String, &u64)| (format!("{workload}: {what}"), *count);
        self.run.failures.absorb(&Failures(outcome.failures.0.iter().map(named).collect()));
    }
}
