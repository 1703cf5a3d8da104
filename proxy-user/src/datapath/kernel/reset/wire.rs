//! Sends RSTs that no socket of this host has made.

use std::{io, net::SocketAddr};

use nix::libc::IPPROTO_RAW;
use proxy_common::{
    addr::socket,
    config::Config,
    flow::{Flow, FlowKey},
};
use socket2::{Domain, Protocol, Socket, Type};

use super::segment::{self, RST};

pub struct Packet {
    pub to: SocketAddr,
    bytes: Vec<u8>,
}

/// To the client and to the backend, each with the sequence number that it expects next, which is
/// what it has acknowledged last. One that has acknowledged nothing has nothing to reset.
pub fn packets(
    key: &FlowKey,
    flow: &Flow,
    twin: Option<&Flow>,
    config: &Config,
) -> [Option<Packet>; 2] {
    let Some(local) = config.locals.get(usize::from(key.local.0)) else { return [None, None] };
    let packet = |port, to, acked| {
        let bytes = segment::bare(socket(*local, port), to, acked, RST)?;
        (acked != 0).then_some(Packet { to, bytes })
    };
    let client = socket(key.remote, key.remote_port);
    let backend = socket(flow.peer, flow.peer_port);
    [
        packet(key.local_port, client, flow.acked),
        twin.and_then(|twin| packet(flow.own_port, backend, twin.acked)),
    ]
}

/// Opened when first needed, one for each family.
#[derive(Default)]
pub struct Wire {
    v4: Option<Socket>,
    v6: Option<Socket>,
}

impl Wire {
    pub fn send(&mut self, packet: &Packet) -> io::Result<()> {
        let (domain, place) = match packet.to {
            SocketAddr::V4(_) => (Domain::IPV4, &mut self.v4),
            SocketAddr::V6(_) => (Domain::IPV6, &mut self.v6),
        };
        let raw = match place {
            Some(raw) => raw,
            None => place.insert(open(domain)?),
        };
        // The packet names the port; a raw socket has none.
        raw.send_to(&packet.bytes, &SocketAddr::new(packet.to.ip(), 0).into()).map(drop)
    }
}

/// With this protocol the kernel takes the IP header as it is.
fn open(domain: Domain) -> io::Result<Socket> {
    let raw = Socket::new(domain, Type::RAW, Some(Protocol::from(IPPROTO_RAW)))?;
    raw.set_nonblocking(true)?;
    Ok(raw)
}
