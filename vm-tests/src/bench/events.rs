//! What happens to clients while ENIs come and go.

use std::{
    cell::RefCell,
    path::Path,
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::{
    cluster::Cluster, contender::Contender, figure::What, report::Run, workload::Workload,
};
use crate::{client::Client, eni::Eni, load::Mix, rotation};

/// Of clients, for one request on a connection of its own; whatever takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// For a contender to carry the first, and a new ENI to be in use.
const READY: Duration = Duration::from_secs(15);
/// How often clients ask.
const PAUSE: Duration = Duration::from_millis(10);
/// Load before a rotation, and after it.
const AROUND: Duration = Duration::from_millis(500);
const CLIENTS: usize = 8;
/// Without a failed connection: no other will follow.
const QUIET: Duration = Duration::from_secs(4);
/// Those who have not noticed by then may never.
pub(crate) const WATCHED: Duration = Duration::from_secs(15);

pub(crate) async fn run(contender: Contender, agent: &Path) -> anyhow::Result<Run> {
    let mut run = Run::default();
    let obstacle = |event: Workload| contender.obstacle(event);
    if obstacle(Workload::DeadEni).is_some() {
        return Ok(run);
    }
    let mut cluster = Cluster::build(contender, agent).await?;
    until_it_carries(&cluster.client).await?;
    if obstacle(Workload::Rotation).is_none() {
        rotate(&mut cluster, &mut run).await.context("a rotation")?;
    }
    kill_one(&mut cluster, &mut run).await.context("a dead ENI")?;
    Ok(run)
}

async fn until_it_carries(client: &Client) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY;
    loop {
        match timeout(PATIENCE, client.get("/readyz")).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) if Instant::now() > deadline => {
                return Err(error).context(format!("carries nothing after {READY:?}"));
            }
            Err(_) if Instant::now() > deadline => bail!("carries nothing after {READY:?}"),
            _ => sleep(PAUSE).await,
        }
    }
}

/// All ENIs are replaced while clients ask.
async fn rotate(cluster: &mut Cluster, run: &mut Run) -> anyhow::Result<()> {
    let load = cluster.client.load(Mix::default())?;
    sleep(AROUND).await;
    let drained = replace_all(cluster, run).await?;
    sleep(AROUND).await;
    let counts = load.stop().await?;
    run.add(Workload::Rotation, What::Failed, counts.failures as f64);
    let errors = counts.last_errors.into_iter().chain(drained.err().map(|e| format!("{e:#}")));
    for error in errors {
        run.failures.add(format!("{}: {error}", Workload::Rotation));
    }
    Ok(())
}

/// Did the old ones go without breaking anything off?
async fn replace_all(cluster: &mut Cluster, run: &mut Run) -> anyhow::Result<anyhow::Result<()>> {
    let plane = &mut cluster.plane;
    let fresh = rotation::create(plane, plane.enis.len()).await?;
    let leaving = rotation::change_answer(plane, fresh);
    let changed = Instant::now();
    let mut grace = pin!(sleep(rotation::grace(plane.zone.ttl())));
    if let Some(first) = first_on(&cluster.client, &plane.enis, changed + READY).await {
        let since = |earlier| first.saturating_duration_since(earlier).as_secs_f64();
        run.add(Workload::Rotation, What::FirstNew, since(changed));
        if let Some(told) = plane.zone.told() {
            run.add(Workload::Rotation, What::FirstNewTold, since(told));
        }
    }
    grace.as_mut().await;
    Ok(rotation::drain(plane, leaving).await)
}

/// When a connection first came to one of these.
async fn first_on(client: &Client, enis: &[Eni], deadline: Instant) -> Option<Instant> {
    let new: Vec<_> = enis.iter().map(|eni| eni.address().ip().to_string()).collect();
    while Instant::now() < deadline {
        // Those that fail are counted by the load beside.
        if let Ok(Ok(reply)) = timeout(PATIENCE, client.get("/readyz")).await
            && new.contains(&reply.eni)
        {
            return Some(Instant::now());
        }
    }
    None
}

/// An ENI falls silent, without a word.
async fn kill_one(cluster: &mut Cluster, run: &mut Run) -> anyhow::Result<()> {
    let dead = cluster.plane.enis.first().context("no ENI is left")?;
    dead.link_down().await?;
    let seen = RefCell::new(Seen::new(Instant::now()));
    join_all((0..CLIENTS).map(|_| ask_until_quiet(&cluster.client, &seen))).await;
    let seen = seen.into_inner();
    run.add(Workload::DeadEni, What::LastFailed, seen.last_failed.as_secs_f64());
    run.add(Workload::DeadEni, What::Failed, f64::from(seen.failed));
    run.add(Workload::DeadEni, What::Slowest, seen.slowest.as_secs_f64());
    Ok(())
}

/// Of all clients, since the ENI died.
struct Seen {
    died: Instant,
    /// When the last connection was begun that failed.
    last_failed: Duration,
    failed: u32,
    /// Of those that did not fail.
    slowest: Duration,
}

impl Seen {
    fn new(died: Instant) -> Self {
        Self { died, last_failed: Duration::ZERO, failed: 0, slowest: Duration::ZERO }
    }

    fn note(&mut self, began: Instant, ended: Instant, succeeded: bool) {
        if succeeded {
            self.slowest = self.slowest.max(ended - began);
        } else {
            self.failed += 1;
            self.last_failed = self.last_failed.max(began - self.died);
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        let passed = now - self.died;
        passed >= WATCHED || passed >= self.last_failed + PATIENCE + QUIET
    }
}

async fn ask_until_quiet(client: &Client, seen: &RefCell<Seen>) {
    while !seen.borrow().is_over(Instant::now()) {
        let began = Instant::now();
        let answer = timeout(PATIENCE, client.get("/readyz")).await;
        let succeeded = matches!(answer, Ok(Ok(_)));
        seen.borrow_mut().note(began, Instant::now(), succeeded);
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_failure_counts_from_when_its_connection_was_begun() {
        let died = Instant::now();
        let mut seen = Seen::new(died);
        seen.note(died + SECOND, died + 3 * SECOND, false);
        seen.note(died, died + SECOND, true);
        assert_eq!((seen.last_failed, seen.failed, seen.slowest), (SECOND, 1, SECOND));
    }

    #[test]
    fn it_is_over_after_a_while_without_a_failure_or_when_it_goes_on_for_too_long() {
        let died = Instant::now();
        let mut seen = Seen::new(died);
        assert!(!seen.is_over(died + 5 * SECOND) && seen.is_over(died + 6 * SECOND));
        seen.note(died + 14 * SECOND, died + 15 * SECOND, false);
        assert!(!seen.is_over(died + 14 * SECOND) && seen.is_over(died + WATCHED));
    }
}
