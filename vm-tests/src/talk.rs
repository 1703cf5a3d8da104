//! Conversations over bare TCP in which both sides speak at once, and the server has the last word:
//! it greets whoever connects, and when the client has ended its side it says what it has heard, and
//! then as many bytes as it was asked for.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Barrier,
};

use crate::service::Counters;

const GREETING: usize = 3000;

/// What a client says, in bytes, and what it asks for.
#[derive(Clone, Copy, Debug)]
pub struct Topic {
    pub said: usize,
    pub last_word: u32,
}

pub(crate) async fn serve(stream: TcpStream, counters: Arc<Counters>) {
    // Who ends without a word is a probe, and who breaks off knows it.
    if let Err(error) = answer(stream, &counters).await {
        tracing::debug!("a conversation broke off: {error}");
    }
}

async fn answer(mut stream: TcpStream, counters: &Counters) -> io::Result<()> {
    let mut heard = Vec::new();
    let (mut reader, mut writer) = stream.split();
    let greeting = bytes(GREETING);
    tokio::try_join!(reader.read_to_end(&mut heard), writer.write_all(&greeting))?;
    let Some(last_word) = heard.last_chunk() else { return Ok(()) };
    counters.connections.fetch_add(1, Relaxed);
    let last_word = bytes(u32::from_be_bytes(*last_word) as usize);
    stream.write_all(&[heard, last_word].concat()).await?;
    stream.shutdown().await
}

/// So many at once: none ends its side before all have been greeted.
pub(crate) async fn together(to: SocketAddr, count: usize, topic: Topic) -> anyhow::Result<()> {
    let all_are_greeted = Arc::new(Barrier::new(count));
    let talks = (0..count).map(|number| {
        let greeted = all_are_greeted.clone();
        async move {
            let talked = talk(to, topic, &greeted).await;
            talked.with_context(|| format!("conversation {number} of {count}"))
        }
    });
    try_join_all(talks).await.map(drop)
}

async fn talk(to: SocketAddr, topic: Topic, all_are_greeted: &Barrier) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(to).await.context("connecting")?;
    let said = [bytes(topic.said), topic.last_word.to_be_bytes().to_vec()].concat();
    let mut greeting = vec![0; GREETING];
    let (mut reader, mut writer) = stream.split();
    tokio::try_join!(writer.write_all(&said), reader.read_exact(&mut greeting))?;
    ensure!(greeting == bytes(GREETING), "it was greeted otherwise");
    all_are_greeted.wait().await;

    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.context("hearing the last word")?;
    let wanted = [said, bytes(topic.last_word as usize)].concat();
    ensure!(answer.len() == wanted.len(), "{} bytes came of {}", answer.len(), wanted.len());
    ensure!(answer == wanted, "as many bytes as there should be, and others");
    Ok(())
}

/// A prime number of values: a packet, buffer or page in the wrong place is seen.
fn bytes(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}
