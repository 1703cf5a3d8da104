//! The server. What goes wrong with a connection is seen and counted by its client.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpListener,
    thread,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Ask,
    ask::ASK,
    stream::invalid,
    threads::{self, processors},
    tls, web,
};

/// Of one read or write in bulk.
pub(crate) const CHUNK: usize = 256 * 1024;
/// Each thread watches as many connections as come its way.
const QUEUE: &str = "the server's accept queue";
/// What TLS begins with (RFC 8446, section 5.1), and no other ask.
const HANDSHAKE: u8 = 22;

/// Returns only if it can accept no more, and says why.
pub(crate) fn forever(listener: &TcpListener) -> anyhow::Result<()> {
    let clones: Result<Vec<_>, _> = (0..processors()).map(|_| listener.try_clone()).collect();
    let clones = clones.context(QUEUE)?;
    let tls = tls::acceptor()?;
    thread::scope(|scope| {
        let begin = |own| {
            let tls = tls.clone();
            scope.spawn(|| threads::run(accept(own, tls)))
        };
        let threads = clones.into_iter().map(begin);
        let threads: Vec<_> = threads.collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(ended) => ended?,
            Err(_) => Err(io::Error::other("a thread panicked").into()),
        })
    })
}

pub(crate) async fn accept(listener: TcpListener, tls: TlsAcceptor) -> anyhow::Result<()> {
    listener.set_nonblocking(true).context(QUEUE)?;
    let listener = tokio::net::TcpListener::from_std(listener).context(QUEUE)?;
    loop {
        let (stream, _) = listener.accept().await.context(QUEUE)?;
        tokio::spawn(answer(stream, tls.clone()));
    }
}

async fn answer(mut stream: TcpStream, tls: TlsAcceptor) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first == [HANDSHAKE] {
        return answer_encrypted(tls.accept(stream).await?).await;
    }
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

/// Our own clients, and those that others have written.
async fn answer_encrypted(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut ask = [0; ASK];
    stream.read_exact(&mut ask).await?;
    if ask.starts_with(web::GET) {
        return web::answer(stream, ask.to_vec()).await;
    }
    match Ask::parse(ask)? {
        Ask::Echo { size } => echo(stream, vec![0; usize::try_from(size).unwrap_or(CHUNK)]).await,
        other => Err(invalid(format!("{other:?}: not over TLS"))),
    }
}

async fn echo(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut message: Vec<u8>,
) -> io::Result<()> {
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
