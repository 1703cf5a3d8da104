//! A SYN flood: connections that are begun in others' names and never go on.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::{AsRawFd as _, OwnedFd},
};

use anyhow::{Context as _, bail};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};
use proxy_user::datapath::kernel::reset::segment;

use crate::{held::Held, links::HOST_LINK, place::Inside, wire::sysctl};

/// Addresses of the client's subnet that nobody has.
pub(crate) const SOURCES: (IpAddr, u8) = (IpAddr::V4(Ipv4Addr::from_octets([10, 0, 0, 128])), 26);
const ADDRESSES: u32 = 64;
const FIRST_PORT: u32 = 1024;
const PORTS: u32 = 65_536 - FIRST_PORT;
/// A prime, and no divisor of the number of ports: neighbours in time are none in number, and each
/// port comes once before any comes again.
const STRIDE: u32 = 20_011;
/// A link has a pace; without one, a CPU's backlog of 1,000 packets overflows. An echo behind each burst
/// says that it is through.
const BURST: u32 = 64;

/// Sends one SYN from each of `count` pairs of address and port. `behind` goes the same way.
pub(crate) async fn send(
    inside: &Inside,
    to: SocketAddr,
    count: u32,
    mut behind: Held,
) -> anyhow::Result<()> {
    let SocketAddr::V4(to) = to else { bail!("a flood to {to}: only IPv4 is flooded") };
    let flood = async move {
        // What the host does, the namespace may have inherited: answers would come round again.
        sysctl(&format!("net/ipv4/conf/{HOST_LINK}/forwarding"), "0")?;
        // It belongs to the namespace it was opened in, whoever uses it.
        let raw =
            socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw)
                .context("opening a raw socket")?;
        send_all(&raw, to, count, &mut behind).await
    };
    inside.run(flood).await
}

/// No answer is repeated: all ENIs would do so within one tick of the kernel's clock, for thousands of
/// SYNs, and a CPU's backlog, on which others' packets are, overflows.
pub(crate) async fn answer_once(eni: &Inside) -> anyhow::Result<()> {
    eni.run(async { sysctl("net/ipv4/tcp_synack_retries", "0") }).await
}

async fn send_all(
    raw: &OwnedFd,
    to: SocketAddrV4,
    count: u32,
    behind: &mut Held,
) -> anyhow::Result<()> {
    let address = SockaddrIn::from(SocketAddrV4::new(*to.ip(), 0));
    for number in 0..count {
        let from = SocketAddr::from(source(number)?);
        let packet = segment::bare(from, to.into(), 1, segment::SYN).context("of one family")?;
        sendto(raw.as_raw_fd(), &packet, &address, MsgFlags::empty()).context("sending a SYN")?;
        if number % BURST == BURST - 1 {
            behind.echo().await.context("the echo behind a burst")?;
        }
    }
    Ok(())
}

/// The first so many numbers have no pair in common: the address changes with each, the port when
/// all addresses have had it.
fn source(number: u32) -> anyhow::Result<(Ipv4Addr, u16)> {
    let (IpAddr::V4(first), _) = SOURCES else { bail!("SOURCES is of IPv4") };
    let (turn, place) = (number / ADDRESSES, number % ADDRESSES);
    // Each address begins elsewhere, so that the ports of one turn are not all the same.
    let port = FIRST_PORT + ((turn + place * 1_009) % PORTS * STRIDE) % PORTS;
    let address = Ipv4Addr::from_bits(first.to_bits() + place);
    Ok((address, u16::try_from(port)?))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_source_comes_twice() {
        let sources: HashSet<_> = (0..200_000).map(|n| source(n).expect("a source")).collect();
        assert_eq!(sources.len(), 200_000);
    }
}
