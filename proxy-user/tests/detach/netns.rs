//! A network namespace with a pair of links, for the calling test's thread alone.

use std::{future::Future, net::Ipv4Addr, path::PathBuf, process, thread, time::Duration};

use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
};
use proxy_common::config::Events;
use proxy_user::{
    config::FlowTimeouts,
    datapath::kernel::{Attachment, Hook, Kernel, detach},
};
use rtnetlink::{Handle, LinkUnspec, LinkVeth, new_connection};
use tokio::runtime;

pub const LINKS: [&str; 2] = ["left", "right"];

/// Gone with its thread.
pub struct Place {
    pub pin_dir: PathBuf,
}

/// Runs a test on a thread whose namespace nobody else is in.
pub fn inside(name: &str, test: fn(&Place)) {
    let pin_dir = PathBuf::from(format!("/sys/fs/bpf/enigate-test-{name}-{}", process::id()));
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace; this needs root");
        on_a_runtime(links());
        test(&Place { pin_dir });
    };
    if let Err(panic) = thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

impl Place {
    pub fn attach(&self, interface: &str, hook: Hook) -> anyhow::Result<Kernel> {
        Kernel::attach(&Attachment {
            interface: interface.into(),
            listen: "0.0.0.0:443".parse()?,
            hook,
            pin_dir: self.pin_dir.clone(),
            connections: 64,
            timeouts: FlowTimeouts::default(),
            reset_window: Duration::from_millis(100),
            events: Events::None,
            log: false,
        })
    }

    pub fn detach(&self) -> Vec<String> {
        detach(&self.pin_dir, None).expect("detached")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.pin_dir.exists() {
            self.detach();
        }
    }
}

async fn links() {
    let (connection, handle, _) = new_connection().expect("rtnetlink");
    tokio::spawn(connection);
    let [left, right] = LINKS;
    handle.link().add(LinkVeth::new(left, right).build()).execute().await.expect("a pair of links");
    up(&handle, "lo").await;
    for (name, last) in LINKS.iter().zip(1..) {
        let index = up(&handle, name).await;
        let address = Ipv4Addr::new(10, 0, 10, last);
        handle.address().add(index, address.into(), 24).execute().await.expect("its address");
    }
}

async fn up(handle: &Handle, name: &str) -> u32 {
    let index = if_nametoindex(name).expect("the link");
    let link = LinkUnspec::new_with_index(index).up().build();
    handle.link().set(link).execute().await.expect("the link is up");
    index
}

fn on_a_runtime(future: impl Future<Output = ()>) {
    runtime::Builder::new_current_thread().enable_all().build().expect("tokio").block_on(future);
}
