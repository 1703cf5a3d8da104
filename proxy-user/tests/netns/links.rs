//! A network namespace with a pair of links, for one thread alone.

use std::net::{IpAddr, Ipv4Addr};

use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
};
use rtnetlink::{Handle, LinkUnspec, LinkVeth, new_connection};
use tokio::runtime;

pub const LINKS: [&str; 2] = ["left", "right"];

/// Takes the calling thread into a namespace of its own, which is gone with it.
pub fn enter() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace; this needs root");
    netlink(links);
}

/// Makes changes in the calling thread's namespace.
pub fn netlink(change: impl AsyncFnOnce(Handle)) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    runtime.block_on(async {
        let (connection, handle, _) = new_connection().expect("rtnetlink");
        tokio::spawn(connection);
        change(handle).await;
    });
}

pub fn index(link: &str) -> u32 {
    if_nametoindex(link).expect("the link")
}

async fn links(handle: Handle) {
    let [left, right] = LINKS;
    handle.link().add(LinkVeth::new(left, right).build()).execute().await.expect("a pair of links");
    up(&handle, "lo").await;
    for (name, last) in LINKS.iter().zip(1..) {
        up(&handle, name).await;
        let address = IpAddr::from(Ipv4Addr::new(10, 0, 10, last));
        handle.address().add(index(name), address, 24).execute().await.expect("its address");
    }
}

async fn up(handle: &Handle, name: &str) {
    let link = LinkUnspec::new_with_index(index(name)).up().build();
    handle.link().set(link).execute().await.expect("the link is up");
}
