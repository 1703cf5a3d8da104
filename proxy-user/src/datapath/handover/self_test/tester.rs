//! Client and backend of the self-test, and what must be true of the bytes between them.

use std::{io::ErrorKind, process::Stdio, time::Duration};

use anyhow::{Context as _, bail, ensure};
use aya::maps::{Map, MapData};
use nix::{
    mount::{MsFlags, mount},
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
};
use proxy_common::{
    LAYOUT,
    flow::FlowKey,
    track::{Stage, Track},
};
use rtnetlink::LinkUnspec;
use socket2::SockRef;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::Child,
    time::{Instant, sleep, timeout},
};

use super::{BACKEND, INTERFACE, LISTEN, PINS, Role, start};
use crate::datapath::{
    kernel::{BPFFS, table::Table},
    pattern,
};

/// For the owner, whose programs a verifier reads: seconds on a slow machine.
const LOADING: Duration = Duration::from_secs(50);
const PATIENCE: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(1);
const BULK: u64 = 4 << 20;

/// The PROXY header of a connection from 10.0.0.1:51200 to 10.0.0.2:443.
const HEADER: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x0a\0\0\x02\xc8\0\x01\xbb";
const QUESTION: &[u8] = b"question";
const ANSWER: &[u8] = b"the answer";

/// Of the loopback interface and of pinned maps nobody else has the same.
pub fn enter_namespaces() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .context("no namespaces of its own")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).context("private mounts")?;
    mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), None::<&str>).context("a bpffs")
}

pub async fn test() -> anyhow::Result<()> {
    raise_loopback().await.context("raising the loopback interface")?;
    let backend = TcpListener::bind(BACKEND).await.context("the backend")?;
    let mut owner = start(Role::Owner, Stdio::piped())?;
    until_it_listens(&mut owner).await?;
    let (first, second) = (Ends::open(&backend).await?, Ends::open(&backend).await?);
    until_handed_over(2).await?;
    owner.kill().await.context("killing the owner")?;
    let finished = timeout(PATIENCE, first.bulk_and_end()).await;
    finished.context("bulk without the owner: stalled")?.context("bulk without the owner")?;
    let reset = timeout(PATIENCE, second.reset()).await;
    reset.context("a reset without the owner: stalled")?.context("a reset without the owner")
}

async fn raise_loopback() -> anyhow::Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    let index = if_nametoindex(INTERFACE)?;
    handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await?;
    // The programs serve what the interface has, and not all that it takes.
    Ok(handle.address().add(index, LISTEN.0.into(), 32).execute().await?)
}

/// What it says instead is the reason.
async fn until_it_listens(owner: &mut Child) -> anyhow::Result<()> {
    let mut lines = BufReader::new(owner.stdout.take().context("its output")?).lines();
    match timeout(LOADING, lines.next_line()).await.context("the owner: not listening yet")? {
        Ok(Some(_listening)) => Ok(()),
        _ => {
            let mut said = String::new();
            if let Some(errors) = &mut owner.stderr {
                errors.read_to_string(&mut said).await?;
            }
            bail!("{}", said.lines().last().unwrap_or("the owner ended without a word"))
        }
    }
}

/// There is no signal for it from a process of somebody else's.
async fn until_handed_over(wanted: usize) -> anyhow::Result<()> {
    let pin = format!("{PINS}/layout-{LAYOUT}/TRACKS");
    let tracks: Table<FlowKey, Track> = Map::HashMap(MapData::from_pin(pin)?).try_into()?;
    let end = Instant::now() + PATIENCE;
    loop {
        let stages = tracks.iter().flatten().map(|(_, track)| track.stage);
        let count = stages.filter(|stage| *stage == Stage::HandedOver).count();
        if count == wanted {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{count} of {wanted} connections are handed over");
        sleep(POLL).await;
    }
}

struct Ends {
    client: TcpStream,
    backend: TcpStream,
}

impl Ends {
    /// A question and its answer have passed, and no header.
    async fn open(backend: &TcpListener) -> anyhow::Result<Self> {
        let mut client = TcpStream::connect(LISTEN).await.context("connecting")?;
        client.write_all(&[HEADER, QUESTION].concat()).await?;
        let accepted = timeout(PATIENCE, backend.accept()).await;
        let (mut backend, _) = accepted.context("nothing reaches the backend")??;
        let mut said = [0; QUESTION.len()];
        backend.read_exact(&mut said).await.context("the question")?;
        ensure!(said == QUESTION, "the backend reads {said:?}");
        backend.write_all(ANSWER).await?;
        let mut said = [0; ANSWER.len()];
        client.read_exact(&mut said).await.context("the answer")?;
        ensure!(said == ANSWER, "the client reads {said:?}");
        Ok(Self { client, backend })
    }

    async fn bulk_and_end(mut self) -> anyhow::Result<()> {
        pattern::both_ways(&mut self.client, &mut self.backend, BULK).await
    }

    async fn reset(mut self) -> anyhow::Result<()> {
        SockRef::from(&self.client).set_linger(Some(Duration::ZERO))?;
        drop(self.client);
        match self.backend.read(&mut [0]).await {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            other => bail!("the backend reads {other:?}"),
        }
    }
}
