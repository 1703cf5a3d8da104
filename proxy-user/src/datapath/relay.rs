//! Copies bytes between two connections until both ways have ended, and passes on how they end: a
//! FIN as a FIN once the last byte was taken, anything else as a reset of both.

use std::{
    future::Future,
    io,
    net::Shutdown,
    pin::{Pin, pin},
    time::Duration,
};

use proxy_common::flow::Direction;
use socket2::SockRef;
use tokio::{net::TcpStream, time::sleep};

use super::{account::Account, socket, tally::Failure};

/// In flight in each direction, besides what the sockets hold.
const BUFFER: usize = 64 * 1024;

/// A connection's two streams, as a relay, or what is faster, takes them over. Both must have been
/// prepared by [`socket::prepare`].
pub struct Pair {
    pub client: TcpStream,
    pub backend: TcpStream,
    /// Read from the client, and still to be written to the backend before all that follows.
    pub unsent: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Side<'a> {
    stream: &'a TcpStream,
    broke: Failure,
}

/// Counts the bytes of one direction.
#[derive(Clone, Copy)]
struct Meter<'a> {
    account: &'a Account,
    direction: Direction,
}

impl Meter<'_> {
    fn add(self, bytes: u64) {
        self.account.moved(self.direction, bytes);
    }

    fn total(self) -> u64 {
        self.account.total(self.direction)
    }
}

/// Unless all ends well, both streams are reset as they are dropped here. Once one way has ended,
/// the other must move something within `half_closed`.
pub async fn relay(pair: Pair, account: &Account, half_closed: Duration) -> Result<(), Failure> {
    copy_both(&pair, account, half_closed).await?;
    socket::close_in_peace(&pair.client).map_err(|_| Failure::ClientBroke)?;
    socket::close_in_peace(&pair.backend).map_err(|_| Failure::BackendBroke)
}

async fn copy_both(pair: &Pair, account: &Account, half_closed: Duration) -> Result<(), Failure> {
    let client = Side { stream: &pair.client, broke: Failure::ClientBroke };
    let backend = Side { stream: &pair.backend, broke: Failure::BackendBroke };
    let sent = Meter { account, direction: Direction::ToBackend };
    let received = Meter { account, direction: Direction::ToClient };
    let mut up = pin!(async {
        write(backend.stream, &pair.unsent).await.map_err(|_| backend.broke)?;
        sent.add(pair.unsent.len() as u64);
        copy(client, backend, sent).await
    });
    let mut down = pin!(copy(backend, client, received));
    tokio::select! {
        ended = &mut up => {
            ended?;
            while_it_moves(down, received, half_closed).await
        }
        ended = &mut down => {
            ended?;
            while_it_moves(up, sent, half_closed).await
        }
    }
}

async fn while_it_moves<F>(
    mut way: Pin<&mut F>,
    meter: Meter<'_>,
    patience: Duration,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    loop {
        let before = meter.total();
        tokio::select! {
            ended = &mut way => return ended,
            () = sleep(patience) => {
                if meter.total() == before {
                    return Err(Failure::HalfClosedTooLong);
                }
            }
        }
    }
}

/// Until `from` has ended and `to` has taken everything, its end too.
async fn copy(from: Side<'_>, to: Side<'_>, meter: Meter<'_>) -> Result<(), Failure> {
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
async fn drain(from: Side<'_>, to: Side<'_>, meter: Meter<'_>) -> Result<Source, Failure> {
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
