//! The one task that owns the packet path: puts each snapshot in force, sweeps the flow table, reads
//! the counters and logs flows. What the kernel is asked runs on a thread that may block.

mod alarm;
mod clocks;
mod log;
mod view;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use proxy_common::{config::Events, event::Change};
use tokio::{
    sync::{Mutex, watch},
    task::spawn_blocking,
};

pub use self::view::View;
use self::{
    clocks::{Clocks, Due, SWEEP},
    log::FlowLog,
    view::{Alarms, Counted},
};
use super::{
    handover::Handover,
    kernel::{
        Kernel, Target,
        reset::{Doomed, Resets, Sum},
        sweep::Step,
    },
};
use crate::{
    backends::{Backend, Doom, Snapshot},
    health::Suspects,
    journal::{Journal, Kind},
};

/// Between two steps of a round.
const STEP: Duration = Duration::from_millis(10);

/// Flow events that are logged in one go, while nothing else is asked of the kernel.
const EVENTS: usize = 4_096;

pub struct Flows {
    /// `None` only while a thread works with it.
    kernel: Option<Kernel>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    view: watch::Sender<View>,
    suspects: Suspects,
    journal: Journal,
    /// Their connections have been reset, or are being so.
    doomed: BTreeMap<SocketAddr, Doom>,
    is_resetting: bool,
    log: FlowLog,
    alarms: Alarms,
    turn: Turn,
    handover: Option<Arc<Handover>>,
}

/// Who holds it works with the packet path; whoever keeps it has the others wait.
pub type Turn = Arc<Mutex<()>>;

impl Flows {
    pub fn new(
        kernel: Kernel,
        log: Events,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        suspects: Suspects,
        journal: Journal,
        handover: Option<Arc<Handover>>,
    ) -> Self {
        let log = FlowLog::new(log, kernel.locals(), handover.clone());
        let entries = kernel.entries().unwrap_or_else(|error| {
            journal
                .warn(Kind::Datapath, format!("cannot count what is in the flow table: {error}"));
            0
        });
        let view = View { entries, capacity: kernel.capacity(), ..View::default() };
        Self {
            kernel: Some(kernel),
            snapshots,
            view: watch::Sender::new(view),
            suspects,
            journal,
            doomed: BTreeMap::new(),
            is_resetting: false,
            log,
            alarms: Alarms::default(),
            turn: Turn::default(),
            handover,
        }
    }

    pub fn turn(&self) -> Turn {
        self.turn.clone()
    }

    pub fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Ends when nobody publishes snapshots any more; what is in force stays so.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut clocks = Clocks::new();
        while let Some(due) = self.next(&mut clocks).await {
            let _turn = self.turn.clone().lock_owned().await;
            self.work(due, &mut clocks).await?;
        }
        Ok(())
    }

    async fn next(&mut self, clocks: &mut Clocks) -> Option<Due> {
        Some(tokio::select! {
            changed = self.snapshots.changed() => {
                changed.ok()?;
                Due::Publish
            }
            _ = clocks.collect.tick() => Due::Collect,
            _ = clocks.pace.tick(), if self.is_resetting => Due::Reset,
            _ = clocks.listen.tick(), if !self.log.is_off() => Due::Listen,
            _ = clocks.account.tick(), if self.handover.is_some() => Due::Account,
            _ = clocks.sweep.tick() => Due::Sweep,
        })
    }

    async fn work(&mut self, due: Due, clocks: &mut Clocks) -> anyhow::Result<()> {
        match due {
            Due::Publish => self.publish().await,
            Due::Collect => {
                self.publish().await?;
                self.collect().await
            }
            Due::Reset => self.reset().await,
            Due::Listen => {
                if self.log_events().await? == EVENTS {
                    clocks.listen.reset_immediately();
                }
                Ok(())
            }
            Due::Account => self.account().await,
            Due::Sweep => {
                let pause = self.sweep().await?;
                clocks.sweep.reset_after(pause);
                Ok(())
            }
        }
    }

    async fn publish(&mut self) -> anyhow::Result<()> {
        let snapshot = self.snapshots.borrow_and_update().clone();
        let doomed = snapshot.doomed.clone();
        if self.is_news(&snapshot) {
            self.put_in_force(snapshot).await?;
        }
        self.bury(doomed).await
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

    /// Connections of a doomed backend are reset once, however long it stays doomed.
    async fn bury(&mut self, doomed: BTreeMap<SocketAddr, Doom>) -> anyhow::Result<()> {
        let is_new =
            |(address, doom): &(&SocketAddr, &Doom)| self.doomed.get(address) != Some(doom);
        let new: Doomed =
            doomed.iter().filter(is_new).map(|(address, doom)| (*address, change(*doom))).collect();
        self.doomed = doomed;
        if !new.is_empty() {
            let result = self.ask(move |kernel| kernel.bury(new)).await?;
            self.learn("cannot reset the connections of a backend", result, |_, ()| {});
            self.is_resetting = true;
        }
        Ok(())
    }

    async fn reset(&mut self) -> anyhow::Result<()> {
        let log = self.log.clone();
        let result = self
            .ask(move |kernel| {
                let (resets, ended) = kernel.reset()?;
                log.write(&ended)?;
                Ok((resets, ended))
            })
            .await?;
        self.is_resetting = result.as_ref().is_ok_and(|(resets, _)| !resets.is_over);
        if let Ok((Resets { sum, is_over: true }, _)) = &result
            && sum.connections > 0
        {
            self.tell(sum);
        }
        self.learn("cannot reset the connections of a backend", result, |view, (_, ended)| {
            view.count_resets(&ended);
        });
        Ok(())
    }

    fn tell(&self, sum: &Sum) {
        let Sum { connections, sent, error } = sum;
        let ended = format!(
            "{connections} connections of backends that are down or have drained ended, \
             {sent} RSTs sent"
        );
        match error {
            None => self.journal.note(Kind::Datapath, ended),
            Some(error) => self.journal.warn(Kind::Datapath, format!("{ended}; not to {error}")),
        }
    }

    /// One step; returns how long to rest before the next.
    async fn sweep(&mut self) -> anyhow::Result<Duration> {
        let log = self.log.clone();
        let result = self
            .ask(move |kernel| {
                let step = kernel.sweep()?;
                log.write(&step.ended)?;
                Ok(step)
            })
            .await?;
        if let Ok(step) = &result {
            self.hear(step);
        }
        let is_amid_a_round = result.as_ref().is_ok_and(|step| step.left.is_none());
        self.learn("cannot sweep the flow table", result, |view, step| {
            view.entries = step.left.unwrap_or(view.entries);
            view.swept += step.deleted;
            view.count_resets(&step.ended);
        });
        Ok(if is_amid_a_round { STEP } else { SWEEP })
    }

    fn hear(&self, step: &Step) {
        if let Some(error) = &step.unsent {
            tracing::warn!("an old connection's end has not been told of it: {error}");
        }
        step.mute.iter().for_each(|backend| self.suspects.name(*backend));
    }

    async fn collect(&mut self) -> anyhow::Result<()> {
        let ids: Vec<_> = self.snapshots.borrow().backends.iter().map(|known| known.id).collect();
        let result = self.ask(move |kernel| Counted::read(kernel, &ids)).await?;
        if let Ok(counted) = &result {
            let alarms = self.alarms.look(counted, Instant::now());
            alarms.into_iter().for_each(|alarm| self.journal.warn(Kind::Datapath, alarm));
        }
        self.learn("cannot read the counters", result, |view, counted| view.counted = counted);
        Ok(())
    }

    async fn account(&mut self) -> anyhow::Result<()> {
        let Some(handover) = self.handover.clone() else { return Ok(()) };
        self.ask(move |kernel| handover.kept.look(kernel.records())).await
    }

    /// How many there were.
    async fn log_events(&mut self) -> anyhow::Result<usize> {
        let log = self.log.clone();
        let result = self
            .ask(move |kernel| {
                let events = kernel.events(EVENTS);
                log.write(&events)?;
                Ok(events.len())
            })
            .await?;
        let count = *result.as_ref().unwrap_or(&0);
        self.learn("cannot log flows", result, |_, _| {});
        Ok(count)
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

const fn change(doom: Doom) -> Change {
    match doom {
        Doom::Down => Change::BackendDown,
        Doom::Drained => Change::Drained,
    }
}

fn targets(snapshot: &Snapshot) -> Vec<Target> {
    let target = |backend: &Backend| Target { id: backend.id.0, address: backend.address };
    snapshot.choices().map(target).collect()
}
