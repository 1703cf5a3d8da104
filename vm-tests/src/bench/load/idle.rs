//! Connections that stay and say nothing.

use std::{io, net::SocketAddr, time::Instant};

use futures_util::{StreamExt as _, stream};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    runtime::{Builder, Runtime},
};

use super::{
    Ask, Outcome,
    outcome::Failures,
    stream::{Failure, in_time, open as connect},
};

/// At a time, while they are opened: no accept queue is shorter.
const OPENING: usize = 64;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    connections: usize,
}

/// Open for as long as this lives.
pub(crate) struct Held {
    streams: Vec<TcpStream>,
    opened: Instant,
    /// The streams are of its making.
    runtime: Runtime,
}

pub(crate) fn open(to: &[SocketAddr], args: Args) -> anyhow::Result<(Outcome, Held)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    let targets = to.iter().copied().cycle().take(args.connections);
    let (streams, failures) = runtime.block_on(open_all(targets));
    let opened = streams.len().try_into()?;
    let outcome = Outcome::new(began.elapsed(), opened, failures);
    Ok((outcome, Held { streams, opened: Instant::now(), runtime }))
}

async fn open_all(targets: impl Iterator<Item = SocketAddr>) -> (Vec<TcpStream>, Failures) {
    let mut opening = stream::iter(targets).map(open_one).buffer_unordered(OPENING);
    let (mut streams, mut failures) = (Vec::new(), Failures::default());
    while let Some(opened) = opening.next().await {
        match opened {
            Ok(stream) => streams.push(stream),
            Err(failure) => failure.count(&mut failures),
        }
    }
    (streams, failures)
}

/// Through to the server: it has answered.
async fn open_one(to: SocketAddr) -> Result<TcpStream, Failure> {
    let mut stream = connect(to, Ask::Hold, &[]).await?;
    in_time("answer", stream.read_exact(&mut [0])).await?;
    Ok(stream)
}

impl Held {
    /// How many are open still, and what became of the others.
    pub(crate) fn check(self) -> Outcome {
        let mut failures = Failures::default();
        let mut open = 0;
        // The runtime looks at what has happened to them only when it runs.
        self.runtime.block_on(tokio::task::yield_now());
        for stream in &self.streams {
            match state(stream) {
                Ok(()) => open += 1,
                Err(error) => Failure::new("hold", error).count(&mut failures),
            }
        }
        Outcome::new(self.opened.elapsed(), open, failures)
    }
}

fn state(stream: &TcpStream) -> io::Result<()> {
    match stream.try_read(&mut [0]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Err(super::stream::invalid("bytes that nobody asked for".into())),
        Err(error) => Err(error),
    }
}
