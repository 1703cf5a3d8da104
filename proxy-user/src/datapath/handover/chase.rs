//! One connection on its way into the flow table: relayed as any other, put on record when it is worth
//! it, and armed at moments when user space holds nothing of it. The program takes it over when
//! nothing is on its way at all; bulk that never comes to that has its windows shut for a moment.

mod state;

use std::{
    future::{Future as _, poll_fn},
    io::{self, ErrorKind},
    pin::Pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll, ready},
    time::Duration,
};

use proxy_common::flow::Direction;
use socket2::SockRef;
use tokio::{
    net::TcpStream,
    sync::oneshot,
    time::{Instant, Sleep, sleep},
};

use self::state::{EMPTY_AT_LAST, EMPTY_SOON, FIRST_LOOK, LOOKS, Rests, SHUT_AT, State};
use super::{
    Handover, Obstacle, Outcome, Passage,
    legs::Legs,
    windows::{Sockets, promise_little, reopen, shut, widen},
};
use crate::{
    datapath::{
        account::Account,
        kernel::MARK,
        relay::{Manner, Pair, Relay, relay},
        tally::{Failure, Open},
    },
    tcp::Repair,
};

pub struct Chase<'a> {
    handover: &'a Handover,
    account: &'a Account,
    /// Before the passage: its sockets are closed while their record is still there.
    relay: Relay<'a>,
    passage: Passage,
    state: State,
    /// While it is [`State::Recorded`].
    grace: Option<oneshot::Receiver<()>>,
    timer: Pin<Box<Sleep>>,
    rests: Rests,
    /// Tells a connection that ended early from one that found no moment.
    obstacle: Obstacle,
    _pending: Open<'a>,
}

impl<'a> Chase<'a> {
    pub fn new(
        handover: &'a Handover,
        passage: Passage,
        pair: Pair,
        account: &'a Account,
        manner: &'a Manner,
    ) -> Self {
        Self {
            handover,
            passage,
            account,
            relay: relay(pair, account, manner).with_queues_held(),
            state: State::Young,
            grace: None,
            timer: Box::pin(sleep(handover.after.age)),
            rests: Rests::begin(),
            obstacle: Obstacle::Short,
            _pending: Open::count(&handover.counts.pending),
        }
    }

    pub async fn run(mut self) -> Result<Outcome, Failure> {
        let ended = poll_fn(|context| self.poll(context)).await;
        if self.passage.is_handed_over() {
            return Ok(self.leave());
        }
        self.handover.counts.relayed(self.obstacle);
        ended.map(|()| Outcome::Ended)
    }

    /// Ready when the relay has ended, or the program has taken over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Poll::Ready(ended) = Pin::new(&mut self.relay).poll(context) {
            return Poll::Ready(ended);
        }
        loop {
            let is_due = self.timer.as_mut().poll(context).is_ready();
            let next = match self.state {
                State::Young if is_due || self.has_moved_enough() => self.grow(),
                State::Recorded => match self.poll_grace(context) {
                    Poll::Ready(next) => next,
                    Poll::Pending => return Poll::Pending,
                },
                State::Ready { is_shut } => match self.arm(is_shut) {
                    Some(next) => next,
                    None if is_due => self.wait_until_empty(is_shut),
                    None => return Poll::Pending,
                },
                State::Armed { .. } if is_due && self.passage.is_handed_over() => {
                    return Poll::Ready(Ok(()));
                }
                State::Armed { looks, moved, is_shut } if is_due => {
                    self.look_again(looks, moved, is_shut)
                }
                State::Resting if is_due => self.make_ready(),
                _ => return Poll::Pending,
            };
            self.state = next;
        }
    }

    fn sockets(&self) -> Sockets<'_> {
        self.relay.streams().into()
    }

    fn moved(&self) -> u64 {
        self.account.total(Direction::ToBackend) + self.account.total(Direction::ToClient)
    }

    fn has_moved_enough(&self) -> bool {
        self.moved() >= self.handover.after.bytes || self.handover.is_urgent.load(Relaxed)
    }

    fn wake_after(&mut self, pause: Duration) {
        self.timer.as_mut().reset(Instant::now() + pause);
    }

    /// `None`: not while user space holds something.
    fn arm(&mut self, is_shut: bool) -> Option<State> {
        let Some((client, backend)) = self.relay.while_empty() else {
            return self.relay.is_ending().then(|| self.give_up(self.obstacle));
        };
        if let Err(error) = arm(&self.passage, client, backend) {
            tracing::debug!("a connection cannot be armed: {error}");
            return Some(self.give_up(match error.kind() {
                ErrorKind::NotConnected => Obstacle::Short,
                _ => Obstacle::Repair,
            }));
        }
        self.handover.counts.armed.fetch_add(1, Relaxed);
        self.obstacle = Obstacle::Busy;
        self.wake_after(FIRST_LOOK);
        Some(State::Armed { looks: 0, moved: self.moved(), is_shut })
    }

    /// From now on what all four say is on record.
    fn grow(&mut self) -> State {
        if self.relay.is_ending() {
            return self.give_up(Obstacle::Short);
        }
        match self.enter() {
            Ok(()) => {
                self.grace = Some(self.handover.graces.next());
                State::Recorded
            }
            Err(obstacle) => self.give_up(obstacle),
        }
    }

    /// An agent that dies while it asks its sockets, which takes some microseconds, leaves one silent
    /// of which the next agent does not know: its end hears of it when it says something.
    fn enter(&mut self) -> Result<(), Obstacle> {
        let (client, backend) = self.relay.streams();
        let legs = Legs::of(&self.passage, client, backend)?;
        for stream in [client, backend] {
            SockRef::from(stream).set_mark(MARK).map_err(|_| Obstacle::Repair)?;
        }
        promise_little([client, backend]).map_err(|_| Obstacle::Repair)?;
        self.passage.enter(&legs).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Obstacle::Occupied,
            _ => Obstacle::TableFull,
        })
    }

    fn poll_grace(&mut self, context: &mut Context<'_>) -> Poll<State> {
        let over = match &mut self.grace {
            Some(grace) => ready!(Pin::new(grace).poll(context)).is_ok(),
            None => false,
        };
        self.grace = None;
        Poll::Ready(if over { self.ready() } else { self.give_up(Obstacle::NoGrace) })
    }

    fn look_again(&mut self, looks: u32, moved: u64, is_shut: bool) -> State {
        if looks == LOOKS {
            // What is promised cannot be taken back: a quiet connection is to have no more than the
            // other end takes, or it would stay on the relay for good.
            if is_shut {
                widen(self.sockets());
            }
            return self.rest();
        }
        let is_busy = looks >= SHUT_AT && self.moved() != moved;
        if is_busy {
            shut(self.sockets());
        }
        self.wake_after(FIRST_LOOK * (1 << looks));
        State::Armed { looks: looks + 1, moved, is_shut: is_shut || is_busy }
    }

    /// More comes than goes, if only because somebody reads slowly: that will be so again.
    fn wait_until_empty(&mut self, is_shut: bool) -> State {
        self.obstacle = Obstacle::Busy;
        if is_shut {
            reopen(self.sockets());
            return self.rest();
        }
        shut(self.relay.sources());
        self.wake_after(EMPTY_AT_LAST);
        State::Ready { is_shut: true }
    }

    fn rest(&mut self) -> State {
        let pause = self.rests.next();
        self.wake_after(pause);
        State::Resting
    }

    fn ready(&mut self) -> State {
        self.wake_after(EMPTY_SOON);
        State::Ready { is_shut: false }
    }

    fn give_up(&mut self, obstacle: Obstacle) -> State {
        self.obstacle = obstacle;
        widen(self.sockets());
        State::GivenUp
    }

    /// The next attempt may begin.
    fn make_ready(&mut self) -> State {
        if let Err(error) = promise_little(self.sockets()) {
            tracing::debug!("a connection cannot be made ready: {error}");
            return self.give_up(Obstacle::Repair);
        }
        self.ready()
    }

    /// The sockets have nothing more to do, and nothing to say.
    fn leave(self) -> Outcome {
        for stream in self.sockets() {
            // One that cannot be silenced is kept from the wire by the guard.
            let _silent = Repair::begin(stream).map(Repair::keep);
        }
        self.passage.disarm();
        self.handover.counts.handed_over.fetch_add(1, Relaxed);
        Outcome::HandedOver(self.passage)
    }
}

/// Leaving repair mode, each socket probes its peer: the answer is mostly the packet with which the
/// program takes over.
fn arm(passage: &Passage, client: &TcpStream, backend: &TcpStream) -> io::Result<()> {
    let (client, backend) = (Repair::begin(client)?, Repair::begin(backend)?);
    passage.arm(client.numbers()?, backend.numbers()?)
}
