//! What moves the bytes of the connections that the listener accepts.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::net::TcpStream;

use super::{
    account::Account,
    handover::{Handover, Obstacle, Outcome, Passage, Prospect},
    relay::{Manner, Pair, Relay, relay},
    sockmap::Sockmap,
    tally::Failure,
};

#[derive(Clone)]
pub enum Mover {
    Relay,
    Handover(Arc<Handover>),
    Sockmap(Arc<Sockmap>),
}

impl Mover {
    /// In the flow log.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Handover(_) => "handover",
            Self::Sockmap(_) => "sockmap",
        }
    }

    /// Of who has carried a connection that ended with its sockets.
    pub const fn name_at_end(&self) -> &'static str {
        match self {
            Self::Handover(_) | Self::Relay => "relay",
            Self::Sockmap(_) => "sockmap",
        }
    }

    pub const fn sockmap(&self) -> Option<&Arc<Sockmap>> {
        match self {
            Self::Sockmap(sockmap) => Some(sockmap),
            Self::Relay | Self::Handover(_) => None,
        }
    }

    pub const fn handover(&self) -> Option<&Arc<Handover>> {
        match self {
            Self::Handover(handover) => Some(handover),
            Self::Relay | Self::Sockmap(_) => None,
        }
    }

    /// Of a client that has just been accepted: may it be handed over?
    pub fn prospect(
        &self,
        stream: &TcpStream,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Result<Prospect, Obstacle> {
        match self {
            Self::Handover(handover) => Prospect::of(handover, stream, local, peer),
            Self::Relay | Self::Sockmap(_) => Err(Obstacle::NotWanted),
        }
    }

    /// See [`relay`].
    pub fn carry<'a>(
        &'a self,
        pair: Pair,
        passage: Result<Passage, Obstacle>,
        account: &'a Account,
        manner: &'a Manner,
    ) -> Moving<'a> {
        match self {
            Self::Relay => Moving::Relay(relay(pair, account, manner)),
            Self::Handover(handover) => {
                Moving::Other(Box::pin(handover.carry(pair, passage, account, manner)))
            }
            Self::Sockmap(sockmap) => Moving::Other(Box::pin(async move {
                sockmap.splice(pair, account, manner).await.map(|()| Outcome::Ended)
            })),
        }
    }
}

/// One connection's bytes on their way, until its end.
pub enum Moving<'a> {
    Relay(Relay<'a>),
    /// Boxed: a relayed connection is not to be as large as these.
    Other(Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send + 'a>>),
}

impl Future for Moving<'_> {
    type Output = Result<Outcome, Failure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Relay(relay) => Pin::new(relay).poll(context).map_ok(|()| Outcome::Ended),
            Self::Other(other) => other.as_mut().poll(context),
        }
    }
}
