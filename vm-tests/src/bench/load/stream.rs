//! Opening a connection, and naming what went wrong with one.

use std::{fmt, io, net::SocketAddr, time::Duration};

use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use super::{Ask, outcome::Failures};

/// For a connection to open, or to answer once: a retransmitted SYN comes after one second and
/// three.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

pub(crate) async fn connect(to: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = in_time("connect", TcpStream::connect(to)).await?;
    stream.set_nodelay(true).map_err(|error| Failure::new("connect", error))?;
    Ok(stream)
}

/// Connected, and has said what it wants and `more`, in one segment where that is small.
pub(crate) async fn open(to: SocketAddr, ask: Ask, more: &[u8]) -> Result<TcpStream, Failure> {
    let mut stream = connect(to).await?;
    let first = [&ask.encode(), more].concat();
    in_time("send", stream.write_all(&first)).await?;
    Ok(stream)
}

/// What was tried, and how it ended.
#[derive(Debug)]
pub(crate) struct Failure {
    step: &'static str,
    error: io::Error,
}

impl Failure {
    pub(crate) fn new(step: &'static str, error: io::Error) -> Self {
        Self { step, error }
    }

    pub(crate) fn count(&self, failures: &mut Failures) {
        failures.add(format!("{}: {}", self.step, self.error.kind()));
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.error)
    }
}

pub(crate) async fn in_time<T>(
    step: &'static str,
    done: impl Future<Output = io::Result<T>>,
) -> Result<T, Failure> {
    let done = timeout(PATIENCE, done).await.unwrap_or_else(|late| Err(late.into()));
    done.map_err(|error| Failure { step, error })
}
