//! Connections on which both ends speak and both check every byte. How much each says, in what parts
//! and with what pauses, who begins and who ends first is left to the dice.
//!
//! Each end announces what it is about to say, so that the other knows the end of it from one that
//! came too early.

mod speech;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};

use self::speech::{Speech, hear};
use crate::service::Counters;

/// Of one connection, whatever its pauses.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the dice may come to.
#[derive(Clone, Copy, Debug)]
pub struct Banter {
    /// Bytes that each end says, at most; small ones are more frequent.
    pub most: u32,
    /// Before an end begins and, now and then, between two parts of what it says.
    pub pause: Duration,
}

impl Default for Banter {
    fn default() -> Self {
        Self { most: 400_000, pause: Duration::from_millis(20) }
    }
}

/// How a connection ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Nobody has taken it.
    Refused,
    /// By an error, which is what its ends must see.
    Error(io::ErrorKind),
    /// As if that had been all.
    CutShort { heard: u64, announced: u64 },
    /// Other bytes than were sent.
    Wrong { after: u64 },
    /// Not at all, in a minute.
    Stalled,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Error(error.kind())
    }
}

/// What became of many.
#[derive(Clone, Debug, Default)]
pub struct Banters {
    /// Bytes of each that went right to the end of it, both ways together.
    pub whole: Vec<u64>,
    pub broken: Vec<Broken>,
}

impl Banters {
    /// How many of those that went right have moved so many bytes.
    pub fn above(&self, bytes: u64) -> usize {
        self.whole.iter().filter(|moved| **moved >= bytes).count()
    }

    fn add(mut self, ended: Result<u64, Broken>) -> Self {
        match ended {
            Ok(bytes) => self.whole.push(bytes),
            Err(broken) => self.broken.push(broken),
        }
        self
    }
}

/// One connection for each of these, so many at a time; what is in them is said before all else.
pub(crate) async fn all(
    to: SocketAddr,
    openings: Vec<Vec<u8>>,
    at_a_time: usize,
    banter: Banter,
) -> Banters {
    let each = openings.into_iter().map(|opening| async move {
        let ended = timeout(PATIENCE, one(to, &opening, banter)).await;
        ended.unwrap_or(Err(Broken::Stalled))
    });
    let ended = stream::iter(each).buffer_unordered(at_a_time);
    ended.fold(Banters::default(), async |sum, ended| sum.add(ended)).await
}

async fn one(to: SocketAddr, opening: &[u8], banter: Banter) -> Result<u64, Broken> {
    let mut stream = match TcpStream::connect(to).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(Broken::Refused);
        }
        connected => connected?,
    };
    stream.set_nodelay(true)?;
    let mut dice = fastrand::Rng::new();
    let is_patient = dice.bool();
    let speech = Speech::throw(banter, is_patient || dice.bool(), &mut dice);
    both(&mut stream, opening, speech, !is_patient, &mut dice).await
}

/// Of whoever connects, until its end.
pub(crate) async fn serve(mut stream: TcpStream, counters: Arc<Counters>) {
    let mut dice = fastrand::Rng::new();
    let speech = Speech::throw(Banter::default(), false, &mut dice);
    let ended = match stream.set_nodelay(true) {
        Ok(()) => both(&mut stream, &[], speech, false, &mut dice).await,
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(_) => counters.heard.send_modify(|heard| heard.whole += 1),
        // A probe says nothing, and who sees an error knows.
        Err(Broken::Error(_) | Broken::CutShort { announced: 0, .. }) => {}
        Err(broken) => {
            tracing::warn!("a connection ended wrongly: {broken}");
            counters.heard.send_modify(|heard| heard.torn += 1);
        }
    }
}

/// `may_end`: our side, as soon as it has said everything; else once the other lets it. Payload
/// bytes of both.
async fn both(
    stream: &mut TcpStream,
    opening: &[u8],
    speech: Speech,
    may_end: bool,
    dice: &mut fastrand::Rng,
) -> Result<u64, Broken> {
    let (let_end, mut is_let) = watch::channel(may_end);
    let (mut reader, mut writer) = stream.split();
    let speaking = async {
        sleep(speech.pause(dice)).await;
        speech.say(&mut writer, opening, dice).await?;
        // The other half lives for as long as this one.
        is_let.wait_for(|is_let| *is_let).await.ok();
        Ok(writer.shutdown().await?)
    };
    match tokio::try_join!(speaking, hear(&mut reader, &let_end)) {
        Ok(((), heard)) => Ok(heard + u64::from(speech.length)),
        Err(broken) => {
            // It is not to look like an end.
            stream.set_zero_linger()?;
            Err(broken)
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    use super::*;

    const SMALL: Banter = Banter { most: 20_000, pause: Duration::from_millis(1) };

    /// Serves one connection, by way of somebody who lets so many bytes through to the client.
    async fn through(most: u64, change: u8) -> Result<u64, Broken> {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let between = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let (to, by) = (server.local_addr().expect("bound"), between.local_addr().expect("bound"));
        let serving = async {
            let (stream, _) = server.accept().await.expect("a connection");
            serve(stream, Arc::default()).await;
        };
        let passing = async {
            let (mut client, _) = between.accept().await.expect("a connection");
            let mut server = TcpStream::connect(to).await.expect("the server");
            let (mut from, mut into) = server.split();
            let mut said = vec![0; most as usize];
            from.read_exact(&mut said).await.expect("so many bytes");
            *said.last_mut().expect("some") ^= change;
            client.write_all(&said).await.expect("written");
            client.shutdown().await.expect("ended");
            into.shutdown().await.ok();
            // What is left unread would make a reset of the end.
            client.read_to_end(&mut Vec::new()).await.ok();
        };
        let client = tokio::spawn(async move { one(by, &[], SMALL).await });
        tokio::select! {
            () = async { tokio::join!(serving, passing); } => {}
            () = sleep(PATIENCE) => {}
        }
        client.await.expect("no panic")
    }

    #[tokio::test]
    async fn each_end_hears_what_the_other_has_said() {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let to = server.local_addr().expect("bound");
        let counters = Arc::<Counters>::default();
        let theirs = counters.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = server.accept().await {
                tokio::spawn(serve(stream, theirs.clone()));
            }
        });
        let ended = all(to, vec![Vec::new(); 30], 10, SMALL).await;
        assert_eq!((ended.whole.len(), ended.broken.as_slice()), (30, [].as_slice()));
    }

    #[tokio::test]
    async fn an_end_that_comes_too_early_is_none() {
        let broken = through(Speech::HEADER as u64, 0).await.expect_err("cut short");
        assert!(matches!(broken, Broken::CutShort { heard: 0, announced: 1.. }), "{broken}");
    }

    #[tokio::test]
    async fn another_byte_is_found() {
        let broken = through(Speech::HEADER as u64 + 1, 1).await.expect_err("a wrong byte");
        assert_eq!(broken, Broken::Wrong { after: 0 });
    }
}
