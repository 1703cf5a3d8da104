//! The side of the earlier agent.

use std::{
    io,
    net::SocketAddr,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixListener as StdListener,
    },
};

use nix::unistd::geteuid;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::{BYE, PATIENCE, PAUSE, PAUSED, TAKEN, descriptors, meeting_point};

/// Waits for heirs, with what they are to be given.
pub struct Host {
    door: UnixListener,
    estate: Vec<OwnedFd>,
}

/// One that came.
pub struct Heir {
    stream: UnixStream,
}

impl Host {
    /// The sockets are copies: they keep their queues alive for as long as anybody holds one.
    pub fn open(admin: SocketAddr, estate: Vec<OwnedFd>) -> io::Result<Self> {
        let door = StdListener::bind_addr(&meeting_point(admin)?)?;
        door.set_nonblocking(true)?;
        Ok(Self { door: UnixListener::from_std(door)?, estate })
    }

    /// The next that has been given the sockets; others are turned away.
    pub async fn heir(&self) -> Heir {
        loop {
            match self.welcome().await {
                Ok(heir) => return heir,
                Err(error) => tracing::warn!("a successor was not given the sockets: {error}"),
            }
        }
    }

    async fn welcome(&self) -> io::Result<Heir> {
        let (stream, _) = self.door.accept().await?;
        let peer = stream.peer_cred()?.uid();
        if peer != geteuid().as_raw() && peer != 0 {
            return Err(io::Error::other(format!("it is of another user, with id {peer}")));
        }
        let sockets: Vec<_> = self.estate.iter().map(|socket| socket.as_fd()).collect();
        descriptors::send(&stream, &sockets).await?;
        Ok(Heir { stream })
    }
}

impl Heir {
    /// It is ready to take over, but for what only one agent can have; an error means that it has
    /// given up.
    pub async fn asks_to_pause(&mut self) -> io::Result<()> {
        self.expect(PAUSE).await
    }

    /// What only one agent can have is free; waits until it has it, and serves.
    pub async fn takes_over(&mut self) -> io::Result<()> {
        self.stream.write_all(&[PAUSED]).await?;
        self.expect(TAKEN).await
    }

    /// The door is shut: it may open its own.
    pub async fn bye(&mut self) -> io::Result<()> {
        self.stream.write_all(&[BYE]).await
    }

    async fn expect(&mut self, wanted: u8) -> io::Result<()> {
        let said = timeout(PATIENCE, self.stream.read_u8()).await??;
        if said == wanted { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}
