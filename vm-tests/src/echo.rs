//! A TCP server that sends back what it gets: shows how connections end, without TLS in the way.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use nix::sys::socket::{getsockopt, sockopt::TcpMaxSeg};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    place::Inside,
    service::{self, Counters},
};

/// A client that sends this first is answered with a reset.
pub const RESET_ME: &[u8] = b"reset me\n";

/// Ends, with all its connections, when it is dropped.
pub(crate) struct Echo(JoinHandle<()>);

impl Echo {
    pub(crate) async fn start(
        inside: &Inside,
        address: SocketAddr,
        counters: Arc<Counters>,
        reading: watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        let listener = service::listen(inside, address).await?;
        Ok(Self(inside.spawn(accept(listener, counters, reading))))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept(listener: TcpListener, counters: Arc<Counters>, reading: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, counters.clone(), reading.clone()));
                }
                Err(error) => tracing::warn!("accepting: {error}"),
            },
        }
    }
}

async fn serve(stream: TcpStream, counters: Arc<Counters>, reading: watch::Receiver<bool>) {
    if let Err(error) = send_back(stream, &counters, reading).await
        && error.kind() == io::ErrorKind::ConnectionReset
    {
        counters.resets.send_modify(|resets| *resets += 1);
    }
}

/// Until the end of input, and then ends its own output.
async fn send_back(
    mut stream: TcpStream,
    counters: &Counters,
    mut reading: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut first = true;
    loop {
        reading.wait_for(|on| *on).await.map_err(io::Error::other)?;
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return stream.shutdown().await;
        }
        if std::mem::take(&mut first) {
            counters.connections.fetch_add(1, Relaxed);
            counters.segment_size.store(getsockopt(&stream, TcpMaxSeg)?, Relaxed);
        }
        if buffer[..count] == *RESET_ME {
            return stream.set_zero_linger();
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
