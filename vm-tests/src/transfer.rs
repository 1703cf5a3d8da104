//! A connection that sends without pause to an echo server, and checks each byte that comes back:
//! one that is lost, doubled, changed or in the wrong place is seen, whichever way it went.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::LazyLock,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use nix::sys::socket::{getsockopt, sockopt::TcpMaxSeg};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::place::Inside;

const CHUNK: usize = 64 * 1024;
/// A prime: no packet, buffer or page is a whole part of the pattern.
const PATTERN: usize = 999_983;
/// A sender that gets nothing away for so long is stalled. One that was only slow is taken for
/// stalled with less under way than it could have.
const STALL: Duration = Duration::from_millis(500);

/// Ends in the middle of it when it is dropped.
pub struct Transfer {
    socket: OwnedFd,
    sent: watch::Receiver<u64>,
    checked: watch::Receiver<u64>,
    reading: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    task: JoinHandle<anyhow::Result<u64>>,
}

impl Transfer {
    pub(crate) fn start(inside: &Inside, stream: TcpStream) -> anyhow::Result<Self> {
        let socket = stream.as_fd().try_clone_to_owned()?;
        let (reader, writer) = stream.into_split();
        let (stop, stopped) = watch::channel(false);
        let (reading, may_read) = watch::channel(true);
        let (count_sent, sent) = watch::channel(0);
        let (count_checked, checked) = watch::channel(0);
        let task = inside.spawn(async move {
            let sending = send(writer, stopped.clone(), count_sent);
            let (sent, received) =
                tokio::try_join!(sending, check(reader, may_read, stopped, count_checked))?;
            ensure!(sent == received, "{sent} bytes were sent and {received} came back");
            Ok(received)
        });
        Ok(Self { socket, sent, checked, reading, stop, task })
    }

    /// Waits until so many more bytes have come back.
    pub async fn more(&mut self, bytes: u64) -> anyhow::Result<()> {
        let goal = *self.checked.borrow() + bytes;
        if self.checked.wait_for(|checked| *checked >= goal).await.is_ok() {
            return Ok(());
        }
        let bytes = (&mut self.task).await?.context("the transfer broke off")?;
        bail!("the transfer ended after {bytes} bytes")
    }

    /// Reads no more, or again; what it sends goes on for as long as anybody takes it.
    pub fn read(&self, on: bool) {
        self.reading.send_replace(on);
    }

    /// Waits until nothing can be sent any more; how many bytes are under way then.
    pub async fn stalled(&mut self) -> anyhow::Result<u64> {
        while let Ok(changed) = timeout(STALL, self.sent.changed()).await {
            changed.context("the transfer ended")?;
        }
        Ok(*self.sent.borrow() - *self.checked.borrow())
    }

    /// Payload of the largest segment that it sends now.
    pub fn segment_size(&self) -> anyhow::Result<u32> {
        Ok(getsockopt(&self.socket, TcpMaxSeg)?)
    }

    /// Sends no more; how many bytes went and came back, all as they were.
    pub async fn end(mut self) -> anyhow::Result<u64> {
        self.stop.send_replace(true);
        (&mut self.task).await?
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn send(
    mut writer: OwnedWriteHalf,
    stopped: watch::Receiver<bool>,
    count: watch::Sender<u64>,
) -> anyhow::Result<u64> {
    let mut sent = 0;
    while !*stopped.borrow() {
        let part = expected(sent, CHUNK);
        writer.write_all(part).await.with_context(|| format!("sending after {sent} bytes"))?;
        sent += part.len() as u64;
        count.send_replace(sent);
    }
    writer.shutdown().await?;
    Ok(sent)
}

async fn check(
    mut reader: OwnedReadHalf,
    mut may_read: watch::Receiver<bool>,
    stopped: watch::Receiver<bool>,
    count: watch::Sender<u64>,
) -> anyhow::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut checked = 0;
    loop {
        may_read.wait_for(|on| *on).await?;
        let limit = expected(checked, CHUNK).len();
        let read = reader.read(&mut buffer[..limit]).await;
        let read = read.with_context(|| format!("reading after {checked} bytes"))?;
        if read == 0 {
            ensure!(*stopped.borrow(), "an end without an error after {checked} bytes");
            return Ok(checked);
        }
        ensure!(buffer[..read] == *expected(checked, read), "wrong bytes after {checked}");
        checked += read as u64;
        count.send_replace(checked);
    }
}

/// At least one and at most `limit` bytes of the endless pattern, from there on.
pub(crate) fn expected(offset: u64, limit: usize) -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut dice = fastrand::Rng::with_seed(1);
        (0..PATTERN).map(|_| dice.u8(..)).collect()
    });
    let start = (offset % PATTERN as u64) as usize;
    &BYTES[start..PATTERN.min(start + limit)]
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::place::Place;

    /// Sends back what it gets, but for the byte at this place.
    async fn echo_with_an_error(listener: TcpListener, wrong_at: usize) {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut buffer = vec![0; CHUNK];
        let mut seen = 0;
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            if let Some(byte) =
                wrong_at.checked_sub(seen).and_then(|at| buffer[..count].get_mut(at))
            {
                *byte ^= 1;
            }
            seen += count;
            if stream.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    }

    #[tokio::test]
    async fn a_single_wrong_bit_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let place = Place::host("unit_transfer").expect("a thread");
        let inside = place.inside();
        let stream = inside.run(async move { Ok(TcpStream::connect(address).await?) });
        let (stream, _) = tokio::join!(stream, async {
            tokio::spawn(echo_with_an_error(listener, 2_500_000));
        });
        let mut transfer = Transfer::start(inside, stream.expect("connected")).expect("started");
        transfer.more(1_000_000).await.expect("all is well so far");
        let error = transfer.more(3_000_000).await.expect_err("a wrong byte");
        assert!(format!("{error:#}").contains("wrong bytes after"), "{error:#}");
    }
}
