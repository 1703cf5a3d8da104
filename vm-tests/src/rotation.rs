//! One whole rotation, as EKS does it on a version update: every ENI is replaced.

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use proxy_user::{
    backends::ABSENT_ANSWERS,
    status::{BackendState, Status},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    admin::Admin,
    control_plane::ControlPlane,
    eni::{Eni, Subnet},
};

/// Old ENIs outlive the answers that the agent waits for before they count as gone, and this.
const AFTER_ANSWERS: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(25);

/// What a rotation is doing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Idle,
    Creating,
    /// The answer has changed; old ENIs still serve.
    Moving,
    /// Old ENIs say GOAWAY and let requests end.
    Draining,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationReport {
    pub old: Vec<SocketAddr>,
    pub new: Vec<SocketAddr>,
    pub created: Duration,
    /// From the changed answer until all of the agent's live backends were new ones; `None` where
    /// the agent had not got so far when the old ENIs went.
    pub moved: Option<Duration>,
    pub drained: Duration,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Creating => "creating new ENIs",
            Self::Moving => "answer changed, old ENIs still serve",
            Self::Draining => "old ENIs drain and go",
        })
    }
}

/// How long old ENIs go on serving after the answer has changed.
pub(crate) fn grace(ttl: Duration) -> Duration {
    ABSENT_ANSWERS * ttl + AFTER_ANSWERS
}

pub(crate) async fn rotate(
    plane: &mut ControlPlane,
    admin: &Admin,
    step: &watch::Sender<Step>,
) -> anyhow::Result<RotationReport> {
    let report = replace_all(plane, admin, step).await;
    step.send_replace(Step::Idle);
    report
}

async fn replace_all(
    plane: &mut ControlPlane,
    admin: &Admin,
    step: &watch::Sender<Step>,
) -> anyhow::Result<RotationReport> {
    let old = plane.addresses();
    step.send_replace(Step::Creating);
    let started = Instant::now();
    let fresh = create(plane, plane.enis.len()).await?;
    let created = started.elapsed();

    step.send_replace(Step::Moving);
    let leaving = change_answer(plane, fresh);
    let new = plane.addresses();
    let moved = agent_moves(admin, &new, grace(plane.zone.ttl())).await;

    step.send_replace(Step::Draining);
    let started = Instant::now();
    drain(plane, leaving).await?;
    Ok(RotationReport { old, new, created, moved, drained: started.elapsed() })
}

/// To these alone; returns those that were there before, which serve on.
pub(crate) fn change_answer(plane: &mut ControlPlane, fresh: Vec<Eni>) -> Vec<Eni> {
    let leaving = std::mem::replace(&mut plane.enis, fresh);
    plane.publish();
    leaving
}

/// Not in the order of the subnets before.
pub(crate) async fn create(plane: &mut ControlPlane, count: usize) -> anyhow::Result<Vec<Eni>> {
    let mut subnets = Subnet::ALL;
    fastrand::shuffle(&mut subnets);
    let mut enis = Vec::new();
    for subnet in subnets.into_iter().cycle().take(count) {
        enis.push(plane.create(subnet).await?);
    }
    Ok(enis)
}

/// Uses up the whole grace, whatever the agent does: EKS does not ask it either.
async fn agent_moves(admin: &Admin, new: &[SocketAddr], grace: Duration) -> Option<Duration> {
    let started = Instant::now();
    let wanted = new.iter().copied().collect();
    let moved = timeout(grace, async {
        while !admin.status().await.is_ok_and(|status| live(&status) == wanted) {
            sleep(POLL).await;
        }
        started.elapsed()
    });
    let moved = moved.await.ok();
    sleep(grace.saturating_sub(started.elapsed())).await;
    moved
}

fn live(status: &Status) -> BTreeSet<SocketAddr> {
    let live = status.backends().filter(|backend| backend.state == BackendState::Live);
    live.map(|backend| backend.address).collect()
}

pub(crate) async fn drain(plane: &ControlPlane, leaving: Vec<Eni>) -> anyhow::Result<()> {
    leaving.iter().for_each(Eni::say_goodbye);
    for eni in leaving {
        eni.retire(&plane.network).await?;
    }
    Ok(())
}
