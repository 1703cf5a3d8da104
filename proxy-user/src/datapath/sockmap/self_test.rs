//! Whether this kernel can be trusted with spliced connections: each hazard that kernels have had,
//! provoked on loopback before the first client comes.

mod ends;
mod overlap;

use std::{fmt, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use self::ends::Ends;
use super::Sockmap;
use crate::{
    datapath::pattern::{self, Pattern},
    tcp,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Nothing more is taken for so long: the sender is throttled.
const QUIET: Duration = Duration::from_millis(300);
const BULK: u64 = 64 << 20;
/// Most that may be on its way in one direction, between what the two ends hold.
const IN_FLIGHT: u64 = 4 << 20;
const FIRST_BYTES: u32 = 20;
const SMALL: u64 = 1 << 20;
/// More than a send buffer in between takes: what is redirected beyond it waits.
const LARGE: u64 = 4 << 20;
/// What a socket takes in before anybody reads.
const FEW: u64 = 10_000;
const ENDINGS: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    FirstBytes,
    EndedEarly,
    BothWays,
    Overlap,
    StalledReader,
    CongestedBothWays,
    HalfClose,
    End,
}

#[derive(Debug, Error)]
#[error("the self-test of the sockmap fails on this kernel, at {step}: {why:#}")]
pub struct Failed {
    pub step: Step,
    why: anyhow::Error,
}

impl Step {
    pub const ALL: [Self; 8] = [
        Self::FirstBytes,
        Self::EndedEarly,
        Self::BothWays,
        Self::Overlap,
        Self::StalledReader,
        Self::CongestedBothWays,
        Self::HalfClose,
        Self::End,
    ];
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstBytes => "first bytes",
            Self::EndedEarly => "an end before the beginning",
            Self::BothWays => "bulk both ways",
            Self::Overlap => "overlapping segments",
            Self::StalledReader => "a reader that stalls",
            Self::CongestedBothWays => "congestion both ways",
            Self::HalfClose => "half-close",
            Self::End => "the end behind the last byte",
        })
    }
}

impl Sockmap {
    /// Needs CAP_NET_RAW as well. Takes about two seconds, and counts as no connection.
    pub async fn self_test(self: &Arc<Self>) -> Result<(), Failed> {
        for step in Step::ALL {
            self.try_step(step).await?;
        }
        self.counts.begin_anew();
        Ok(())
    }

    pub async fn try_step(self: &Arc<Self>, step: Step) -> Result<(), Failed> {
        let done = timeout(PATIENCE, self.take_step(step)).await;
        let done =
            done.unwrap_or_else(|_| Err(anyhow::anyhow!("it has not ended in {PATIENCE:?}")));
        done.map_err(|why| Failed { step, why })
    }

    async fn take_step(self: &Arc<Self>, step: Step) -> anyhow::Result<()> {
        match step {
            Step::FirstBytes => first_bytes(self).await,
            Step::EndedEarly => ended_early(self).await,
            Step::BothWays => both_ways(self).await,
            Step::Overlap => overlap::overlap(self).await,
            Step::StalledReader => stalled_reader(self).await,
            Step::CongestedBothWays => congested_both_ways(self).await,
            Step::HalfClose => half_close(self).await,
            Step::End => end(self).await,
        }
    }
}

/// Bytes that wait in both sockets when they enter the map.
async fn first_bytes(sockmap: &Arc<Sockmap>) -> anyhow::Result<()> {
    for n in 0..FIRST_BYTES {
        let mut ends = Ends::open().await?;
        ends.client.write_all(b"ping").await?;
        ends.backend.write_all(b"pong").await?;
        ends.until_received().await?;
        ends.splice(sockmap);
        let (mut at_client, mut at_backend) = ([0; 4], [0; 4]);
        let both = async {
            ends.client.read_exact(&mut at_client).await?;
            ends.backend.read_exact(&mut at_backend).await
        };
        let arrived = timeout(QUIET * 10, both).await;
        arrived.with_context(|| format!("they did not arrive, in connection {n}"))??;
        ensure!((&at_client, &at_backend) == (b"pong", b"ping"), "others arrived");
    }
    Ok(())
}

/// The kernel takes no socket whose peer has ended: then user space carries both ways.
async fn ended_early(sockmap: &Arc<Sockmap>) -> anyhow::Result<()> {
    let mut ends = Ends::open().await?;
    Pattern::new(8).send(&mut ends.client, FEW).await?;
    ends.until_client_ended().await?;
    ends.splice(sockmap);
    Pattern::new(8).expect(&mut ends.backend, FEW).await?;
    Pattern::new(9).send(&mut ends.backend, FEW).await?;
    Pattern::new(9).expect(&mut ends.client, FEW).await?;
    ends.end_well().await?;

    let mut ends = Ends::open().await?;
    Pattern::new(9).send(&mut ends.backend, FEW).await?;
    ends.until_backend_ended().await?;
    ends.splice(sockmap);
    Pattern::new(9).expect(&mut ends.client, FEW).await?;
    Pattern::new(8).send(&mut ends.client, FEW).await?;
    Pattern::new(8).expect(&mut ends.backend, FEW).await?;
    ends.end_well().await
}

async fn both_ways(sockmap: &Arc<Sockmap>) -> anyhow::Result<()> {
    let mut ends = Ends::spliced(sockmap).await?;
    pattern::both_ways(&mut ends.client, &mut ends.backend, BULK).await?;
    ends.end_well().await
}

/// The sender is throttled while the memory for what it has sent is bounded, and nothing is lost.
async fn stalled_reader(sockmap: &Arc<Sockmap>) -> anyhow::Result<()> {
    let mut ends = Ends::narrow(sockmap).await?;
    let sent = Pattern::new(3).fill(&mut ends.client, BULK, QUIET).await?;
    in_flight(sent, &ends.client, &ends.backend)?;
    ends.client.shutdown().await?;
    Pattern::new(3).expect(&mut ends.backend, sent).await?;
    ends.backend.shutdown().await?;
    ends.end_well().await
}

async fn congested_both_ways(sockmap: &Arc<Sockmap>) -> anyhow::Result<()> {
    let mut ends = Ends::narrow(sockmap).await?;
    let (up, down) = tokio::try_join!(
        Pattern::new(4).fill(&mut ends.client, BULK, QUIET),
        Pattern::new(5).fill(&mut ends.backend, BULK, QUIET),
    )?;
    in_flight(up, &ends.client, &ends.backend)?;
    in_flight(down, &ends.backend, &ends.client)?;
    ends.client.shutdown().await?;
    ends.backend.shutdown().await?;
    tokio::try_join!(
        Pattern::new(4).expect(&mut ends.backend, up),
        Pattern::new(5).expect(&mut ends.client, down),
    )?;
    ends.end_well().await
}

/// What one end is rid of and the other has not got.
fn in_flight(sent: u64, from: &TcpStream, to: &TcpStream) -> anyhow::Result<()> {
    let left = sent.saturating_sub(tcp::unacknowledged(from)?);
    let between = left.saturating_sub(tcp::unread(to)?);
    tracing::debug!(sent, between, "the sender is throttled");
    ensure!(
        between <= IN_FLIGHT,
        "{between} bytes are kept for a reader that stalls, more than {IN_FLIGHT}"
    );
    Ok(())
}

async fn half_close(sockmap: &Arc<Sockmap>) -> anyhow::Result<()> {
    let mut ends = Ends::spliced(sockmap).await?;
    ends.client.write_all(b"question").await?;
    // Until it has arrived, so that the FIN comes in a segment of its own.
    let mut question = [0; 8];
    ends.backend.read_exact(&mut question).await?;
    ends.client.shutdown().await?;
    ensure!(ends.backend.read(&mut question).await? == 0, "more arrives than was sent");
    tokio::try_join!(
        Pattern::new(6).send(&mut ends.backend, SMALL),
        Pattern::new(6).expect(&mut ends.client, SMALL),
    )?;
    ends.end_well().await
}

/// The end comes behind the last byte, however much waits.
async fn end(sockmap: &Arc<Sockmap>) -> anyhow::Result<()> {
    for n in 0..ENDINGS {
        let mut ends = Ends::narrow(sockmap).await?;
        let seed = u64::from(10 + n);
        let sent = Pattern::new(seed).fill(&mut ends.client, LARGE, QUIET / 3).await?;
        ends.client.shutdown().await?;
        ends.backend.shutdown().await?;
        // The appliance learns of the end while it still has bytes.
        ensure!(ends.client.read(&mut [0]).await? == 0, "bytes from nowhere");
        Pattern::new(seed).expect(&mut ends.backend, sent).await?;
        ends.end_well().await?;
    }
    Ok(())
}
