//! Connections spread over threads, each with a small runtime of its own.

use std::{
    thread,
    thread::{ScopedJoinHandle, available_parallelism},
};

use anyhow::{Context as _, anyhow};
use tokio::runtime::Builder;

/// Runs `work` on each thread with the numbers of its connections, `0..connections` in all.
pub(crate) fn spread<T: Send, F: Future<Output = T>>(
    connections: usize,
    work: impl Fn(Vec<usize>) -> F + Sync,
) -> anyhow::Result<Vec<T>> {
    let threads = processors().min(connections);
    let work = &work;
    thread::scope(|scope| {
        let parts = (0..threads).map(|first| (first..connections).step_by(threads).collect());
        let handles: Vec<_> = parts.map(|part| scope.spawn(move || run(work(part)))).collect();
        let joined = handles.into_iter().map(ScopedJoinHandle::join);
        joined.map(|done| done.unwrap_or_else(|_| Err(anyhow!("a thread panicked")))).collect()
    })
}

pub(crate) fn processors() -> usize {
    available_parallelism().map_or(1, usize::from)
}

pub(crate) fn run<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("starting a runtime")?.block_on(work))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_is_on_one_thread() {
        let parts = spread(7, |part| async move { part }).expect("threads");
        let mut all: Vec<_> = parts.into_iter().flatten().collect();
        all.sort_unstable();
        assert_eq!(all, (0..7).collect::<Vec<_>>());
    }
}
