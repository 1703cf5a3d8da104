//! A Network Load Balancer in front of the proxy: has a connection to it for each of its clients',
//! says first in a PROXY header whose it is, and passes on bytes and how connections end.

mod header;

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use crate::{place::Inside, service};

const PATIENCE: Duration = Duration::from_secs(10);

/// Ends, with all its connections, when it is dropped.
pub struct Nlb {
    inside: Inside,
    address: SocketAddr,
    target: SocketAddr,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Target {
    address: SocketAddr,
    vpce: String,
}

impl Nlb {
    pub(crate) async fn start(
        inside: &Inside,
        at: IpAddr,
        target: SocketAddr,
        vpce: &str,
    ) -> anyhow::Result<Self> {
        let listener = service::listen(inside, (at, 0).into()).await?;
        let address = listener.local_addr()?;
        let task = inside.spawn(accept(listener, Target { address: target, vpce: vpce.into() }));
        Ok(Self { inside: inside.clone(), address, target, task })
    }

    /// Where its clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection of its own, which says so and ends; waits until the target has ended it too.
    pub async fn health_check(&self) -> anyhow::Result<()> {
        let target = self.target;
        let check = async move {
            let mut stream = TcpStream::connect(target).await?;
            stream.write_all(&header::local()).await?;
            stream.shutdown().await?;
            ensure!(stream.read(&mut [0]).await? == 0, "bytes in answer to a health check");
            Ok(())
        };
        let checked = self.inside.run(async move { timeout(PATIENCE, check).await? }).await;
        checked.with_context(|| format!("a health check of {target}"))
    }

    /// The header for a connection of this client's, as it is sent.
    pub fn header(&self, client: SocketAddrV4, vpce: &str) -> anyhow::Result<Vec<u8>> {
        Ok(header::of_client(client, v4(self.address)?, vpce))
    }

    /// A header of so many bytes, none of which says who the consumer is; `None` where no field is
    /// so short.
    pub fn header_of(&self, length: usize) -> Option<Vec<u8>> {
        header::of_length(length)
    }
}

impl Drop for Nlb {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: Target) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(carry(stream, peer, target.clone()));
                }
                Err(error) => tracing::warn!("the load balancer accepts nothing: {error}"),
            },
        }
    }
}

async fn carry(mut client: TcpStream, peer: SocketAddr, target: Target) {
    if let Err(error) = pass_on(&mut client, peer, target).await {
        tracing::debug!("a connection of {peer} through the load balancer: {error:#}");
        client.set_zero_linger().ok();
    }
}

async fn pass_on(client: &mut TcpStream, peer: SocketAddr, target: Target) -> anyhow::Result<()> {
    let header = header::of_client(v4(peer)?, v4(client.local_addr()?)?, &target.vpce);
    let mut proxy = TcpStream::connect(target.address).await?;
    let passed: io::Result<_> = async {
        proxy.write_all(&header).await?;
        copy_bidirectional(client, &mut proxy).await
    }
    .await;
    if passed.is_err() {
        proxy.set_zero_linger()?;
    }
    passed?;
    Ok(())
}

fn v4(address: SocketAddr) -> anyhow::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => bail!("{address}: the load balancer is for IPv4 alone"),
    }
}
