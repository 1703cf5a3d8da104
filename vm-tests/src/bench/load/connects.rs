//! A connection for each message and its echo; the client closes.

use std::{
    cell::RefCell,
    net::SocketAddr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use futures_util::future::join_all;
use proxy_user::config::Period;
use tokio_rustls::TlsConnector;

use super::{Outcome, outcome::Part, ping, stream::Failure, threads::spread, tls};

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
    /// A TLS handshake before the message
    #[arg(long)]
    tls: bool,
}

/// How much there is to do.
struct Budget {
    taken: AtomicU64,
    at_most: u64,
    until: Instant,
    /// From when on nothing new is begun: what comes after that counts for no rate, since it
    /// would wait for the slowest.
    ended: OnceLock<Instant>,
}

pub(crate) fn run(to: &[SocketAddr], args: Args) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let until = began + args.length.get();
    let taken = AtomicU64::new(0);
    let budget = &Budget { taken, at_most: args.at_most, until, ended: OnceLock::new() };
    let tls = args.tls.then(tls::connector).transpose()?;
    let tls = tls.as_ref();
    let parts = spread(args.connections, |workers| on_one_thread(to, tls, budget, workers.len()))?;
    let took = budget.ended.get().map_or(began.elapsed(), |ended| *ended - began);
    Ok(Outcome::of_parts(took, &parts))
}

async fn on_one_thread(
    to: &[SocketAddr],
    tls: Option<&TlsConnector>,
    budget: &Budget,
    workers: usize,
) -> Part {
    let part = RefCell::new(Part::default());
    join_all((0..workers).map(|_| worker(to, tls, budget, &part))).await;
    part.into_inner()
}

async fn worker(
    to: &[SocketAddr],
    tls: Option<&TlsConnector>,
    budget: &Budget,
    part: &RefCell<Part>,
) {
    while let Some(number) = budget.take() {
        let began = Instant::now();
        let done = once(to[number % to.len()], tls).await;
        let mut part = part.borrow_mut();
        match done {
            Ok(()) => {
                part.times.record(began.elapsed());
                part.total += 1;
                part.done += u64::from(budget.ended.get().is_none());
            }
            Err(failure) => failure.count(&mut part.failures),
        }
    }
}

async fn once(to: SocketAddr, tls: Option<&TlsConnector>) -> Result<(), Failure> {
    let mut message = [0; MESSAGE];
    match tls {
        Some(connector) => tls::once(to, connector, &mut message).await.map(drop),
        None => ping::once(to, &mut message).await.map(drop),
    }
}

impl Budget {
    /// The number of the next connection, if there is to be one.
    fn take(&self) -> Option<usize> {
        let number = self.taken.fetch_add(1, Relaxed);
        let now = Instant::now();
        if number < self.at_most && now < self.until {
            return Some(usize::try_from(number).unwrap_or_default());
        }
        self.ended.get_or_init(|| now);
        None
    }
}
