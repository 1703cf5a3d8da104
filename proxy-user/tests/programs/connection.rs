//! A connection through the programs, as its two far ends see it.

use std::net::IpAddr;

use proxy_common::addr::Family;
use proxy_ebpf::{
    fake::{CLIENT, CLIENT6, End, LISTEN, PROXY, PROXY6, Tcp},
    parse::Flags,
};

use super::bench::Bench;

pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
/// Not among the source ports: another one is taken towards the ENI.
pub const CPORT: u16 = 51_000;

#[derive(Clone, Copy, Debug)]
pub struct Connection {
    pub client: End,
    pub proxy: IpAddr,
    pub eni: End,
    /// The proxy's port towards the ENI.
    pub source: u16,
}

pub const fn client_of(family: Family) -> IpAddr {
    match family {
        Family::V4 => CLIENT,
        Family::V6 => CLIENT6,
    }
}

impl Connection {
    /// A handshake through TC.
    pub fn open(bench: &mut Bench, client: End) -> Self {
        let connection = Self::begin(bench, client);
        bench.forwards(&connection.enis(Flags::SYN | Flags::ACK));
        bench.forwards(&connection.clients(Flags::ACK));
        connection
    }

    /// The client's SYN alone.
    pub fn begin(bench: &mut Bench, client: End) -> Self {
        let proxy = if client.0.is_ipv6() { PROXY6 } else { PROXY };
        let [(_, source), eni] = bench.forwards(&Tcp::new(client, (proxy, LISTEN), Flags::SYN));
        Self { client, proxy, eni, source }
    }

    pub fn clients(&self, flags: u8) -> Tcp {
        Tcp::new(self.client, (self.proxy, LISTEN), flags)
    }

    pub fn enis(&self, flags: u8) -> Tcp {
        Tcp::new(self.eni, (self.proxy, self.source), flags)
    }

    /// What a segment of either side is to become.
    pub fn translated(&self, segment: &Tcp) -> Tcp {
        let (source, destination) = if segment.source == self.client {
            (self.source, self.eni)
        } else {
            (LISTEN, self.client)
        };
        let hops = segment.hops - 1;
        Tcp { source: (self.proxy, source), destination, hops, ..segment.clone() }
    }
}
