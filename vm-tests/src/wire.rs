//! The link between the router and a host, in both families, and what is special about it.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
};

use anyhow::Context as _;

use crate::{
    links::{HOST_LINK, Links},
    offloads,
    place::Place,
    plan::v6_of,
};

/// Of every link, in bytes of an IP packet.
pub(crate) const MTU: u32 = 1500;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wire {
    /// The largest packet that gets to the host, where its path narrows behind the router.
    pub path_mtu: Option<u32>,
    /// What the host gets looks like frames from a network card: checksummed, one segment each.
    pub plain_frames: bool,
}

pub(crate) async fn connect(
    router: &Place,
    place: &Place,
    host: &str,
    address: Ipv4Addr,
    wire: Wire,
) -> anyhow::Result<()> {
    place.inside().run(async { prepare().await }).await?;
    let netns = place.netns().context("the host has no namespace")?.clone();
    let link = router_link(host);
    let routers_end = async move {
        let links = Links::open()?;
        links.veth(&link, &*netns, MTU).await?;
        if wire.plain_frames {
            offloads::send_checksummed(&link)?;
        }
        links.up(&link).await?;
        for (gateway, address) in both_families(address) {
            links.address(&link, gateway).await?;
            links.on_link(&link, address, wire.path_mtu).await?;
        }
        Ok(())
    };
    router.inside().run(routers_end).await?;
    place.inside().run(hosts_end(address, wire)).await
}

async fn hosts_end(address: Ipv4Addr, wire: Wire) -> anyhow::Result<()> {
    let links = Links::open()?;
    if wire.plain_frames {
        // Without these, bpf_fib_lookup finds no route for XDP.
        sysctl(&format!("net/ipv4/conf/{HOST_LINK}/forwarding"), "1")?;
        sysctl(&format!("net/ipv6/conf/{HOST_LINK}/forwarding"), "1")?;
    }
    links.up(HOST_LINK).await?;
    for (gateway, address) in both_families(address) {
        links.address(HOST_LINK, address).await?;
        links.on_link(HOST_LINK, gateway, None).await?;
        links.default_via(HOST_LINK, gateway).await?;
    }
    Ok(())
}

/// A fresh namespace: loopback up, reverse-path filters that accept what a multihomed host may
/// see, and link-local addresses that a router can ask for neighbours from at once.
pub(crate) async fn prepare() -> anyhow::Result<()> {
    sysctl("net/ipv4/conf/all/rp_filter", "2")?;
    sysctl("net/ipv6/conf/all/accept_dad", "0")?;
    sysctl("net/ipv6/conf/default/accept_dad", "0")?;
    Links::open()?.up("lo").await
}

/// `/proc/sys/net` shows the namespace of the thread that looks.
pub(crate) fn sysctl(key: &str, value: &str) -> anyhow::Result<()> {
    fs::write(format!("/proc/sys/{key}"), value).with_context(|| format!("setting {key}"))
}

/// Interface names end after 15 bytes: `to-` and a host's short name fit.
pub(crate) fn router_link(host: &str) -> String {
    format!("to-{host}")
}

/// The gateway's address and the host's.
fn both_families(address: Ipv4Addr) -> [(IpAddr, IpAddr); 2] {
    let gateway = gateway_of(address);
    [(gateway.into(), address.into()), (v6_of(gateway).into(), v6_of(address).into())]
}

/// The first address of the host's /24 is the router's, as in a VPC subnet.
fn gateway_of(address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = address.octets();
    Ipv4Addr::new(a, b, c, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;

    #[test]
    fn the_gateway_is_the_first_address_of_the_subnet() {
        let [(v4, _), (v6, _)] = both_families(plan::PROXY);
        assert_eq!((v4.to_string(), v6.to_string()), ("10.0.10.1".into(), "fd00:0:0:10::1".into()));
    }
}
