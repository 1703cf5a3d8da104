//! The side of the new agent, and what systemd gives (sd_listen_fds(3)).

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixStream as StdStream,
};

use anyhow::{Context as _, bail};
use listenfd::ListenFd;
use nix::unistd::geteuid;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

use super::{BYE, PATIENCE, PAUSE, PAUSED, TAKEN, descriptors, meeting_point};

/// Listening sockets that others have bound, by their address.
#[derive(Debug, Default)]
pub struct Estate(BTreeMap<SocketAddr, Vec<TcpListener>>);

/// An agent that serves where this one is to.
pub struct Predecessor {
    stream: UnixStream,
}

impl Estate {
    fn of(sockets: impl IntoIterator<Item = TcpListener>) -> io::Result<Self> {
        let mut estate = Self::default();
        for socket in sockets {
            socket.set_nonblocking(true)?;
            estate.0.entry(socket.local_addr()?).or_default().push(socket);
        }
        Ok(estate)
    }

    /// What systemd has bound for this process, all of which must be asked for.
    pub fn of_systemd(asked_for: &BTreeSet<SocketAddr>) -> anyhow::Result<Self> {
        let mut given = ListenFd::from_env();
        let sockets = (0..given.len()).map(|index| given.take_tcp_listener(index));
        let sockets: Vec<_> = sockets
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()
            .context("LISTEN_FDS: not all of systemd's sockets listen for TCP connections")?;
        let estate = Self::of(sockets).context("LISTEN_FDS")?;
        match estate.0.keys().find(|address| !asked_for.contains(address)) {
            Some(other) => bail!(
                "LISTEN_FDS: {other}: systemd listens there, and neither --listen nor --admin says \
                 so; make the socket unit and the flags agree"
            ),
            None => Ok(estate),
        }
    }

    pub fn add(&mut self, other: Self) {
        for (address, sockets) in other.0 {
            self.0.entry(address).or_default().extend(sockets);
        }
    }

    /// Those of this address; none where it must be bound.
    pub fn take(&mut self, address: SocketAddr) -> Vec<TcpListener> {
        self.0.remove(&address).unwrap_or_default()
    }
}

impl Predecessor {
    /// The agent that is administered there, and its sockets; `None` where there is none.
    pub async fn find(admin: SocketAddr) -> anyhow::Result<Option<(Self, Estate)>> {
        let stream = match StdStream::connect_addr(&meeting_point(admin)?) {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
            Err(error) => return Err(error).context("asking an earlier agent for its sockets"),
        };
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        let uid = stream.peer_cred()?.uid();
        if uid != geteuid().as_raw() && uid != 0 {
            tracing::warn!("a process of another user, with id {uid}, poses as an earlier agent");
            return Ok(None);
        }
        let sockets = timeout(PATIENCE, descriptors::receive(&stream)).await;
        let sockets = sockets.context("an earlier agent does not answer")?;
        let sockets = sockets.context("an earlier agent has not given its sockets")?;
        Ok(Some((Self { stream }, Estate::of(sockets)?)))
    }

    /// When it returns, what only one agent can have is free.
    pub async fn pause(&mut self) -> anyhow::Result<()> {
        self.ask(PAUSE, PAUSED).await.context("an earlier agent does not make room")
    }

    /// From here on it takes no new connections, and lets those that it has end.
    pub async fn retire(mut self) -> anyhow::Result<()> {
        self.ask(TAKEN, BYE).await.context("an earlier agent does not retire")
    }

    async fn ask(&mut self, question: u8, wanted: u8) -> anyhow::Result<()> {
        self.stream.write_all(&[question]).await?;
        let answer = timeout(PATIENCE, self.stream.read_u8()).await??;
        anyhow::ensure!(answer == wanted, "it answers {answer:#x}");
        Ok(())
    }
}
