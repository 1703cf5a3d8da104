//! The lab's network: a router with one link to each host, or nothing but loopback.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context as _;
use aya::Ebpf;

use crate::{
    links::Links,
    offloads,
    place::{Inside, Place},
    plan,
    wire::{self, Wire, router_link, sysctl},
};

/// What every namespace of ours is called by, and found by after a crash.
pub(crate) fn prefix(lab: &str) -> String {
    format!("eg-{lab}-")
}

/// How hosts are connected, where it is not as usual.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wires {
    pub client: Wire,
    pub proxy: Wire,
    pub enis: Wire,
}

pub(crate) struct Network {
    prefix: String,
    /// In a namespace it routes; on loopback it is only where the resolver runs.
    router: Place,
    wires: Wires,
    /// Makes the proxy's link receive what XDP sends.
    poller: Option<Ebpf>,
}

impl Network {
    pub(crate) async fn vpc(lab: &str, wires: Wires) -> anyhow::Result<Self> {
        let prefix = prefix(lab);
        let router = Place::namespace(&format!("{prefix}router"))?;
        router.inside().run(set_up_router()).await.context("setting up the router")?;
        Ok(Self { prefix, router, wires, poller: None })
    }

    pub(crate) fn loopback(lab: &str) -> anyhow::Result<Self> {
        let prefix = prefix(lab);
        let router = Place::host(&format!("{prefix}router"))?;
        Ok(Self { prefix, router, wires: Wires::default(), poller: None })
    }

    pub(crate) fn router(&self) -> &Inside {
        self.router.inside()
    }

    pub(crate) async fn client(&self) -> anyhow::Result<Place> {
        let place = self.join("client", plan::CLIENT, self.wires.client).await?;
        if !self.is_loopback() {
            // Ports of ended connections rest for a minute. Linux takes even ones first, and looks
            // at all of them for each connection once they are used up: with its own range that
            // would be after 14,000.
            let ports = async { sysctl("net/ipv4/ip_local_port_range", "1024 65535") };
            place.inside().run(ports).await?;
        }
        Ok(place)
    }

    pub(crate) async fn proxy(&mut self) -> anyhow::Result<Place> {
        let place = self.join("proxy", plan::PROXY, self.wires.proxy).await?;
        if self.wires.proxy.plain_frames {
            let poll = async { offloads::poll(&router_link("proxy")) };
            self.poller = Some(self.router().run(poll).await?);
        }
        Ok(place)
    }

    /// Packets to this network get to the client, which drops them: nobody has these addresses.
    pub(crate) async fn lose_at_client(&self, network: (IpAddr, u8)) -> anyhow::Result<()> {
        let to_client = router_link("client");
        let route =
            async move { Links::open()?.via(&to_client, network, plan::CLIENT.into()).await };
        self.router().run(route).await
    }

    pub(crate) async fn eni(&self, host: &str, address: Ipv4Addr) -> anyhow::Result<Place> {
        self.join(host, address, self.wires.enis).await
    }

    /// A host with this address and its like over IPv6, reachable from all others.
    async fn join(&self, host: &str, address: Ipv4Addr, wire: Wire) -> anyhow::Result<Place> {
        let name = format!("{}{host}", self.prefix);
        if self.is_loopback() {
            return Place::host(&name);
        }
        let place = Place::namespace(&name)?;
        wire::connect(&self.router, &place, host, address, wire)
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
    sysctl("net/ipv6/conf/all/forwarding", "1")?;
    wire::prepare().await?;
    Links::open()?.address("lo", plan::RESOLVER.into()).await
}
