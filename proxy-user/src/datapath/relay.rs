//! Copies bytes between two connections until both ways have ended, and passes on how they end: a
//! FIN as a FIN once the last byte was taken, anything else as a reset of both.

use std::{
    future::Future,
    io,
    net::Shutdown,
    pin::{Pin, pin},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use socket2::SockRef;
use tokio::{net::TcpStream, time::sleep};

use super::{
    socket,
    tally::{Failure, Traffic},
};

/// In flight in each direction, besides what the sockets hold.
const BUFFER: usize = 64 * 1024;

#[derive(Clone, Copy)]
struct Side<'a> {
    stream: &'a TcpStream,
    broke: Failure,
}

/// Counts the bytes of one direction, for this connection and for its backend.
struct Meter<'a> {
    here: AtomicU64,
    of_backend: &'a AtomicU64,
}

impl<'a> Meter<'a> {
    fn new(of_backend: &'a AtomicU64) -> Self {
        Self { here: AtomicU64::new(0), of_backend }
    }

    fn add(&self, bytes: u64) {
        self.here.fetch_add(bytes, Relaxed);
        self.of_backend.fetch_add(bytes, Relaxed);
    }
}

/// Both streams must have been prepared by [`socket::prepare`]: unless all ends well, they are
/// reset as they are dropped here. Once one way has ended, the other must move something within
/// `half_closed`.
pub async fn relay(
    client: TcpStream,
    backend: TcpStream,
    traffic: &Traffic,
    half_closed: Duration,
) -> Result<(), Failure> {
    copy_both(&client, &backend, traffic, half_closed).await?;
    socket::close_in_peace(&client).map_err(|_| Failure::ClientBroke)?;
    socket::close_in_peace(&backend).map_err(|_| Failure::BackendBroke)
}

async fn copy_both(
    client: &TcpStream,
    backend: &TcpStream,
    traffic: &Traffic,
    half_closed: Duration,
) -> Result<(), Failure> {
    let client = Side { stream: client, broke: Failure::ClientBroke };
    let backend = Side { stream: backend, broke: Failure::BackendBroke };
    let (sent, received) = (Meter::new(&traffic.to_backend), Meter::new(&traffic.to_client));
    let mut up = pin!(copy(client, backend, &sent));
    let mut down = pin!(copy(backend, client, &received));
    tokio::select! {
        ended = &mut up => {
            ended?;
            while_it_moves(down, &received, half_closed).await
        }
        ended = &mut down => {
            ended?;
            while_it_moves(up, &sent, half_closed).await
        }
    }
}

async fn while_it_moves<F>(
    mut way: Pin<&mut F>,
    meter: &Meter<'_>,
    patience: Duration,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    loop {
        let before = meter.here.load(Relaxed);
        tokio::select! {
            ended = &mut way => return ended,
            () = sleep(patience) => {
                if meter.here.load(Relaxed) == before {
                    return Err(Failure::HalfClosedTooLong);
                }
            }
        }
    }
}

/// Until `from` has ended and `to` has taken everything, its end too.
async fn copy(from: Side<'_>, to: Side<'_>, meter: &Meter<'_>) -> Result<(), Failure> {
    loop {
        from.stream.readable().await.map_err(|_| from.broke)?;
        if drain(from, to, meter).await? == Source::Ended {
            return SockRef::from(to.stream).shutdown(Shutdown::Write).map_err(|_| to.broke);
        }
    }
}

#[derive(PartialEq, Eq)]
enum Source {
    Open,
    Ended,
}

/// The buffer lives for as long as there are bytes to move: an idle connection holds none.
async fn drain(from: Side<'_>, to: Side<'_>, meter: &Meter<'_>) -> Result<Source, Failure> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.stream.try_read(&mut buffer) {
            Ok(0) => return Ok(Source::Ended),
            Ok(length) => {
                write(to.stream, &buffer[..length]).await.map_err(|_| to.broke)?;
                meter.add(length as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Source::Open),
            Err(_) => return Err(from.broke),
        }
    }
}

async fn write(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
