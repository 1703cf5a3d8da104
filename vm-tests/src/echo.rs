//! A TCP server that sends back what it gets: shows how connections end, without TLS in the way.

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use nix::sys::socket::{getsockopt, sockopt::TcpMaxSeg};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};

use crate::service::Counters;

/// A client that sends this first is answered with a reset.
pub const RESET_ME: &[u8] = b"reset me\n";

pub(crate) async fn serve(
    stream: TcpStream,
    counters: Arc<Counters>,
    reading: watch::Receiver<bool>,
) {
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
