//! One direction of a spliced connection, from user space: carries what the program leaves to it,
//! and passes on the end.

use std::{
    io,
    net::Shutdown,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use proxy_common::{
    flow::Direction,
    splice::{Cookie, Fault, Ledger, Splice, weakness},
};
use socket2::SockRef;
use tokio::{net::TcpStream, time::sleep};

use super::Sockmap;
use crate::{
    datapath::{account::Account, tally::Failure},
    tcp,
};

const BUFFER: usize = 64 * 1024;
/// The kernel does not tell when it has taken what waits for it; it does so within microseconds.
const POLL: Duration = Duration::from_millis(1);

#[derive(Clone, Copy)]
pub struct Side<'a> {
    pub stream: &'a TcpStream,
    pub broke: Failure,
}

/// Where a direction comes from in the program's maps; leaves them with this.
pub struct Listed<'a> {
    pub sockmap: &'a Sockmap,
    pub source: Cookie,
    /// Else the program never sees what this socket receives.
    pub is_judged: bool,
}

impl Listed<'_> {
    /// What the program says, unless it says that it cannot be relied on.
    fn splice(&self) -> Result<Splice, Failure> {
        let splice = self.sockmap.program.splice(self.source).map_err(|_| Failure::SpliceBroke)?;
        if splice.fault == Fault::None {
            return Ok(splice);
        }
        tracing::warn!(?splice, "a spliced connection is reset: {}", splice.fault.as_str());
        Err(Failure::SpliceBroke)
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.sockmap.program.forget(self.source);
    }
}

pub struct Way<'a> {
    pub from: Side<'a>,
    pub to: Side<'a>,
    pub listed: &'a Listed<'a>,
    pub meter: &'a Meter<'a>,
    /// What the destination had taken before, see [`tcp::taken`].
    pub base: u64,
    /// Whether this way waits for its destination, and whether the other does.
    pub waits: &'a AtomicBool,
    pub other_waits: &'a AtomicBool,
    pub read: u64,
    pub ledger: Ledger,
}

/// Counts what both the program and user space have moved.
pub struct Meter<'a> {
    pub account: &'a Account,
    pub direction: Direction,
    pub listed: &'a Listed<'a>,
    pub redirected: AtomicU64,
    /// The source has said all that it had to say.
    pub has_ended: AtomicBool,
}

impl Meter<'_> {
    /// After a look at what the program has moved since.
    pub fn total(&self) -> u64 {
        if let Ok(splice) = self.listed.sockmap.program.splice(self.listed.source) {
            let before = self.redirected.swap(splice.redirected, Relaxed);
            self.account.moved(self.direction, splice.redirected.saturating_sub(before));
        }
        self.account.total(self.direction)
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        self.total();
    }
}

#[derive(PartialEq, Eq)]
enum Source {
    Open,
    Ended,
}

impl Way<'_> {
    /// Until the source has ended and the destination has taken everything, the end too.
    pub async fn run(&mut self) -> Result<(), Failure> {
        if self.push().await? == Source::Ended {
            return self.end().await;
        }
        loop {
            self.from.stream.readable().await.map_err(|_| self.from.broke)?;
            let receive = |stream: &TcpStream, buffer: &mut [u8]| stream.try_read(buffer);
            if self.empty(receive).await? == Source::Ended {
                return self.end().await;
            }
        }
    }

    /// What came before the socket was in the map gets to the program when somebody reads.
    async fn push(&mut self) -> Result<Source, Failure> {
        if self.is_weak(weakness::NO_PUSH) {
            return std::future::pending().await;
        }
        self.empty(|stream, buffer| io::Read::read(&mut &*SockRef::from(stream), buffer)).await
    }

    async fn empty(
        &mut self,
        receive: impl Fn(&TcpStream, &mut [u8]) -> io::Result<usize>,
    ) -> Result<Source, Failure> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match receive(self.from.stream, &mut buffer) {
                Ok(0) if self.is_all_read()? => return Ok(Source::Ended),
                Ok(0) => sleep(POLL).await,
                Ok(length) => self.carry(&buffer[..length]).await?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Source::Open),
                Err(_) => return Err(self.from.broke),
            }
        }
    }

    /// An end may be seen while bytes before it still wait for a worker of the kernel.
    fn is_all_read(&self) -> Result<bool, Failure> {
        Ok(!self.listed.is_judged || self.listed.splice()?.passed == self.read)
    }

    /// The program redirects nothing from when it has passed these bytes until the ledger says
    /// that they are written.
    async fn carry(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.read += bytes.len() as u64;
        let redirected = self.listed.splice()?.redirected;
        self.waits.store(true, Relaxed);
        self.give_up_if_both_wait();
        self.until_taken(redirected).await?;
        self.write(bytes).await?;
        self.waits.store(false, Relaxed);
        self.ledger.carried += bytes.len() as u64;
        self.meter.account.moved(self.meter.direction, bytes.len() as u64);
        self.publish()
    }

    /// While one way waits, what the other passes to user space queues behind it, and no window
    /// closes for that: so a connection that is congested both ways stays in user space.
    fn give_up_if_both_wait(&mut self) {
        if self.other_waits.load(Relaxed) && self.ledger.for_good == 0 {
            self.ledger.for_good = 1;
            self.listed.sockmap.counts.fell_back("congested_both_ways");
        }
    }

    fn publish(&self) -> Result<(), Failure> {
        let Listed { sockmap, source, .. } = self.listed;
        sockmap.program.publish(*source, self.ledger).map_err(|_| Failure::SpliceBroke)
    }

    /// Until the destination's send queue has all that was redirected, and carried before.
    async fn until_taken(&self, redirected: u64) -> Result<(), Failure> {
        let given = redirected + self.ledger.carried;
        loop {
            let taken = tcp::taken(self.to.stream).map_err(|_| self.to.broke)?;
            if taken.saturating_sub(self.base) >= given {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }

    async fn write(&self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            self.to.stream.writable().await.map_err(|_| self.to.broke)?;
            match self.to.stream.try_write(bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(self.to.broke),
            }
        }
        Ok(())
    }

    async fn end(&self) -> Result<(), Failure> {
        self.meter.has_ended.store(true, Relaxed);
        if !self.is_weak(weakness::NO_DRAIN) {
            self.until_taken(self.listed.splice()?.redirected).await?;
        }
        SockRef::from(self.to.stream).shutdown(Shutdown::Write).map_err(|_| self.to.broke)
    }

    fn is_weak(&self, weakness: u32) -> bool {
        self.listed.sockmap.weakness & weakness != 0
    }
}
