//! The one task that owns the packet path: puts each snapshot in force, sweeps the flow table and
//! reads the counters. What the kernel is asked runs on a thread that may block.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use proxy_common::backend::BackendId;
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Interval, MissedTickBehavior, interval},
};

use super::kernel::{
    BackendCounters, Kernel, Target,
    reset::{self, Resets},
};
use crate::{
    backends::{Backend, Snapshot},
    journal::{Journal, Kind},
};

/// Between two rounds through the flow table.
const SWEEP: Duration = Duration::from_secs(2);
/// Between two steps of a round.
const STEP: Duration = Duration::from_millis(10);
/// How old counters may be; a snapshot that could not be put in force is tried again as often.
const COLLECT: Duration = Duration::from_millis(500);

/// What is known of the packet path.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The generation that new connections see; `None` before this agent's first.
    pub in_force: Option<u64>,
    pub entries: u64,
    pub capacity: u64,
    pub swept: u64,
    pub failures: u64,
    /// Of the newest attempt; `None` if it went well.
    pub error: Option<String>,
    pub counters: BTreeMap<BackendId, BackendCounters>,
    pub reasons: BTreeMap<String, u64>,
}

pub struct Flows {
    /// `None` only while a thread works with it.
    kernel: Option<Kernel>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    view: watch::Sender<View>,
    journal: Journal,
    /// Known to be; their connections have been reset, or are being so.
    dead: BTreeSet<SocketAddr>,
    is_resetting: bool,
}

impl Flows {
    pub fn new(
        kernel: Kernel,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        journal: Journal,
    ) -> Self {
        let view = View { capacity: kernel.capacity(), ..View::default() };
        Self {
            kernel: Some(kernel),
            snapshots,
            view: watch::Sender::new(view),
            journal,
            dead: BTreeSet::new(),
            is_resetting: false,
        }
    }

    pub fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Ends when nobody publishes snapshots any more; what is in force stays so.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let (mut sweep, mut collect) = (every(SWEEP), every(COLLECT));
        let mut pace = every(reset::PACE);
        loop {
            tokio::select! {
                changed = self.snapshots.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.publish().await?;
                }
                _ = collect.tick() => {
                    self.publish().await?;
                    self.collect().await?;
                }
                _ = pace.tick(), if self.is_resetting => self.reset().await?,
                _ = sweep.tick() => {
                    let pause = self.sweep().await?;
                    sweep.reset_after(pause);
                }
            }
        }
    }

    async fn publish(&mut self) -> anyhow::Result<()> {
        let snapshot = self.snapshots.borrow_and_update().clone();
        let dead = snapshot.dead();
        if self.is_news(&snapshot) {
            self.put_in_force(snapshot).await?;
        }
        self.bury(dead).await
    }

    async fn put_in_force(&mut self, snapshot: Arc<Snapshot>) -> anyhow::Result<()> {
        let generation = snapshot.generation;
        let result =
            self.ask(move |kernel| kernel.publish(generation, &targets(&snapshot))).await?;
        self.learn("cannot put the backends in force", result, move |view, ()| {
            tracing::debug!(generation, "in force on the packet path");
            view.in_force = Some(generation);
        });
        Ok(())
    }

    /// What an earlier agent left in force stays until this one knows better.
    fn is_news(&self, snapshot: &Snapshot) -> bool {
        match self.view.borrow().in_force {
            Some(generation) => generation != snapshot.generation,
            None => snapshot.is_judged,
        }
    }

    /// Connections of a backend that died are reset once, however long it stays dead.
    async fn bury(&mut self, dead: BTreeSet<SocketAddr>) -> anyhow::Result<()> {
        let died: BTreeSet<_> = dead.difference(&self.dead).copied().collect();
        self.dead = dead;
        if !died.is_empty() {
            let result = self.ask(move |kernel| kernel.bury(died)).await?;
            self.learn("cannot reset the connections of dead backends", result, |_, ()| {});
            self.is_resetting = true;
        }
        Ok(())
    }

    async fn reset(&mut self) -> anyhow::Result<()> {
        let result = self.ask(Kernel::reset).await?;
        self.is_resetting = result.as_ref().is_ok_and(|resets| !resets.is_over);
        if let Ok(resets) = result.as_ref()
            && resets.is_over
            && resets.connections > 0
        {
            self.tell(resets);
        }
        self.learn("cannot reset the connections of dead backends", result, |_, _| {});
        Ok(())
    }

    fn tell(&self, resets: &Resets) {
        let Resets { connections, sent, error, .. } = resets;
        let ended = format!("{connections} connections of dead backends ended, {sent} RSTs sent");
        match error {
            None => self.journal.note(Kind::Datapath, ended),
            Some(error) => self.journal.warn(Kind::Datapath, format!("{ended}; not to {error}")),
        }
    }

    /// One step; returns how long to rest before the next.
    async fn sweep(&mut self) -> anyhow::Result<Duration> {
        let result = self.ask(Kernel::sweep).await?;
        let is_amid_a_round = result.as_ref().is_ok_and(|step| step.left.is_none());
        self.learn("cannot sweep the flow table", result, |view, step| {
            view.entries = step.left.unwrap_or(view.entries);
            view.swept += step.deleted;
        });
        Ok(if is_amid_a_round { STEP } else { SWEEP })
    }

    async fn collect(&mut self) -> anyhow::Result<()> {
        let ids: Vec<_> = self.snapshots.borrow().backends.iter().map(|known| known.id).collect();
        let result = self.ask(move |kernel| read(kernel, &ids)).await?;
        self.learn("cannot read the counters", result, |view, (counters, reasons)| {
            view.counters = counters;
            view.reasons = reasons;
        });
        Ok(())
    }

    /// Fails only if the thread panicked: the kernel's hold is lost then.
    async fn ask<T: Send + 'static>(
        &mut self,
        question: impl FnOnce(&mut Kernel) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let mut kernel = self.kernel.take().context("the packet path was lost")?;
        let work = move || {
            let answer = question(&mut kernel);
            (kernel, answer)
        };
        let (kernel, answer) = spawn_blocking(work).await.context("the packet path was lost")?;
        self.kernel = Some(kernel);
        Ok(answer)
    }

    fn learn<T>(&self, what: &str, result: anyhow::Result<T>, apply: impl FnOnce(&mut View, T)) {
        let error = result.as_ref().err().map(|error| format!("{what}: {error:#}"));
        if let Some(error) = error.as_ref().filter(|_| self.view.borrow().error != error) {
            self.journal.warn(Kind::Datapath, error);
        }
        self.view.send_modify(|view| {
            view.failures += u64::from(error.is_some());
            view.error = error;
            if let Ok(answer) = result {
                apply(view, answer);
            }
        });
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

type Counted = (BTreeMap<BackendId, BackendCounters>, BTreeMap<String, u64>);

fn read(kernel: &Kernel, ids: &[BackendId]) -> anyhow::Result<Counted> {
    let counters = ids.iter().map(|id| Ok((*id, kernel.counters(id.0)?)));
    Ok((counters.collect::<anyhow::Result<_>>()?, kernel.reasons()?))
}

fn targets(snapshot: &Snapshot) -> Vec<Target> {
    let target = |backend: &Backend| Target { id: backend.id.0, address: backend.address };
    snapshot.live().map(target).collect()
}
