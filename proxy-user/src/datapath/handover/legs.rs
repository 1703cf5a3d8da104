//! What a connection's two sockets know of their handshakes, for the record of it.

use std::{
    io::{self, ErrorKind},
    num::NonZeroU16,
};

use proxy_common::track::{Leg, Offer};
use tokio::net::TcpStream;

use super::{Passage, counts::Obstacle};
use crate::tcp::{self, TcpInfo, Terms};

/// Of the client and the backend, or of their sockets.
#[derive(Clone, Copy, Debug)]
pub struct Legs {
    pub client: Leg,
    pub backend: Leg,
    /// The oldest sequence number of ours that each has not acknowledged: how to reset it.
    pub acked: [u32; 2],
}

impl Legs {
    /// Or why the two can never talk to each other.
    pub fn of(
        passage: &Passage,
        client: &TcpStream,
        backend: &TcpStream,
    ) -> Result<Self, Obstacle> {
        let (mut client, mut backend) = (Facts::of(client)?, Facts::of(backend)?);
        let prospect = &passage.prospect;
        client.terms.told = prospect.told;
        let cap = prospect.segment.map(NonZeroU16::get);
        let takes = taken_by(backend.terms.takes, cap, passage.to.takes);
        backend.terms.takes = takes.unwrap_or(backend.terms.takes);
        let acked = [client.acked, backend.acked];
        let (client, backend) = (leg(&client.terms), leg(&backend.terms));
        if client.agreed() != backend.agreed() {
            return Err(Obstacle::Options);
        }
        if takes.is_some() {
            prospect.handover.learn(&client, &backend);
        }
        if !client.suits(&backend, prospect.client.remote.family()) {
            return Err(Obstacle::Segment);
        }
        Ok(Self { client, backend, acked })
    }
}

struct Facts {
    terms: Terms,
    /// 0 where that cannot be asked; the peer's next packet will tell it.
    acked: u32,
}

impl Facts {
    fn of(stream: &TcpStream) -> Result<Self, Obstacle> {
        Self::ask(stream).map_err(|error| match error.kind() {
            ErrorKind::NotConnected => Obstacle::Short,
            _ => Obstacle::Repair,
        })
    }

    fn ask(stream: &TcpStream) -> io::Result<Self> {
        let terms = TcpInfo::of(stream)?.terms();
        // To ask for it lets the kernel take what is not sent yet for sent (tcp_write_xmit in
        // net/ipv4/tcp_output.c).
        let may_ask = tcp::unsent(stream)? == 0;
        let (takes, acked) = tcp::in_repair(stream, |repair| {
            let acked = if may_ask { repair.numbers()?.acked() } else { 0 };
            Ok((repair.takes()?, acked))
        })?;
        Ok(Self { terms: Terms { takes, ..terms }, acked })
    }
}

/// A socket that asks for smaller segments itself (`cap`) takes that for all that its peer takes;
/// `known`: from others, 0 where it is not. `None` if nobody knows.
fn taken_by(says: u16, cap: Option<u16>, known: u16) -> Option<u16> {
    match cap {
        Some(cap) if says >= cap => (known >= cap).then_some(known),
        _ => Some(says),
    }
}

fn leg(terms: &Terms) -> Leg {
    let mut flags = 0;
    for (has, flag) in [
        (terms.has_timestamps, Offer::TIMESTAMPS),
        (terms.has_sack, Offer::SACK),
        (terms.scales.is_some(), Offer::SCALE),
    ] {
        flags |= if has { flag } else { 0 };
    }
    let (theirs, ours) = terms.scales.unwrap_or_default();
    Leg {
        peer: Offer { mss: terms.takes, scale: theirs, flags },
        own: Offer { mss: terms.told, scale: ours, flags },
        ..Leg::EMPTY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_has_what_both_sides_have_agreed_upon() {
        let terms = Terms {
            has_timestamps: true,
            has_sack: false,
            scales: Some((7, 3)),
            told: 1_400,
            handshake: None,
            takes: 1_460,
        };
        let leg = super::leg(&terms);
        assert_eq!(leg.agreed(), Offer::TIMESTAMPS);
        assert_eq!((leg.peer_scale(), leg.own_scale()), (7, 3));
        assert_eq!((leg.peer.mss, leg.own.mss), (1_460, 1_400));
        let unscaled = super::leg(&Terms { scales: None, ..terms });
        assert_eq!((unscaled.peer_scale(), unscaled.own_scale()), (0, 0));
    }

    #[test]
    fn what_hides_behind_a_cap_of_our_own_is_known_from_others() {
        assert_eq!(taken_by(1_460, None, 9_000), Some(1_460), "its own word");
        assert_eq!(taken_by(1_400, Some(1_400), 1_460), Some(1_460));
        assert_eq!(taken_by(1_300, Some(1_400), 1_460), Some(1_300), "less than the cap");
        for known in [0, 1_300] {
            assert_eq!(taken_by(1_400, Some(1_400), known), None, "nobody knows");
        }
    }
}
