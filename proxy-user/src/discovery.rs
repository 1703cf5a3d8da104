//! Keeps the endpoint's name resolved: asks again when the answer's time is over, or when somebody
//! could not connect. The last good answer stays until there is a better one, and outlives the
//! agent on disk.

mod answer;
mod keeper;
mod knowledge;
mod resolver;
mod saved;
mod schedule;
mod server;
mod sieve;
mod store;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, sleep_until},
};

pub use answer::{Answer, LookupError};
pub use keeper::Keeper;
pub use knowledge::{Knowledge, Origin, Source};
pub use resolver::{Resolved, Resolver};
use schedule::{Luck, Schedule};
pub use sieve::Sieve;
pub use store::{Store, examine};

use crate::{
    config::TtlRange,
    journal::{Journal, Kind},
};

/// Between two lookups, however often somebody asks for one.
const SHORTEST_GAP: Duration = Duration::from_secs(1);

/// Asks for a lookup soon; cheap, and safe to call for every connection that fails.
#[derive(Clone, Debug, Default)]
pub struct Refresh(Arc<Notify>);

pub struct Discovery {
    resolver: Resolver,
    schedule: Schedule,
    refresh: Refresh,
    keeper: Keeper,
    knowledge: watch::Sender<Knowledge>,
    journal: Journal,
}

impl Refresh {
    pub fn request(&self) {
        self.0.notify_one();
    }
}

impl Discovery {
    pub fn new(
        resolver: Resolver,
        ttl: TtlRange,
        refresh: Refresh,
        keeper: Keeper,
        journal: Journal,
    ) -> Self {
        let knowledge = watch::Sender::default();
        Self { resolver, schedule: Schedule::new(ttl), refresh, keeper, knowledge, journal }
    }

    pub fn knowledge(&self) -> watch::Receiver<Knowledge> {
        self.knowledge.subscribe()
    }

    pub async fn run(mut self) {
        self.recall();
        loop {
            let asked_at = tokio::time::Instant::now();
            let delay = self.look_up().await;
            tokio::select! {
                () = sleep(delay) => {}
                () = self.refresh.0.notified() => sleep_until(asked_at + SHORTEST_GAP).await,
            }
        }
    }

    /// What an earlier agent knew serves while DNS is asked; only what passes its probes goes live.
    fn recall(&self) {
        let Some(saved) = self.keeper.recall(self.resolver.sieve()) else { return };
        let age = SignedDuration::try_from(saved.age(Timestamp::now())).unwrap_or_default();
        let addresses = addresses(saved.addresses.iter());
        let message = format!("saved answer from {age:#} ago: {addresses}; asking the resolver");
        self.journal.note(Kind::Dns, message);
        self.knowledge.send_modify(|knowledge| knowledge.recall(saved));
    }

    async fn look_up(&mut self) -> Duration {
        let last = self.knowledge.borrow().answer.clone();
        let resolved = self.resolver.resolve(last.as_ref()).await;
        self.report(&resolved);
        let luck = Luck::new(fastrand::f64());
        let delay = match &resolved.result {
            Ok(answer) => self.schedule.after_answer(answer.ttl, luck),
            Err(_) => self.schedule.after_failure(luck),
        };
        let answer = resolved.result.clone();
        self.knowledge.send_modify(|knowledge| {
            knowledge.next_at = Some(Instant::now() + delay);
            knowledge.learn(resolved, Timestamp::now());
        });
        if let Ok(answer) = answer {
            self.keeper.keep(&answer).await;
        }
        delay
    }

    /// Changes only: an outage is one event when it begins and one when it ends.
    fn report(&self, resolved: &Resolved) {
        let before = self.knowledge.borrow();
        let last = before.answer.as_ref().map(|last| &last.addresses);
        match &resolved.result {
            Ok(answer) if last != Some(&answer.addresses) || before.is_saved() => {
                self.journal.note(Kind::Dns, describe(answer));
            }
            Ok(_) if before.error.is_some() => {
                self.journal.note(Kind::Dns, "the resolver answers again, as before");
            }
            Err(error) if before.error.as_ref() != Some(error) => {
                let stays = if last.is_some() { "; the last good answer stays" } else { "" };
                self.journal.warn(Kind::Dns, format!("no answer: {error}{stays}"));
            }
            _ => {}
        }
        if let Some(doubt) = resolved.doubt().filter(|doubt| before.doubt.as_ref() != Some(doubt)) {
            self.journal.warn(Kind::Dns, doubt);
        }
    }
}

fn describe(answer: &Answer) -> String {
    format!("answer: {}, TTL {} s", addresses(answer.addresses.iter()), answer.ttl.as_secs())
}

fn addresses<'a>(addresses: impl Iterator<Item = &'a IpAddr>) -> String {
    addresses.map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
