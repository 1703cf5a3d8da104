//! A connection for each message and its echo; the client closes.

use std::{
    cell::RefCell,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use futures_util::future::join_all;
use proxy_user::config::Period;

use super::{Outcome, outcome::Part, ping::once, threads::spread};

const MESSAGE: usize = 64;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// At a time
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    connections: usize,
    /// As many in all as there are ports that do not rest yet
    #[arg(long, value_name = "COUNT", default_value_t = 20_000)]
    at_most: u64,
    #[arg(long = "for", value_name = "DURATION", default_value = "3s")]
    length: Period,
}

/// How much there is to do.
struct Budget {
    taken: AtomicU64,
    at_most: u64,
    until: Instant,
}

pub(crate) fn run(to: &[SocketAddr], args: Args) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let until = began + args.length.get();
    let budget = &Budget { taken: AtomicU64::new(0), at_most: args.at_most, until };
    let parts = spread(args.connections, |workers| on_one_thread(to, budget, workers.len()))?;
    Ok(Outcome::of_parts(began.elapsed(), &parts))
}

async fn on_one_thread(to: &[SocketAddr], budget: &Budget, workers: usize) -> Part {
    let part = RefCell::new(Part::default());
    join_all((0..workers).map(|_| worker(to, budget, &part))).await;
    part.into_inner()
}

async fn worker(to: &[SocketAddr], budget: &Budget, part: &RefCell<Part>) {
    let mut message = [0; MESSAGE];
    while let Some(number) = budget.take() {
        let began = Instant::now();
        let done = once(to[number % to.len()], &mut message).await;
        let mut part = part.borrow_mut();
        match done {
            Ok(stream) => {
                drop(stream);
                part.times.record(began.elapsed());
            }
            Err(failure) => failure.count(&mut part.failures),
        }
    }
}

impl Budget {
    /// The number of the next connection, if there is to be one.
    fn take(&self) -> Option<usize> {
        let number = self.taken.fetch_add(1, Relaxed);
        let more = number < self.at_most && Instant::now() < self.until;
        more.then(|| usize::try_from(number).unwrap_or_default())
    }
}
