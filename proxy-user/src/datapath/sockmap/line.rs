//! Both directions of one spliced connection.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use proxy_common::{flow::Direction, splice::Ledger};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{interval, sleep, timeout},
};

use super::{
    Entered, Sockmap,
    way::{Listed, Meter, Side, Way},
};
use crate::{
    datapath::{account::Account, relay::Pair, socket, tally::Failure},
    tcp,
};

/// How old the byte counts of a connection may be that the program carries.
const SAMPLE: Duration = Duration::from_secs(5);

/// For bytes that the kernel has already been given.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub struct Line<'a> {
    pair: Pair,
    from_client: Listed<'a>,
    from_backend: Listed<'a>,
    bases: [u64; 2],
}

/// Before the sockets are in the map: nothing may be redirected in front of it.
pub async fn send_first(pair: &mut Pair, account: &Account) -> Result<(), Failure> {
    let unsent = std::mem::take(&mut pair.unsent);
    pair.backend.write_all(&unsent).await.map_err(|_| Failure::BackendBroke)?;
    account.moved(Direction::ToBackend, unsent.len() as u64);
    Ok(())
}

impl<'a> Line<'a> {
    pub fn new(sockmap: &'a Sockmap, pair: Pair, entered: &Entered) -> Self {
        let Entered { client, backend, is_backend_judged, bases } = *entered;
        let from_client = Listed { sockmap, source: client, is_judged: true };
        let from_backend = Listed { sockmap, source: backend, is_judged: is_backend_judged };
        Self { pair, from_client, from_backend, bases }
    }

    /// Unless all ends well, both streams are reset as they are dropped here. Once one way has
    /// ended, the other must move something within `half_closed`.
    pub async fn carry(self, account: &Account, half_closed: Duration) -> Result<(), Failure> {
        self.carry_both(account, half_closed).await?;
        socket::close_in_peace(&self.pair.client).map_err(|_| Failure::ClientBroke)?;
        socket::close_in_peace(&self.pair.backend).map_err(|_| Failure::BackendBroke)
    }

    async fn carry_both(&self, account: &Account, half_closed: Duration) -> Result<(), Failure> {
        let sent = meter(&self.from_client, account, Direction::ToBackend);
        let received = meter(&self.from_backend, account, Direction::ToClient);
        let waits = [AtomicBool::new(false), AtomicBool::new(false)];
        let [up_waits, down_waits] = &waits;
        let (mut up, mut down) =
            (self.way(&sent, up_waits, down_waits), self.way(&received, down_waits, up_waits));
        let (mut up, mut down) = (pin!(up.run()), pin!(down.run()));
        tokio::select! {
            ended = &mut up => {
                if ended == Err(Failure::BackendBroke) && received.has_ended.load(Relaxed) {
                    self.last_words(down.as_mut(), &self.pair.client).await?;
                }
                ended?;
                while_it_moves(down, &received, half_closed).await
            }
            ended = &mut down => {
                if ended == Err(Failure::ClientBroke) && sent.has_ended.load(Relaxed) {
                    self.last_words(up.as_mut(), &self.pair.backend).await?;
                }
                ended?;
                while_it_moves(up, &sent, half_closed).await
            }
            never = sample([&sent, &received]) => never,
        }
    }

    /// Of one who has ended and then takes no more: what it said before still arrives, and its end
    /// as an end.
    async fn last_words<F>(&self, way: Pin<&mut F>, to: &TcpStream) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>>,
    {
        if let Ok(ended) = timeout(LAST_WORDS, way).await {
            ended?;
            return socket::close_in_peace(to).map_err(|_| Failure::SpliceBroke);
        }
        Ok(())
    }

    fn way<'b>(
        &'b self,
        meter: &'b Meter<'b>,
        waits: &'b AtomicBool,
        other_waits: &'b AtomicBool,
    ) -> Way<'b> {
        let client = Side { stream: &self.pair.client, broke: Failure::ClientBroke };
        let backend = Side { stream: &self.pair.backend, broke: Failure::BackendBroke };
        let [client_base, backend_base] = self.bases;
        let (from, to, base) = match meter.direction {
            Direction::ToBackend => (client, backend, backend_base),
            Direction::ToClient => (backend, client, client_base),
        };
        let ledger = Ledger::default();
        Way { from, to, listed: meter.listed, meter, base, waits, other_waits, read: 0, ledger }
    }
}

fn meter<'a>(listed: &'a Listed<'a>, account: &'a Account, direction: Direction) -> Meter<'a> {
    Meter { account, direction, listed, redirected: 0.into(), has_ended: false.into() }
}

/// For the status; what is left is counted at the end.
async fn sample(meters: [&Meter<'_>; 2]) -> Result<(), Failure> {
    let mut ticks = interval(SAMPLE);
    loop {
        ticks.tick().await;
        for meter in meters {
            meter.total();
        }
    }
}

async fn while_it_moves<F>(
    mut way: Pin<&mut F>,
    meter: &Meter<'_>,
    patience: Duration,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    loop {
        let before = meter.total();
        tokio::select! {
            ended = &mut way => return ended,
            () = sleep(patience) => {
                if meter.total() == before {
                    return Err(Failure::HalfClosedTooLong);
                }
            }
        }
    }
}

/// What both have taken: client, backend. Asked before they are in the map.
pub fn bases(pair: &Pair) -> Result<[u64; 2], &'static str> {
    let of = |stream| tcp::taken(stream).map_err(|_| "not_prepared");
    Ok([of(&pair.client)?, of(&pair.backend)?])
}
