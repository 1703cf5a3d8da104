//! Load and rotations go on, and whoever looks is shown how, until there is enough of it.

use std::{ops::ControlFlow, pin::pin, time::Duration};

use jiff::Timestamp;
use proxy_user::status::Status;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, interval, sleep, sleep_until},
};

use super::{Stop, model::Model};
use crate::{
    admin::Admin,
    lab::Lab,
    load::{Load, Mix},
    rotation::{RotationReport, Step},
};

const FRAME: Duration = Duration::from_millis(200);
/// Load before the only rotation and after it, so that both sets of ENIs carry some.
const AROUND: Duration = Duration::from_secs(3);

pub(crate) trait View {
    /// Shows the model; breaks when the one who looks has seen enough.
    fn show(&mut self, model: &Model) -> anyhow::Result<ControlFlow<()>>;
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    first: Duration,
    every: Duration,
    once: bool,
}

struct Rotated {
    report: Result<RotationReport, String>,
    /// `None`: it was the last.
    next_in: Option<Duration>,
}

/// Where news come in.
struct News {
    statuses: mpsc::Receiver<Result<Status, String>>,
    rotations: mpsc::UnboundedReceiver<Rotated>,
    step: watch::Receiver<Step>,
}

impl Schedule {
    pub(crate) fn new(every: Duration, once: bool) -> Self {
        Self { first: if once { AROUND } else { every }, every, once }
    }
}

/// The model as it was at the end, with the load's last word.
pub(crate) async fn run(
    lab: &mut Lab,
    schedule: Schedule,
    view: &mut dyn View,
    stop: &mut Stop,
) -> anyhow::Result<Model> {
    let now = Timestamp::now();
    let mut model = Model::new(now, schedule.every, now + schedule.first);
    let load = lab.load(Mix::default())?;
    let admin = lab.admin();
    let (to_statuses, statuses) = mpsc::channel(1);
    let (to_rotations, rotations) = mpsc::unbounded_channel();
    let news = News { statuses, rotations, step: lab.step() };
    // Dropped after the load: the ENIs of a rotation under way must not vanish under requests.
    let mut rotate = pin!(rotate(lab, schedule, &to_rotations));
    tokio::select! {
        () = &mut rotate => {}
        () = poll(&admin, &to_statuses) => {}
        seen = news.show(&load, &mut model, view) => seen?,
        () = stop.requested() => {}
    }
    model.counted(Timestamp::now(), load.stop().await?);
    Ok(model)
}

async fn rotate(lab: &mut Lab, schedule: Schedule, rotations: &mpsc::UnboundedSender<Rotated>) {
    let mut next = Instant::now() + schedule.first;
    loop {
        sleep_until(next).await;
        let report = lab.rotate().await.map_err(|error| format!("{error:#}"));
        let now = Instant::now();
        next = now.max(next + schedule.every);
        let next_in = (!schedule.once).then(|| next - now);
        if rotations.send(Rotated { report, next_in }).is_err() {
            return;
        }
        if schedule.once {
            return sleep(AROUND).await;
        }
    }
}

async fn poll(admin: &Admin, statuses: &mpsc::Sender<Result<Status, String>>) {
    loop {
        let status = admin.status().await.map_err(|error| format!("{error:#}"));
        if statuses.send(status).await.is_err() {
            return;
        }
        sleep(FRAME).await;
    }
}

impl News {
    async fn show(
        mut self,
        load: &Load,
        model: &mut Model,
        view: &mut dyn View,
    ) -> anyhow::Result<()> {
        let mut frames = interval(FRAME);
        loop {
            tokio::select! {
                Some(status) = self.statuses.recv() => model.reported(status),
                Some(Rotated { report, next_in }) = self.rotations.recv() => {
                    let now = Timestamp::now();
                    model.rotated(now, report, next_in.map(|next_in| now + next_in));
                }
                Ok(()) = self.step.changed() => {
                    model.stepped(Timestamp::now(), *self.step.borrow_and_update());
                }
                _ = frames.tick() => {
                    model.counted(Timestamp::now(), load.counts());
                    if view.show(model)?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
    }
}
