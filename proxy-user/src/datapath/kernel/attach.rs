//! Puts the programs at their hooks, in place of an earlier agent's and beside everybody else's.
//!
//! TC always has its program: it carries everything. XDP, where it is asked for, is an accelerator
//! in front of it.

mod others;
mod tc;
mod xdp;

use std::{fs, io, path::Path};

use aya::Ebpf;
use proxy_common::config::Opens;
use tracing::warn;

use self::tc::Post;
pub use self::tc::remove_filters;
use super::{
    Hook,
    host::{self, Interface},
    pins::Pins,
    sys,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    Tcx,
    Clsact,
    /// In the driver, before TC.
    Xdp,
    /// In the stack's emulation of it, before TC.
    XdpGeneric,
}

impl Attached {
    /// The name of the hook, and of a link's pin.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::Xdp => "xdp",
            Self::XdpGeneric => "xdp-generic",
        }
    }
}

/// An old program, if there is one, forwards until the new one does; no packet sees neither.
pub fn attach(
    ebpf: &mut Ebpf,
    pins: &Pins,
    interface: &Interface,
    hook: Hook,
    opens: Opens,
) -> anyhow::Result<Attached> {
    let name = &interface.name;
    // The guard first: without it nothing may be handed over.
    let posts: &[Post] = match opens {
        Opens::Listener => &[Post::Guard, Post::Gate],
        Opens::Program => &[Post::Gate],
    };
    let below = match hook {
        Hook::Tcx => tc::tcx(ebpf, pins, name, posts)?,
        Hook::Clsact => tc::clsact(ebpf, pins, name, posts)?,
        Hook::Auto | Hook::Xdp | Hook::XdpGeneric => tc::best(ebpf, pins, name, posts)?,
    };
    if opens == Opens::Program {
        tc::leave(pins, name, Post::Guard);
    }
    let accelerated = match hook {
        Hook::Xdp => xdp::native(ebpf, pins, interface),
        Hook::XdpGeneric => xdp::generic(ebpf, pins, interface),
        Hook::Auto | Hook::Tcx | Hook::Clsact => {
            xdp::detach(pins);
            return Ok(below);
        }
    };
    Ok(accelerated.unwrap_or_else(|error| {
        xdp::detach(pins);
        warn!("hook: XDP cannot be had on {name}, staying with {}: {error:#}", below.as_str());
        below
    }))
}

/// Takes away an earlier agent's link, and with it its program from the hook.
pub fn remove_pin(link: &Path) {
    match remove_link(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!("{}: cannot be removed: {error}", link.display());
        }
        _ => {}
    }
}

/// The program is off the hook when this returns.
pub fn remove_link(link: &Path) -> io::Result<()> {
    sys::detach(&sys::pinned(link)?)?;
    fs::remove_file(link)
}

/// Ends the work of an earlier agent on an interface that this one does not sit on.
pub fn leave(pins: &Pins, ifindex: u32) {
    for hook in [Attached::Xdp, Attached::XdpGeneric] {
        remove_pin(&pins.link(hook.as_str()));
    }
    let Some(name) = host::name_of(ifindex) else {
        warn!("the interface of the earlier agent, number {ifindex}, is gone");
        return Post::ALL.iter().for_each(|post| remove_pin(&post.pin(pins)));
    };
    warn!("the earlier agent sat on {name}: its programs are removed from there");
    Post::ALL.iter().for_each(|post| tc::leave(pins, &name, *post));
}
