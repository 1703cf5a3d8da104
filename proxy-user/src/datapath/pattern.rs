//! Bytes that can be told from all others by their place.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const CHUNK: usize = 64 * 1024;

/// An endless row of bytes, the same for the same seed.
pub struct Pattern(fastrand::Rng);

/// So many bytes each way at once, each in its place, and both ends.
pub async fn both_ways(
    client: &mut TcpStream,
    backend: &mut TcpStream,
    bytes: u64,
) -> anyhow::Result<()> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_backend, mut to_backend) = backend.split();
    tokio::try_join!(
        Pattern::new(1).send(&mut to_client, bytes),
        Pattern::new(2).send(&mut to_backend, bytes),
        Pattern::new(1).expect(&mut from_backend, bytes),
        Pattern::new(2).expect(&mut from_client, bytes),
    )?;
    Ok(())
}

impl Pattern {
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    fn next(&mut self, chunk: &mut [u8; CHUNK]) {
        self.0.fill(chunk);
    }

    pub fn start(seed: u64, len: usize) -> Vec<u8> {
        let mut chunk = Box::new([0; CHUNK]);
        Self::new(seed).next(&mut chunk);
        chunk[..len.min(CHUNK)].to_vec()
    }

    /// So many bytes, then the end.
    pub async fn send(
        mut self,
        to: &mut (impl AsyncWrite + Unpin),
        bytes: u64,
    ) -> anyhow::Result<()> {
        let mut chunk = Box::new([0; CHUNK]);
        let mut left = bytes;
        while left > 0 {
            self.next(&mut chunk);
            let part = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            to.write_all(&chunk[..part]).await.context("sending")?;
            left -= part as u64;
        }
        to.shutdown().await.context("ending")
    }

    /// Until nothing more is taken for a while, or so much was. Returns how much.
    pub async fn fill(
        mut self,
        to: &mut (impl AsyncWrite + Unpin),
        most: u64,
        quiet: Duration,
    ) -> anyhow::Result<u64> {
        let mut chunk = Box::new([0; CHUNK]);
        let mut taken = 0;
        while taken < most {
            self.next(&mut chunk);
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let Ok(written) = timeout(quiet, to.write(rest)).await else { return Ok(taken) };
                let written = written.context("sending")?;
                taken += written as u64;
                rest = &rest[written..];
            }
        }
        Ok(taken)
    }

    /// So many bytes, each in its place, then the end.
    pub async fn expect(
        mut self,
        from: &mut (impl AsyncRead + Unpin),
        bytes: u64,
    ) -> anyhow::Result<()> {
        let (mut chunk, mut got) = (Box::new([0; CHUNK]), Box::new([0; CHUNK]));
        let mut left = bytes;
        while left > 0 {
            self.next(&mut chunk);
            let part = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let read = from.read_exact(&mut got[..part]).await;
            read.with_context(|| format!("less arrived than was sent: about {left} of {bytes}"))?;
            ensure!(got[..part] == chunk[..part], "other bytes arrived, after {}", bytes - left);
            left -= part as u64;
        }
        let more = from.read(&mut got[..]).await.context("waiting for the end")?;
        ensure!(more == 0, "more bytes arrived than were sent");
        Ok(())
    }
}
