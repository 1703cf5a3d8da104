//! What moves the bytes of the connections that the listener accepts.

use std::sync::Arc;

use super::{
    account::Account,
    relay::{Manner, Pair, relay},
    sockmap::Sockmap,
    tally::Failure,
};

#[derive(Clone)]
pub enum Mover {
    Relay,
    Sockmap(Arc<Sockmap>),
}

impl Mover {
    /// In the flow log.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Sockmap(_) => "sockmap",
        }
    }

    /// See [`relay`].
    pub async fn carry(
        &self,
        pair: Pair,
        account: &Account,
        manner: &Manner,
    ) -> Result<(), Failure> {
        match self {
            Self::Relay => relay(pair, account, manner).await,
            // Boxed: a relayed connection is not to be as large as this.
            Self::Sockmap(sockmap) => Box::pin(sockmap.splice(pair, account, manner)).await,
        }
    }
}
