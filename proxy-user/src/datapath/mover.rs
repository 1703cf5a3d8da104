//! What moves the bytes of the connections that the listener accepts.

use std::{net::SocketAddr, sync::Arc};

use tokio::net::TcpStream;

use super::{
    account::Account,
    handover::{Handover, Obstacle, Outcome, Passage, Prospect},
    relay::{Manner, Pair, relay},
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
    pub async fn carry(
        &self,
        pair: Pair,
        passage: Result<Passage, Obstacle>,
        account: &Account,
        manner: &Manner,
    ) -> Result<Outcome, Failure> {
        let ended = match self {
            Self::Relay => relay(pair, account, manner).await,
            Self::Handover(handover) => {
                return Box::pin(handover.carry(pair, passage, account, manner)).await;
            }
            // Boxed: a relayed connection is not to be as large as this.
            Self::Sockmap(sockmap) => Box::pin(sockmap.splice(pair, account, manner)).await,
        };
        ended.map(|()| Outcome::Ended)
    }
}
