//! The server. What goes wrong with a connection is seen and counted by its client.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpListener,
    thread,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    Ask,
    ask::ASK,
    threads::{self, processors},
};

/// Of one read or write in bulk.
pub(crate) const CHUNK: usize = 256 * 1024;
/// Each thread watches as many connections as come its way.
const QUEUE: &str = "the server's accept queue";

/// Returns only if it can accept no more, and says why.
pub(crate) fn forever(listener: &TcpListener) -> anyhow::Result<()> {
    let clones: Result<Vec<_>, _> = (0..processors()).map(|_| listener.try_clone()).collect();
    let clones = clones.context(QUEUE)?;
    thread::scope(|scope| {
        let threads = clones.into_iter().map(|own| scope.spawn(|| threads::run(accept(own))));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(ended) => ended?,
            Err(_) => Err(io::Error::other("a thread panicked").into()),
        })
    })
}

pub(crate) async fn accept(listener: TcpListener) -> anyhow::Result<()> {
    listener.set_nonblocking(true).context(QUEUE)?;
    let listener = tokio::net::TcpListener::from_std(listener).context(QUEUE)?;
    loop {
        let (stream, _) = listener.accept().await.context(QUEUE)?;
        tokio::spawn(answer(stream));
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut ask = [0; ASK];
    // A health probe ends here, before it has asked for anything.
    stream.read_exact(&mut ask).await?;
    match Ask::parse(ask)? {
        Ask::Echo { size } => echo(stream, vec![0; usize::try_from(size).unwrap_or(CHUNK)]).await,
        Ask::Hold => hold(stream).await,
        Ask::Source => on_a_thread(stream, source),
        Ask::Sink { every } => on_a_thread(stream, move |stream| sink(stream, every.into())),
    }
}

async fn echo(mut stream: TcpStream, mut message: Vec<u8>) -> io::Result<()> {
    loop {
        stream.read_exact(&mut message).await?;
        stream.write_all(&message).await?;
    }
}

async fn hold(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(&[0]).await?;
    stream.read_exact(&mut [0]).await?;
    Ok(())
}

/// Bulk is one system call after the other: nothing is to be multiplexed, and the kernel spreads
/// threads over processors better than we would.
fn on_a_thread(
    stream: TcpStream,
    work: impl FnOnce(std::net::TcpStream) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    thread::Builder::new().name("bulk".into()).spawn(move || work(stream)).map(drop)
}

fn source(mut stream: std::net::TcpStream) -> io::Result<()> {
    let chunk = vec![0; CHUNK];
    loop {
        stream.write_all(&chunk)?;
    }
}

fn sink(mut stream: std::net::TcpStream, every: u64) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let (mut total, mut told) = (0_u64, 0);
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        total += count as u64;
        if total - told >= every {
            stream.write_all(&total.to_be_bytes())?;
            told = total;
        }
    }
}
