//! Segments that no stack would send, but retransmissions come to look like: parts of them have
//! arrived before.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use nix::libc::IPPROTO_RAW;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::ends::Ends;
use crate::{
    datapath::{
        kernel::reset::segment::{ACK, Segment},
        pattern::Pattern,
        sockmap::Sockmap,
    },
    tcp,
};

const SENT: usize = 1_000;
const ALL: usize = 24_000;
const SOON: Duration = Duration::from_secs(3);

/// What comes after the client's own bytes, from where to where. The third fills the gap before the
/// second and overlaps it on both sides; the last has more old bytes than can be cut off at once.
const CRAFTED: [(usize, usize); 6] =
    [(500, 1_400), (1_700, 2_000), (1_200, 1_800), (1_000, 18_000), (17_999, 18_000), (2_000, ALL)];

pub async fn overlap(sockmap: &Arc<Sockmap>) -> anyhow::Result<()> {
    let mut ends = Ends::spliced(sockmap).await?;
    let bytes = Pattern::start(7, ALL);
    let mut got = vec![0; ALL];
    ends.client.write_all(&bytes[..SENT]).await?;
    ends.backend.read_exact(&mut got[..SENT]).await?;

    let (send, receive) = tcp::sequences(&ends.client).context("asking for sequence numbers")?;
    let forger =
        Forger { ends: [ends.client.local_addr()?, ends.client.peer_addr()?], raw: raw()? };
    let first = send.wrapping_sub(u32::try_from(SENT)?);
    for (from, to) in CRAFTED {
        let sequence = first.wrapping_add(u32::try_from(from)?);
        forger.send(sequence, receive, &bytes[from..to])?;
    }
    let rest = timeout(SOON, ends.backend.read_exact(&mut got[SENT..])).await;
    rest.context("not all of the bytes arrived")??;
    ensure!(got == bytes, "bytes that came twice were delivered twice");
    Ok(())
}

/// Sends in the name of the client.
struct Forger {
    /// From, to.
    ends: [SocketAddr; 2],
    raw: Socket,
}

impl Forger {
    fn send(&self, sequence: u32, acknowledgement: u32, payload: &[u8]) -> anyhow::Result<()> {
        let [from, to] = self.ends;
        let segment = Segment { sequence, acknowledgement, flags: ACK, window: u16::MAX, payload };
        let packet = segment.packet(from, to).context("a packet")?;
        // The packet names the port; a raw socket has none.
        let sent = self.raw.send_to(&packet, &SocketAddr::new(to.ip(), 0).into());
        sent.context("sending a segment").map(drop)
    }
}

/// With this protocol the kernel takes the IP header as it is.
fn raw() -> anyhow::Result<Socket> {
    let protocol = Some(Protocol::from(IPPROTO_RAW));
    Socket::new(Domain::IPV4, Type::RAW, protocol).context("opening a raw socket (CAP_NET_RAW)")
}
