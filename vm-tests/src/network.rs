//! The lab's network: a router with one link to each host, or nothing but loopback.

use std::{fs, net::Ipv4Addr};

use anyhow::Context as _;

use crate::{
    links::{HOST_LINK, Links},
    place::{Inside, Place},
    plan,
};

const MTU: u32 = 1500;

/// What every namespace of ours is called by, and found by after a crash.
pub(crate) fn prefix(lab: &str) -> String {
    format!("eg-{lab}-")
}

pub(crate) struct Network {
    prefix: String,
    /// In a namespace it routes; on loopback it is only where the resolver runs.
    router: Place,
}

impl Network {
    pub(crate) async fn vpc(lab: &str) -> anyhow::Result<Self> {
        let prefix = prefix(lab);
        let router = Place::namespace(&format!("{prefix}router"))?;
        router.inside().run(set_up_router()).await.context("setting up the router")?;
        Ok(Self { prefix, router })
    }

    pub(crate) fn loopback(lab: &str) -> anyhow::Result<Self> {
        let prefix = prefix(lab);
        let router = Place::host(&format!("{prefix}router"))?;
        Ok(Self { prefix, router })
    }

    pub(crate) fn router(&self) -> &Inside {
        self.router.inside()
    }

    /// A host with this address, reachable from all others.
    pub(crate) async fn join(&self, host: &str, address: Ipv4Addr) -> anyhow::Result<Place> {
        let name = format!("{}{host}", self.prefix);
        if self.is_loopback() {
            return Place::host(&name);
        }
        let place = Place::namespace(&name)?;
        connect(&self.router, &place, host, address)
            .await
            .with_context(|| format!("connecting {host} ({address}) to the router"))?;
        Ok(place)
    }

    /// Takes the host's link away, all at once, and then what runs there.
    pub(crate) async fn leave(&self, host: &str, place: Place) -> anyhow::Result<()> {
        if !self.is_loopback() {
            let link = router_link(host);
            self.router().run(async move { Links::open()?.delete(&link).await }).await?;
        }
        drop(place);
        Ok(())
    }

    fn is_loopback(&self) -> bool {
        self.router.netns().is_none()
    }
}

async fn set_up_router() -> anyhow::Result<()> {
    sysctl("net/ipv4/ip_forward", "1")?;
    let links = Links::open()?;
    loose(&links).await?;
    links.address("lo", plan::RESOLVER).await
}

async fn connect(
    router: &Place,
    place: &Place,
    host: &str,
    address: Ipv4Addr,
) -> anyhow::Result<()> {
    let gateway = gateway_of(address);
    let netns = place.netns().context("the host has no namespace")?.clone();
    let link = router_link(host);
    router
        .inside()
        .run(async move {
            let links = Links::open()?;
            links.veth(&link, &*netns, MTU).await?;
            links.up(&link).await?;
            links.address(&link, gateway).await?;
            links.on_link(&link, address).await
        })
        .await?;
    place.inside().run(set_up_host(address, gateway)).await
}

async fn set_up_host(address: Ipv4Addr, gateway: Ipv4Addr) -> anyhow::Result<()> {
    let links = Links::open()?;
    loose(&links).await?;
    links.up(HOST_LINK).await?;
    links.address(HOST_LINK, address).await?;
    links.on_link(HOST_LINK, gateway).await?;
    links.default_via(gateway).await
}

/// Loopback up, and reverse-path filters that accept what a multihomed host may see.
async fn loose(links: &Links) -> anyhow::Result<()> {
    sysctl("net/ipv4/conf/all/rp_filter", "2")?;
    links.up("lo").await
}

/// `/proc/sys/net` shows the namespace of the thread that looks.
fn sysctl(key: &str, value: &str) -> anyhow::Result<()> {
    fs::write(format!("/proc/sys/{key}"), value).with_context(|| format!("setting {key}"))
}

/// The first address of the host's /24 is the router's, as in a VPC subnet.
fn gateway_of(address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = address.octets();
    Ipv4Addr::new(a, b, c, 1)
}

/// Interface names end after 15 bytes: `to-` and a host's short name fit.
fn router_link(host: &str) -> String {
    format!("to-{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_the_first_address_of_the_subnet() {
        assert_eq!(gateway_of(plan::PROXY), Ipv4Addr::new(10, 0, 10, 1));
    }
}
