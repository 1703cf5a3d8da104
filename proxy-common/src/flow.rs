//! The flow table: one entry for each direction of a connection, in one map.
//!
//! A packet's entry says what it turns into; together the two entries of a connection are its
//! account. The entry of the other direction is found from this one ([`Flow::twin`]).

use crate::{
    addr::{Addr, Port},
    backend::BackendId,
    config::LocalId,
    stamp::Stamp,
    track::{Stage, TrackId},
};

/// A packet as it arrives: who sent it, and to which of the host's addresses and ports.
///
/// With the local address as a small number, an IPv6 key is no larger than this.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    pub remote: Addr,
    pub remote_port: Port,
    pub local_port: Port,
    pub local: LocalId,
    pub padding: u16,
}

/// What becomes of the packets of one direction, and what is known of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Whole IP packets' bytes.
    pub bytes: u64,
    /// Where the packet goes.
    pub peer: Addr,
    pub peer_port: Port,
    /// The source port it goes out with.
    pub own_port: Port,
    pub backend: BackendId,
    pub direction: Direction,
    pub half: Half,
    pub packets: u32,
    /// The newest acknowledgement number, in host byte order; 0 before the first.
    pub acked: u32,
    pub opened: Stamp,
    /// When the newest packet came.
    pub seen: Stamp,
    /// Of a connection that user space has accepted; [`TrackId::NONE`] of one that it never saw.
    pub track: TrackId,
    /// Means nothing where there is no track.
    pub stage: Stage,
}

#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToBackend = 0,
    ToClient = 1,
}

/// How far one direction of a connection has come; written only by packets of that direction, so
/// that two CPUs never contend for it.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The handshake's packet of this direction is still to come, or to be answered.
    Opening = 0,
    Open = 1,
    /// This side has sent its FIN.
    Done = 2,
    /// This side has sent a RST.
    Reset = 3,
}

/// TCP's life, as both directions together tell it.
///
/// ```text
///            SYN          SYN-ACK, ACK        both FINs
///   (none) ------> Opening -----------> Open ----------> Closed
///                     |                   |                 ^
///                     +--------- RST -----+-----------------+
/// ```
///
/// A SYN on a closed connection opens a new one in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Opening,
    /// Half closed, too: the other side may go on for as long as it likes.
    Open,
    Closed,
}

impl Life {
    #[inline(always)]
    pub const fn of(one: Half, other: Half) -> Self {
        match (one, other) {
            (Half::Reset, _) | (_, Half::Reset) | (Half::Done, Half::Done) => Self::Closed,
            (Half::Opening, _) | (_, Half::Opening) => Self::Opening,
            _ => Self::Open,
        }
    }
}

impl Flow {
    /// The key of the entry of the other direction.
    #[inline(always)]
    pub const fn twin(&self, local: LocalId) -> FlowKey {
        FlowKey {
            remote: self.peer,
            remote_port: self.peer_port,
            local_port: self.own_port,
            local,
            padding: 0,
        }
    }
}

#[cfg(feature = "user")]
mod pod {
    #![allow(unsafe_code, reason = "aya asks for a promise that a type is plain old data")]
    // SAFETY: `repr(C)` over integers with its padding named: any bytes are a value.
    unsafe impl aya::Pod for super::FlowKey {}
    // SAFETY: `repr(C)` without padding. Its enums are written only by programs and agents of
    // this layout version, since maps of another one are never opened: they are always variants.
    unsafe impl aya::Pod for super::Flow {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct htab_elem` of kernel/bpf/hashtab.c and its share of the bucket array, in bytes.
    const ELEMENT: usize = 48 + 16;

    const _: () = assert!(size_of::<FlowKey>() == 24 && size_of::<Flow>() == 56);
    const _: () = assert!(2 * (ELEMENT + size_of::<FlowKey>() + size_of::<Flow>()) <= 300);

    /// The entries of one connection: 10.0.0.20:51000 -> instance:443, instance:20000 -> ENI:443.
    fn connection() -> [(FlowKey, Flow); 2] {
        let [client, eni] = [[10, 0, 0, 20], [10, 0, 21, 17]]
            .map(|octets| Addr::from(core::net::Ipv4Addr::from(octets)));
        let [cport, listen, snat] = [51_000, 443, 20_000].map(Port::new);
        let entry = |remote, remote_port, local_port, peer, peer_port, own_port, direction| {
            let key = FlowKey { remote, remote_port, local_port, local: LocalId(0), padding: 0 };
            let flow = Flow {
                bytes: 0,
                peer,
                peer_port,
                own_port,
                backend: BackendId(1),
                direction,
                half: Half::Opening,
                packets: 0,
                acked: 0,
                opened: Stamp::default(),
                seen: Stamp::default(),
                track: TrackId::NONE,
                stage: Stage::Relayed,
            };
            (key, flow)
        };
        [
            entry(client, cport, listen, eni, listen, snat, Direction::ToBackend),
            entry(eni, listen, snat, client, cport, listen, Direction::ToClient),
        ]
    }

    #[test]
    fn each_entry_of_a_connection_leads_to_the_other() {
        let [(key, flow), (twin_key, twin)] = connection();
        assert_eq!(flow.twin(key.local), twin_key);
        assert_eq!(twin.twin(twin_key.local), key);
    }
}
