//! One accepted connection: what it must say first, whether it is let through, where it leads, and
//! the bytes of it until its end.

use std::{
    convert::identity,
    future::Future,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use proxy_common::{config::Events, event::Change};
use tokio::net::TcpStream;

use super::{
    account::{Caller, Led},
    handover::{Connection, Obstacle, Outcome, Passage, Prospect},
    ledger::Entry,
    limits::{Limits, Place, Seat, Source},
    mover::Mover,
    preface::{self, Consumer, Preface, Wants},
    reach::Reached,
    relay::{Manner, Pair},
    routes::{Route, Routes},
    tally::{Failure, Open, Tally},
};
use crate::config::SourceRange;

/// What every connection of a listener needs.
pub struct Carrier {
    pub routes: Routes,
    pub wants: Wants,
    /// Whose connections are taken; everybody's where empty.
    pub sources: Vec<SourceRange>,
    pub limits: Arc<Limits>,
    pub manner: Manner,
    pub flow_log: Events,
    pub tally: Arc<Tally>,
    pub mover: Mover,
}

/// A connection that has none yet.
struct Accepted {
    client: TcpStream,
    peer: SocketAddr,
    listen: SocketAddr,
    prospect: Result<Prospect, Obstacle>,
}

/// A connection that has a backend.
struct Opened {
    pair: Pair,
    entry: Entry,
    place: Place,
    passage: Result<Passage, Obstacle>,
}

impl Carrier {
    /// Before a byte is read: may this one be carried at all?
    pub fn admit(&self, client: SocketAddr) -> Result<Seat, Failure> {
        let is_allowed = |source: &SourceRange| source.contains(client.ip());
        if !self.sources.is_empty() && !self.sources.iter().any(is_allowed) {
            return Err(Failure::SourceRefused);
        }
        self.limits.seat()
    }

    /// `client` was accepted from a socket of [`super::socket::listen`], and so is prepared.
    /// However it ends, the client learns of it: by its FIN, or by a reset.
    pub fn carry(
        self: Arc<Self>,
        client: TcpStream,
        peer: SocketAddr,
        seat: Seat,
        open: impl Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let carrier = self.clone();
        // Boxed, and made before the future that goes on for hours maybe: that keeps the room of
        // whatever it has been given, and what it takes to open a connection is gone by then.
        let opening = Box::pin(async move { carrier.open(client, peer).await });
        async move {
            let _counted = Open::count(&self.tally.open);
            let ended = match opening.await {
                Ok(opened) => self.moved(opened, seat).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = ended {
                self.tally.failed(failure);
                tracing::debug!(reason = failure.as_str(), "a connection failed");
            }
            drop(open);
        }
    }

    /// `opened` is boxed for the same reason.
    async fn moved(&self, opened: Box<Opened>, seat: Seat) -> Result<(), Failure> {
        // As a value of this statement the box is gone with it, and not with the connection.
        let Opened { pair, entry, place, passage } = *identity(opened);
        // What ends first drops the other, and with the relay both streams, which are reset.
        let ended = tokio::select! {
            ended = self.mover.carry(pair, passage, &entry, &self.manner) => ended,
            why = entry.must_end() => Err(why),
        };
        let is_logged = self.flow_log.include(Change::Finished);
        let why = match ended {
            Ok(Outcome::HandedOver(passage)) => {
                let seat = self.limits.is_total_given().then_some(seat);
                passage.keep(|frame| Connection { entry, place, seat, is_logged, frame });
                return Ok(());
            }
            Ok(Outcome::Ended) => Change::Finished.as_str(),
            Err(failure) => failure.as_str(),
        };
        if is_logged {
            entry.log(self.mover.name_at_end(), Some(why));
        }
        ended.map(drop)
    }

    async fn open(&self, client: TcpStream, peer: SocketAddr) -> Result<Box<Opened>, Failure> {
        let listen = client.local_addr().map_err(|_| Failure::ClientBroke)?;
        let prospect = self.mover.prospect(&client, listen, peer);
        let preface = preface::read(&client, self.wants).await?;
        let place = self.limits.place(source(peer, preface.consumer.as_ref()))?;
        let route = match self.routes.pick(preface.server_name.as_ref()) {
            Ok(route) => route,
            Err(failure) => {
                preface::turn_away(client).await;
                return Err(failure);
            }
        };
        admit_consumer(route, preface.consumer.as_ref())?;
        self.lead(Accepted { client, peer, listen, prospect }, preface, place, route).await
    }

    async fn lead(
        &self,
        accepted: Accepted,
        preface: Preface,
        place: Place,
        route: &Route,
    ) -> Result<Box<Opened>, Failure> {
        let Accepted { client, peer, listen, prospect } = accepted;
        let Reached { backend, stream, passage } = route.reach.any(&prospect).await?;
        let source = stream.local_addr().map_err(|_| Failure::BackendBroke)?;
        let Preface { consumer, server_name, read, .. } = preface;
        let vpce = consumer.as_ref().and_then(|consumer| consumer.vpce.as_ref());
        let sum = vpce.map(|vpce| self.tally.consumer(vpce));
        let caller = Caller { client: peer, listen, consumer: consumer.map(Box::new), server_name };
        let entry = route.reach.ledger.enter(caller, Led { backend: backend.address, source }, sum);
        if self.flow_log.include(Change::Opened) {
            entry.log(self.mover.name(), None);
        }
        self.tally.relayed.fetch_add(1, Relaxed);
        let pair = Pair { client, backend: stream, unsent: read };
        Ok(Box::new(Opened { pair, entry, place, passage }))
    }
}

fn source(peer: SocketAddr, consumer: Option<&Consumer>) -> Source {
    match consumer {
        Some(Consumer { source, vpce, .. }) => {
            Source { address: source.ip().to_canonical(), vpce: vpce.clone() }
        }
        None => Source { address: peer.ip().to_canonical(), vpce: None },
    }
}

fn admit_consumer(route: &Route, consumer: Option<&Consumer>) -> Result<(), Failure> {
    let vpce = consumer.and_then(|consumer| consumer.vpce.as_ref());
    let is_allowed = route.vpces.is_empty() || vpce.is_some_and(|id| route.vpces.contains(id));
    if is_allowed { Ok(()) } else { Err(Failure::VpceRefused) }
}
