//! Links, addresses and routes of the namespace it was opened in.

use std::{
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd},
};

use anyhow::Context as _;
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder, new_connection,
    packet_route::{
        link::{InfoData, InfoVeth},
        route::RouteScope,
    },
};

/// The host's end of its one link.
pub(crate) const HOST_LINK: &str = "eth0";

pub(crate) struct Links(Handle);

impl Links {
    /// Call it on the namespace's own runtime: the socket belongs to the calling thread's one.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let (connection, handle, _) = new_connection().context("opening rtnetlink")?;
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// A link from here to the other namespace, where it is called `eth0`.
    pub(crate) async fn veth(&self, name: &str, other: &impl AsFd, mtu: u32) -> anyhow::Result<()> {
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(HOST_LINK)
            .mtu(mtu)
            .setns_by_fd(other.as_fd().as_raw_fd())
            .build();
        let pair = LinkVeth::new(name, HOST_LINK)
            .mtu(mtu)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        self.0.link().add(pair).execute().await.with_context(|| format!("adding the link {name}"))
    }

    pub(crate) async fn up(&self, name: &str) -> anyhow::Result<()> {
        let link = LinkUnspec::new_with_index(index(name)?).up().build();
        self.0.link().set(link).execute().await.with_context(|| format!("setting {name} up"))
    }

    pub(crate) async fn down(&self, name: &str) -> anyhow::Result<()> {
        let link = LinkUnspec::new_with_index(index(name)?).down().build();
        self.0.link().set(link).execute().await.with_context(|| format!("setting {name} down"))
    }

    pub(crate) async fn delete(&self, name: &str) -> anyhow::Result<()> {
        self.0
            .link()
            .del(index(name)?)
            .execute()
            .await
            .with_context(|| format!("deleting the link {name}"))
    }

    pub(crate) async fn address(&self, name: &str, address: Ipv4Addr) -> anyhow::Result<()> {
        self.0
            .address()
            .add(index(name)?, address.into(), 32)
            .execute()
            .await
            .with_context(|| format!("giving {name} the address {address}"))
    }

    /// The address is at the other end of this link.
    pub(crate) async fn on_link(&self, name: &str, address: Ipv4Addr) -> anyhow::Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(address, 32)
            .output_interface(index(name)?)
            .scope(RouteScope::Link)
            .build();
        self.0.route().add(route).execute().await.with_context(|| format!("route to {address}"))
    }

    pub(crate) async fn default_via(&self, gateway: Ipv4Addr) -> anyhow::Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
        self.0.route().add(route).execute().await.with_context(|| format!("default via {gateway}"))
    }
}

fn index(name: &str) -> anyhow::Result<u32> {
    nix::net::if_::if_nametoindex(name).with_context(|| format!("looking for the link {name}"))
}
