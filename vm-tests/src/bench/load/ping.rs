//! A message and its echo, again and again on connections that stay.

use std::{cell::RefCell, net::SocketAddr, time::Instant};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    Ask, Outcome, Window,
    outcome::Part,
    stream::{Failure, PATIENCE, in_time, open},
    threads::spread,
};

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// Bytes of a message
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    size: u32,
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    connections: usize,
    #[command(flatten)]
    window: Window,
}

/// Within which round trips count.
#[derive(Clone, Copy)]
struct Span {
    from: Instant,
    until: Instant,
}

pub(crate) fn run(to: &[SocketAddr], args: Args) -> anyhow::Result<Outcome> {
    let from = Instant::now() + args.window.warm_up.get();
    let span = Span { from, until: from + args.window.length.get() };
    let parts = spread(args.connections, |numbers| {
        let targets: Vec<_> = numbers.iter().map(|number| to[number % to.len()]).collect();
        async move { on_one_thread(&targets, args.size, span).await }
    })?;
    Ok(Outcome::of_parts(args.window.length.get(), &parts))
}

async fn on_one_thread(targets: &[SocketAddr], size: u32, span: Span) -> Part {
    let part = RefCell::new(Part::default());
    let record = |began: Instant| part.borrow_mut().record(began, span);
    let connections = targets.iter().map(|target| connection(*target, size, span, &record));
    let ended = join_all(connections).await;
    let mut part = part.into_inner();
    for failure in ended.into_iter().filter_map(Result::err) {
        failure.count(&mut part.failures);
    }
    part
}

impl Part {
    fn record(&mut self, began: Instant, span: Span) {
        self.total += 1;
        if began >= span.from {
            self.done += 1;
            self.times.record(began.elapsed());
        }
    }
}

async fn connection(
    to: SocketAddr,
    size: u32,
    span: Span,
    record: &impl Fn(Instant),
) -> Result<(), Failure> {
    let mut message = vec![0; size.try_into().unwrap_or_default()];
    let mut stream = open(to, Ask::Echo { size }, &[]).await?;
    // One deadline for all: a timer for each round trip would cost more than some of them.
    let left = span.until.saturating_duration_since(Instant::now());
    let all = async {
        loop {
            let began = Instant::now();
            if began >= span.until {
                return Ok(());
            }
            round_trip(&mut stream, &mut message).await?;
            record(began);
        }
    };
    let done = timeout(left + PATIENCE, all).await;
    done.unwrap_or_else(|late| Err(Failure::new("echo", late.into())))
}

async fn round_trip(stream: &mut TcpStream, message: &mut [u8]) -> Result<(), Failure> {
    let both = async {
        stream.write_all(message).await?;
        stream.read_exact(message).await
    };
    both.await.map(drop).map_err(|error| Failure::new("echo", error))
}

/// One message and its echo on a connection of its own.
pub(crate) async fn once(to: SocketAddr, message: &mut [u8]) -> Result<TcpStream, Failure> {
    let mut stream = open(to, Ask::echo(message), message).await?;
    in_time("echo", stream.read_exact(message)).await?;
    Ok(stream)
}
