//! Where the programs run: a network namespace of the test's thread, in which XDP finds its way
//! out. There is a router on the link; one network has nobody in it, another is behind another link.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use proxy_common::addr::Family;
use proxy_ebpf::fake::{PROXY, PROXY6};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};

use crate::links::{LINKS, enter, index, netlink};

pub const LINK_ADDRESS: [u8; 6] = [2, 0, 0, 0, 10, 10];
pub const ROUTER_ADDRESS: [u8; 6] = [2, 0, 0, 0, 10, 1];
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 10, 254);
const ROUTER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0x10, 0, 0, 0, 0xfe);

thread_local! {
    static LINK: u32 = settle();
}

/// The index of the link that packets come in by and leave by. The first question of a thread takes
/// it to the place.
pub fn link() -> u32 {
    LINK.with(|link| *link)
}

/// A client whom nobody answers for on the link.
pub const fn without_neighbour(family: Family) -> IpAddr {
    in_network(family, 77, 7)
}

/// A client behind the other link.
pub const fn behind_another_link(family: Family) -> IpAddr {
    in_network(family, 99, 9)
}

const fn in_network(family: Family, network: u8, host: u8) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(10, 0, network, host)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, network as u16, 0, 0, 0, host as u16)),
    }
}

fn settle() -> u32 {
    enter();
    netlink(async |handle| {
        // First of all: the kernel forgets the neighbours of a link whose address changes.
        let link = LinkUnspec::new_with_index(index(LINKS[0])).address(LINK_ADDRESS.to_vec());
        handle.link().set(link.build()).execute().await.expect("the link's Ethernet address");
        for family in [Family::V4, Family::V6] {
            furnish(&handle, family).await;
        }
    });
    // The kernel looks up routes for XDP only where it would forward.
    for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        fs::write(format!("/proc/sys/net/{setting}"), "1").expect("forwarding");
    }
    index(LINKS[0])
}

async fn furnish(handle: &Handle, family: Family) {
    let (own, router, anywhere, prefix): (_, IpAddr, IpAddr, _) = match family {
        Family::V4 => (PROXY, ROUTER.into(), Ipv4Addr::UNSPECIFIED.into(), 24),
        Family::V6 => (PROXY6, ROUTER6.into(), Ipv6Addr::UNSPECIFIED.into(), 64),
    };
    let [left, right] = LINKS.map(index);
    handle.address().add(left, own, prefix).execute().await.expect("the proxy's address");
    let neighbours = [(left, router), (right, behind_another_link(family))];
    for (link, address) in neighbours {
        let neighbour = handle.neighbours().add(link, address);
        neighbour.link_layer_address(&ROUTER_ADDRESS).execute().await.expect("a neighbour");
    }
    route(handle, left, in_network(family, 77, 0), prefix, None).await;
    route(handle, right, in_network(family, 99, 0), prefix, None).await;
    route(handle, left, anywhere, 0, Some(router)).await;
}

async fn route(handle: &Handle, link: u32, to: IpAddr, prefix: u8, via: Option<IpAddr>) {
    let route = RouteMessageBuilder::<IpAddr>::new().output_interface(link);
    let mut route = route.destination_prefix(to, prefix).expect("a prefix");
    if let Some(router) = via {
        route = route.gateway(router).expect("a router");
    }
    handle.route().add(route.build()).execute().await.expect("a route");
}
