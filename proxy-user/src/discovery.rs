//! Keeps the endpoint's name resolved: asks again when the answer's time is over, or when somebody
//! could not connect. The last good answer stays until there is a better one.

mod answer;
mod resolver;
mod schedule;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    time::{sleep, sleep_until},
};

pub use answer::{Answer, LookupError};
pub use resolver::Resolver;
use schedule::{Luck, Schedule};

use crate::{
    config::TtlRange,
    journal::{Journal, Kind},
};

/// Between two lookups, however often somebody asks for one.
const SHORTEST_GAP: Duration = Duration::from_secs(1);

/// What is known by now.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    pub answer: Option<Answer>,
    pub next_at: Option<Instant>,
    pub answers: u64,
    pub failures: u64,
    /// Of the newest lookup; `None` if it went well.
    pub error: Option<LookupError>,
}

/// Asks for a lookup soon; cheap, and safe to call for every connection that fails.
#[derive(Clone, Debug, Default)]
pub struct Refresh(Arc<Notify>);

pub struct Discovery {
    resolver: Resolver,
    schedule: Schedule,
    refresh: Refresh,
    knowledge: watch::Sender<Knowledge>,
    journal: Journal,
}

impl Refresh {
    pub fn request(&self) {
        self.0.notify_one();
    }
}

impl Discovery {
    pub fn new(resolver: Resolver, ttl: TtlRange, refresh: Refresh, journal: Journal) -> Self {
        let knowledge = watch::Sender::default();
        Self { resolver, schedule: Schedule::new(ttl), refresh, knowledge, journal }
    }

    pub fn knowledge(&self) -> watch::Receiver<Knowledge> {
        self.knowledge.subscribe()
    }

    pub async fn run(mut self) {
        loop {
            let asked_at = tokio::time::Instant::now();
            let delay = self.look_up().await;
            tokio::select! {
                () = sleep(delay) => {}
                () = self.refresh.0.notified() => sleep_until(asked_at + SHORTEST_GAP).await,
            }
        }
    }

    async fn look_up(&mut self) -> Duration {
        let last = self.knowledge.borrow().answer.clone();
        let result = self.resolver.resolve(last.as_ref()).await;
        self.report(last.as_ref(), &result);
        let luck = Luck::new(fastrand::f64());
        let delay = match &result {
            Ok(answer) => self.schedule.after_answer(answer.ttl, luck),
            Err(_) => self.schedule.after_failure(luck),
        };
        self.learn(result, Instant::now() + delay);
        delay
    }

    fn learn(&self, result: Result<Answer, LookupError>, next_at: Instant) {
        self.knowledge.send_modify(|knowledge| {
            knowledge.next_at = Some(next_at);
            match result {
                Ok(answer) => {
                    knowledge.answers += 1;
                    knowledge.error = None;
                    knowledge.answer = Some(answer);
                }
                Err(error) => {
                    knowledge.failures += 1;
                    knowledge.error = Some(error);
                }
            }
        });
    }

    /// Changes only: an outage is one event when it begins and one when it ends.
    fn report(&self, last: Option<&Answer>, result: &Result<Answer, LookupError>) {
        let error_before = self.knowledge.borrow().error.clone();
        match result {
            Ok(answer) if last.map(|last| &last.addresses) != Some(&answer.addresses) => {
                self.journal.note(Kind::Dns, describe(answer));
            }
            Ok(_) if error_before.is_some() => {
                self.journal.note(Kind::Dns, "the resolver answers again, as before");
            }
            Err(error) if error_before.as_ref() != Some(error) => {
                let stays = if last.is_some() { "; the last good answer stays" } else { "" };
                self.journal.warn(Kind::Dns, format!("no answer: {error}{stays}"));
            }
            _ => {}
        }
    }
}

fn describe(answer: &Answer) -> String {
    let addresses: Vec<_> = answer.addresses.iter().map(ToString::to_string).collect();
    format!("answer: {}, TTL {} s", addresses.join(" "), answer.ttl.as_secs())
}
