//! Surroundings and packets for tests on the host: a table of plain maps, a clock that stands
//! until it is moved, and frames whose checksums are computed anew, by the book.

pub mod environment;
pub mod frame;
pub mod handover;
pub mod icmp;
pub mod rows;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proxy_common::{
    addr::{Addr, Port},
    backend::{Backend, BackendId},
    config::LocalId,
    flow::FlowKey,
};

pub use self::{
    environment::FakeEnvironment,
    frame::{
        End, FakePacket, Tcp, checksums_verify, ends, internet_checksum, sum_again, tcp_checksum,
        tcp_offset, turned_round,
    },
    rows::not_forwarded,
};

pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 20));
pub const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 10, 10));
pub const CLIENT6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x20));
pub const PROXY6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0x10, 0, 0, 0, 0x10));
pub const LISTEN: u16 = 443;
pub const IFINDEX: u32 = 7;

pub const fn eni(id: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 21, id))
}

pub const fn eni6(id: u8) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0x21, 0, 0, 0, id as u16))
}

pub fn backend(id: u8) -> Backend {
    at(eni(id), id)
}

pub fn backend6(id: u8) -> Backend {
    at(eni6(id), id)
}

/// Each ENI in both families.
pub fn both(enis: impl IntoIterator<Item = u8>) -> impl Iterator<Item = Backend> {
    enis.into_iter().flat_map(|id| [backend(id), backend6(100 + id)])
}

fn at(address: IpAddr, id: u8) -> Backend {
    Backend { address: address.into(), port: Port::new(443), id: BackendId(id.into()) }
}

pub fn key(remote: End, local_port: u16) -> FlowKey {
    FlowKey {
        remote: Addr::from(remote.0),
        remote_port: Port::new(remote.1),
        local_port: Port::new(local_port),
        local: LocalId(u16::from(remote.0.is_ipv6())),
        padding: 0,
    }
}
