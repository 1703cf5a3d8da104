//! The parts of the agent that run, and how it is noticed that one does not.

use std::{future::Future, time::Duration};

use anyhow::anyhow;
use tokio::task::{JoinError, JoinSet};

use crate::datapath::listener::Leftover;

/// What runs beside each other.
pub struct Parts {
    /// One for each address that is listened on.
    pub listening: JoinSet<Leftover>,
    /// None of them ends by itself.
    pub tasks: JoinSet<anyhow::Result<()>>,
}

impl Parts {
    /// When one of those ends that should not.
    pub async fn break_down(&mut self) -> anyhow::Error {
        tokio::select! {
            ended = self.tasks.join_next() => broken(ended),
            ended = self.listening.join_next() => {
                broken(ended.map(|joined| joined.map(|_| Ok(()))))
            }
        }
    }

    pub async fn unless_broken<T>(&mut self, work: impl Future<Output = T>) -> anyhow::Result<T> {
        tokio::select! {
            done = work => Ok(done),
            broken = self.break_down() => Err(broken),
        }
    }

    /// Waits for open connections, at most so long; returns how many were reset then.
    pub async fn drain(&mut self, patience: Duration) -> anyhow::Result<usize> {
        let mut draining = JoinSet::new();
        while let Some(leftover) = self.listening.join_next().await {
            draining.spawn(leftover?.drain(patience));
        }
        let mut cut = 0;
        while let Some(ended) = draining.join_next().await {
            cut += ended?;
        }
        Ok(cut)
    }
}

fn broken(ended: Option<Result<anyhow::Result<()>, JoinError>>) -> anyhow::Error {
    match ended {
        Some(Ok(Err(error))) => error,
        Some(Err(panic)) => anyhow!("a part of the agent broke: {panic}"),
        Some(Ok(Ok(()))) | None => anyhow!("a part of the agent ended by itself"),
    }
}
