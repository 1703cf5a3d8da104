//! A client's connection that may be handed over, as the agent knows it when it has accepted it. The
//! kernel knows nothing of it yet: most connections end before they are worth a record.

use std::{io, net::SocketAddr, num::NonZeroU16, sync::Arc};

use proxy_common::{addr::Addr, flow::FlowKey, stamp::Stamp};
use tokio::net::TcpStream;

use super::{Handover, counts::Obstacle, segments::Told};
use crate::{
    datapath::kernel,
    tcp::{self, Held, Repair, TcpInfo, Terms},
};

#[derive(Clone, Debug)]
pub struct Prospect {
    pub handover: Arc<Handover>,
    pub client: FlowKey,
    pub accepted: Stamp,
    /// The largest segment that the client has been told of, in bytes.
    pub told: u16,
    /// The largest segment that a backend may be told of, bytes, where that is less than the
    /// interface takes.
    pub segment: Option<NonZeroU16>,
}

impl Prospect {
    /// `local` and `peer`: of the accepted stream.
    pub fn of(
        handover: &Arc<Handover>,
        stream: &TcpStream,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Result<Self, Obstacle> {
        let client = handover.key(local, peer).ok_or(Obstacle::OtherAddress)?;
        tcp::hold_queues(stream, Held::Both).map_err(|_| Obstacle::Repair)?;
        let accepted = kernel::now().map_err(|_| Obstacle::Repair)?;
        let terms = TcpInfo::of(stream).map_err(|_| Obstacle::Repair)?.terms();
        let said = handover.told();
        let segment = segment(stream, terms, said).map_err(|_| Obstacle::Repair)?;
        let told = said.to(accepted, terms.handshake, terms.told);
        Ok(Self { handover: handover.clone(), client, accepted, told, segment })
    }

    /// The same family: packets are forwarded as what they are.
    pub fn suits(&self, backend: SocketAddr) -> bool {
        Addr::from(backend.ip()).family() == self.client.remote.family()
    }
}

/// Where the listener has been lowered, its sockets take that for all that a client takes.
fn segment(stream: &TcpStream, terms: Terms, said: Told) -> io::Result<Option<NonZeroU16>> {
    let takes =
        if terms.takes < terms.told { tcp::in_repair(stream, Repair::takes)? } else { terms.takes };
    let is_less = takes < terms.told || said.is_lowered();
    Ok(NonZeroU16::new(takes).filter(|_| is_less))
}
