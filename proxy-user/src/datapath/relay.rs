//! Moves bytes between two connections until both ways have ended, and passes on how they end: a
//! FIN as a FIN once the last byte was taken, anything else as a reset of both.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use proxy_common::flow::Direction;
use tokio::net::TcpStream;

use self::{lane::Lane, patience::Patience, way::Way};
use super::{account::Account, socket, tally::Failure};

mod lane;
mod patience;
mod pipes;
mod way;

pub use self::pipes::Pipes;

/// A connection's two streams, as a relay, or what is faster, takes them over. Both must close by a
/// reset until [`socket::close_in_peace`].
pub struct Pair {
    pub client: TcpStream,
    pub backend: TcpStream,
    /// Read from the client, and still to be written to the backend before all that follows.
    pub unsent: Vec<u8>,
}

/// What the relays of a process have in common.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Once one way has ended, the other must move something within this time.
    pub half_closed: Duration,
    pub pipes: Arc<Pipes>,
}

/// From so many bytes on, both streams' queues are kept from growing, and have all that they may: of
/// the client's by then, if it was to be handed over and cannot be. Most connections never come so far.
const BULK: u64 = 256 * 1024;

/// Unless all ends well, both streams are reset as they are dropped here.
pub fn relay<'a>(pair: Pair, account: &'a Account, manner: &'a Manner) -> Relay<'a> {
    let Pair { client, backend, unsent } = pair;
    let (up, down) = (Way::holding(unsent), Way::holding(Vec::new()));
    Relay { client, backend, up, down, is_bounded: false, patience: None, account, manner }
}

/// A hand-written future: an idle connection is to be small, and `async` would keep what each of
/// its steps needs.
pub struct Relay<'a> {
    client: TcpStream,
    backend: TcpStream,
    up: Way,
    down: Way,
    is_bounded: bool,
    /// While one way has ended and the other has not.
    patience: Option<Patience>,
    account: &'a Account,
    manner: &'a Manner,
}

impl Future for Relay<'_> {
    type Output = Result<(), Failure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let relay = self.get_mut();
        relay.bound_bulk()?;
        match (relay.poll_up(context)?, relay.poll_down(context)?) {
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(relay.close_in_peace()),
            (Poll::Ready(()), Poll::Pending) => relay.wait_for(Direction::ToClient, context),
            (Poll::Pending, Poll::Ready(())) => relay.wait_for(Direction::ToBackend, context),
        }
    }
}

impl Relay<'_> {
    /// The streams' queues are the caller's to bound.
    pub const fn with_queues_held(mut self) -> Self {
        self.is_bounded = true;
        self
    }

    /// Where what user space holds has come from.
    pub fn sources(&self) -> impl Iterator<Item = &TcpStream> {
        let ways = [(&self.up, &self.client), (&self.down, &self.backend)];
        ways.into_iter().filter(|(way, _)| !way.is_empty()).map(|(_, source)| source)
    }

    /// Both streams, if user space holds nothing of what they have carried and neither way has ended.
    pub fn while_empty(&self) -> Option<(&TcpStream, &TcpStream)> {
        (self.up.is_empty() && self.down.is_empty()).then(|| self.streams())
    }

    /// The client's and the backend's.
    pub const fn streams(&self) -> (&TcpStream, &TcpStream) {
        (&self.client, &self.backend)
    }

    pub const fn is_ending(&self) -> bool {
        self.up.has_ended() || self.down.has_ended()
    }

    fn poll_up(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut lane = Lane {
            from: &mut self.client,
            to: &mut self.backend,
            from_broke: Failure::ClientBroke,
            to_broke: Failure::BackendBroke,
            direction: Direction::ToBackend,
            account: self.account,
            pipes: &self.manner.pipes,
            is_last: self.down.has_ended(),
        };
        self.up.poll(&mut lane, context)
    }

    fn poll_down(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut lane = Lane {
            from: &mut self.backend,
            to: &mut self.client,
            from_broke: Failure::BackendBroke,
            to_broke: Failure::ClientBroke,
            direction: Direction::ToClient,
            account: self.account,
            pipes: &self.manner.pipes,
            is_last: self.up.has_ended(),
        };
        self.down.poll(&mut lane, context)
    }

    fn bound_bulk(&mut self) -> Result<(), Failure> {
        let moved =
            self.account.total(Direction::ToBackend) + self.account.total(Direction::ToClient);
        if !self.is_bounded && moved >= BULK {
            self.is_bounded = true;
            socket::bound_open(&self.client).map_err(|_| Failure::ClientBroke)?;
            socket::bound_open(&self.backend).map_err(|_| Failure::BackendBroke)?;
        }
        Ok(())
    }

    /// The other way has ended.
    fn wait_for(
        &mut self,
        left: Direction,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        let moved = self.account.total(left);
        let half_closed = self.manner.half_closed;
        let patience = self.patience.get_or_insert_with(|| Patience::new(half_closed, moved));
        ready!(patience.poll_end(moved, context));
        Poll::Ready(Err(Failure::HalfClosedTooLong))
    }

    fn close_in_peace(&self) -> Result<(), Failure> {
        socket::close_in_peace(&self.client).map_err(|_| Failure::ClientBroke)?;
        socket::close_in_peace(&self.backend).map_err(|_| Failure::BackendBroke)
    }
}

#[cfg(test)]
mod tests;
