//! Links, addresses and routes of the namespace it was opened in.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd},
    pin::pin,
};

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder, new_connection,
    packet_route::{
        address::{AddressAttribute, AddressFlags},
        link::{InfoData, InfoVeth, LinkAttribute, LinkXdp, XdpAttached},
        route::{RouteAttribute, RouteMetric, RouteScope},
        rule::RuleAction,
        tc::{TcHandle, TcMessage},
    },
};

/// The host's end of its one link.
pub(crate) const HOST_LINK: &str = "eth0";

pub(crate) struct Links(Handle);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    Driver,
    Generic,
    /// Offloaded to the hardware, or in more than one mode.
    Other,
}

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

    pub(crate) async fn set_mtu(&self, name: &str, mtu: u32) -> anyhow::Result<()> {
        let link = LinkUnspec::new_with_index(index(name)?).mtu(mtu).build();
        let set = self.0.link().set(link).execute().await;
        set.with_context(|| format!("setting the MTU of {name} to {mtu}"))
    }

    pub(crate) async fn xdp(&self, name: &str) -> anyhow::Result<Option<XdpMode>> {
        let mut links = pin!(self.0.link().get().match_index(index(name)?).execute());
        let link = links.try_next().await?.with_context(|| format!("{name} is gone"))?;
        let xdp = link.attributes.into_iter().filter_map(|attribute| match attribute {
            LinkAttribute::Xdp(xdp) => Some(xdp),
            _ => None,
        });
        Ok(xdp.flatten().find_map(|xdp| match xdp {
            LinkXdp::Attached(XdpAttached::None) => None,
            LinkXdp::Attached(XdpAttached::Driver) => Some(XdpMode::Driver),
            LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(XdpMode::Generic),
            LinkXdp::Attached(_) => Some(XdpMode::Other),
            _ => None,
        }))
    }

    /// How many filters there are behind clsact's ingress.
    pub(crate) async fn ingress_filters(&self, name: &str) -> anyhow::Result<usize> {
        let index = i32::try_from(index(name)?)?;
        let filters = self.0.traffic_filter(index).get().ingress().execute();
        let filters: Vec<TcMessage> = filters.try_collect().await.context("listing filters")?;
        // Each has a message for its chain as a whole too, without a handle.
        Ok(filters.iter().filter(|filter| filter.header.handle != TcHandle::default()).count())
    }

    pub(crate) async fn delete(&self, name: &str) -> anyhow::Result<()> {
        self.0
            .link()
            .del(index(name)?)
            .execute()
            .await
            .with_context(|| format!("deleting the link {name}"))
    }

    /// It can be used at once: an IPv6 address does not look for others of its kind first.
    pub(crate) async fn address(&self, name: &str, address: IpAddr) -> anyhow::Result<()> {
        let mut add = self.0.address().add(index(name)?, address, host_prefix(address));
        if address.is_ipv6() {
            add.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        add.execute().await.with_context(|| format!("giving {name} the address {address}"))
    }

    /// The address is at the other end of this link. Larger packets than `mtu` are refused there,
    /// with an error to the sender, as if a narrower link followed.
    pub(crate) async fn on_link(
        &self,
        name: &str,
        address: IpAddr,
        mtu: Option<u32>,
    ) -> anyhow::Result<()> {
        let mut route = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(address, host_prefix(address))?
            .output_interface(index(name)?)
            .scope(RouteScope::Link);
        if let Some(mtu) = mtu {
            route.get_mut().attributes.push(RouteAttribute::Metrics(locked(mtu)));
        }
        let added = self.0.route().add(route.build()).execute().await;
        added.with_context(|| format!("route to {address}"))
    }

    pub(crate) async fn default_via(&self, name: &str, gateway: IpAddr) -> anyhow::Result<()> {
        let everything = match gateway {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.via(name, (everything, 0), gateway).await
    }

    /// A network, given by an address and the length of its prefix, is behind this gateway.
    pub(crate) async fn via(
        &self,
        name: &str,
        (network, prefix): (IpAddr, u8),
        gateway: IpAddr,
    ) -> anyhow::Result<()> {
        let route = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(network, prefix)?
            .gateway(gateway)?
            .output_interface(index(name)?)
            .build();
        let added = self.0.route().add(route).execute().await;
        added.with_context(|| format!("route to {network}/{prefix} via {gateway}"))
    }

    /// In a routing table of its own, everything is behind this gateway.
    pub(crate) async fn table_via(
        &self,
        table: u32,
        name: &str,
        gateway: Ipv4Addr,
    ) -> anyhow::Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .table_id(table)
            .gateway(gateway)
            .output_interface(index(name)?)
            .build();
        let added = self.0.route().add(route).execute().await;
        added.with_context(|| format!("route via {gateway} in table {table}"))
    }

    /// What comes in over this link is routed by that table.
    pub(crate) async fn look_up_from(&self, name: &str, table: u32) -> anyhow::Result<()> {
        let rule = self.0.rule().add().v4().input_interface(name).table_id(table);
        let added = rule.action(RuleAction::ToTable).execute().await;
        added.with_context(|| format!("rule from {name} to table {table}"))
    }
}

/// Locked: without, only the host's own packets would heed it over IPv6.
fn locked(mtu: u32) -> Vec<RouteMetric> {
    const RTAX_MTU: u32 = 2;
    vec![RouteMetric::Lock(1 << RTAX_MTU), RouteMetric::Mtu(mtu)]
}

const fn host_prefix(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn index(name: &str) -> anyhow::Result<u32> {
    nix::net::if_::if_nametoindex(name).with_context(|| format!("looking for the link {name}"))
}
