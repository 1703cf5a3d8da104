//! A client, a backend, and the two sockets between them, all on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    config::Legs,
    datapath::{
        account::{Account, Caller, Led},
        relay::{Manner, Pair, Pipes},
        socket,
        sockmap::Sockmap,
        tally::{Failure, Tally},
    },
};

const HALF_CLOSED: Duration = Duration::from_secs(60);
/// For what falls back to the relay.
const PIPES: usize = 2;
/// Of the ends' own buffers, so that what waits, waits in between.
const NARROW: usize = 64 * 1024;

pub struct Ends {
    pub client: TcpStream,
    pub backend: TcpStream,
    between: Option<Pair>,
    splice: Option<Splicing>,
}

/// Ends with this, whatever its connection has come to.
struct Splicing(JoinHandle<Result<(), Failure>>);

impl Drop for Splicing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Ends {
    /// Not spliced yet.
    pub async fn open() -> anyhow::Result<Self> {
        let (client, inside) = pair().await?;
        let (outside, backend) = pair().await?;
        socket::prepare(&inside, Legs::default())?;
        socket::prepare(&outside, Legs::default())?;
        let between = Some(Pair { client: inside, backend: outside, unsent: Vec::new() });
        Ok(Self { client, backend, between, splice: None })
    }

    pub async fn spliced(sockmap: &Arc<Sockmap>) -> anyhow::Result<Self> {
        let mut ends = Self::open().await?;
        ends.splice(sockmap);
        Ok(ends)
    }

    /// Spliced, with ends that hold little themselves.
    pub async fn narrow(sockmap: &Arc<Sockmap>) -> anyhow::Result<Self> {
        let ends = Self::spliced(sockmap).await?;
        for end in [&ends.client, &ends.backend] {
            SockRef::from(end).set_send_buffer_size(NARROW)?;
            SockRef::from(end).set_recv_buffer_size(NARROW)?;
        }
        Ok(ends)
    }

    pub fn splice(&mut self, sockmap: &Arc<Sockmap>) {
        let Some(pair) = self.between.take() else { return };
        let sockmap = sockmap.clone();
        let pipes = Pipes::new(PIPES, Arc::new(Tally::default()));
        let manner = Manner { half_closed: HALF_CLOSED, pipes };
        let account = account();
        let splice = async move { sockmap.splice(pair, &account, &manner).await };
        self.splice = Some(Splicing(tokio::spawn(splice)));
    }

    /// Until both sockets in between have something to read.
    pub async fn until_received(&self) -> anyhow::Result<()> {
        let between = self.between.as_ref().context("they are spliced already")?;
        between.client.readable().await?;
        Ok(between.backend.readable().await?)
    }

    pub async fn until_client_ended(&self) -> anyhow::Result<()> {
        until_ended(&self.between.as_ref().context("they are spliced already")?.client).await
    }

    pub async fn until_backend_ended(&self) -> anyhow::Result<()> {
        until_ended(&self.between.as_ref().context("they are spliced already")?.backend).await
    }

    /// After both ends have said that they have ended.
    pub async fn end_well(mut self) -> anyhow::Result<()> {
        drop((self.client, self.backend));
        let mut splice = self.splice.take().context("they are not spliced")?;
        let ended = (&mut splice.0).await?;
        ensure!(
            ended.is_ok(),
            "all had ended well, and yet: {}",
            ended.map_or_else(Failure::as_str, |()| "")
        );
        Ok(())
    }
}

/// Of nobody: what these move is of no backend and no consumer.
fn account() -> Account {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let caller = Caller { client: nowhere, listen: nowhere, consumer: None, server_name: None };
    Account::open(0, caller, Led { backend: nowhere, source: nowhere }, [None, None])
}

/// Its peer has; nothing is read for that.
async fn until_ended(stream: &TcpStream) -> anyhow::Result<()> {
    while !stream.ready(Interest::READABLE).await?.is_read_closed() {
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn pair() -> anyhow::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("on loopback")?;
    let near = TcpStream::connect(listener.local_addr()?).await.context("on loopback")?;
    let (far, _) = listener.accept().await?;
    Ok((near, far))
}
