//! The TC hooks: TCX, which has links, and clsact before it.

use std::{io, mem, path::PathBuf};

use anyhow::{Context as _, anyhow};
use aya::{
    Ebpf,
    programs::{
        LinkOrder, SchedClassifier, TcAttachType,
        links::{FdLink, PinnedLink},
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle},
    },
};
use tracing::{debug, info, warn};

use super::{Attached, others, remove_pin};
use crate::datapath::kernel::pins::Pins;

/// Our place among clsact's filters, the same for every agent, so that one replaces another.
const PRIORITY: u16 = 0xe916;
const HANDLE: TcHandle = TcHandle::new(0, 1);

/// What we have at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Post {
    /// At ingress: forwards.
    Gate,
    /// At egress: looks at what the agent's own sockets send.
    Guard,
}

impl Post {
    pub const ALL: [Self; 2] = [Self::Gate, Self::Guard];

    const fn program(self) -> &'static str {
        match self {
            Self::Gate => "enigate_tc",
            Self::Guard => "enigate_guard",
        }
    }

    const fn side(self) -> TcAttachType {
        match self {
            Self::Gate => TcAttachType::Ingress,
            Self::Guard => TcAttachType::Egress,
        }
    }

    /// The first of all programs at ingress, and the last at egress, since each may keep packets
    /// from those after it, and change them. Somebody else's that came later stays beyond ours.
    fn order(self) -> LinkOrder {
        match self {
            Self::Gate => LinkOrder::first(),
            Self::Guard => LinkOrder::last(),
        }
    }

    pub fn pin(self, pins: &Pins) -> PathBuf {
        pins.link(match self {
            Self::Gate => Attached::Tcx.as_str(),
            Self::Guard => "guard",
        })
    }
}

/// TCX where the kernel has it, from 6.6 on.
pub fn best(
    ebpf: &mut Ebpf,
    pins: &Pins,
    interface: &str,
    posts: &[Post],
) -> anyhow::Result<Attached> {
    tcx(ebpf, pins, interface, posts).or_else(|error| {
        info!("no TCX on {interface}, taking clsact: {error:#}");
        clsact(ebpf, pins, interface, posts)
    })
}

pub fn tcx(
    ebpf: &mut Ebpf,
    pins: &Pins,
    interface: &str,
    posts: &[Post],
) -> anyhow::Result<Attached> {
    posts.iter().try_for_each(|post| link(ebpf, pins, interface, *post))?;
    Ok(Attached::Tcx)
}

pub fn clsact(
    ebpf: &mut Ebpf,
    pins: &Pins,
    interface: &str,
    posts: &[Post],
) -> anyhow::Result<Attached> {
    match tc::qdisc_add_clsact(interface) {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() != Some(nix::libc::EEXIST) => {
            return Err(error)
                .with_context(|| format!("hook: clsact: cannot add clsact to {interface}"));
        }
        _ => {}
    }
    posts.iter().try_for_each(|post| filter(ebpf, pins, interface, *post))?;
    Ok(Attached::Clsact)
}

/// Takes ours away from where an earlier agent had put it.
pub fn leave(pins: &Pins, interface: &str, post: Post) {
    remove_pin(&post.pin(pins));
    remove_stale_filter(interface, post);
}

fn link(ebpf: &mut Ebpf, pins: &Pins, interface: &str, post: Post) -> anyhow::Result<()> {
    let program = program(ebpf, post)?;
    let id = match inherit(program, pins, interface, post) {
        Some(id) => id,
        None => program
            .attach_with_options(interface, post.side(), TcAttachOptions::TcxOrder(post.order()))
            .with_context(|| {
                format!("hook: tcx: cannot attach to {interface}; it takes Linux 6.6")
            })?,
    };
    let ours = program.info()?.id();
    let link: FdLink = program.take_link(id)?.try_into()?;
    if !post.pin(pins).exists() {
        link.pin(post.pin(pins)).context("cannot pin the TCX link")?;
    }
    // An earlier agent's at the other hook: the program must not run twice.
    remove_stale_filter(interface, post);
    if post == Post::Gate {
        others::tell_at_tcx(interface, ours);
    }
    Ok(())
}

/// Replaces the program behind a pinned link, unless that sits on an interface that is gone.
fn inherit(
    program: &mut SchedClassifier,
    pins: &Pins,
    interface: &str,
    post: Post,
) -> Option<tc::SchedClassifierLinkId> {
    let pinned = PinnedLink::from_pin(post.pin(pins)).ok()?;
    let replaced = SchedClassifierLink::try_from(FdLink::from(pinned))
        .map_err(anyhow::Error::from)
        .and_then(|link| Ok(program.attach_to_link(link)?));
    match replaced {
        Ok(id) => Some(id),
        Err(error) => {
            warn!("the pinned link cannot be taken over, attaching to {interface} anew: {error:#}");
            remove_pin(&post.pin(pins));
            None
        }
    }
}

fn filter(ebpf: &mut Ebpf, pins: &Pins, interface: &str, post: Post) -> anyhow::Result<()> {
    let program = program(ebpf, post)?;
    let place = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
    let options = TcAttachOptions::Netlink(place);
    let id = match program.attach_with_options(interface, post.side(), options) {
        Ok(id) => id,
        Err(_taken) => {
            let old =
                SchedClassifierLink::attached(interface, post.side(), PRIORITY, HANDLE, None)?;
            program
                .attach_to_link(old)
                .with_context(|| format!("hook: clsact: cannot attach to {interface}"))?
        }
    };
    // Dropping the link would take the filter away, and with it every flow.
    mem::forget(program.take_link(id)?);
    remove_pin(&post.pin(pins));
    Ok(())
}

/// Loaded once, whichever hook it then goes to.
fn program(ebpf: &mut Ebpf, post: Post) -> anyhow::Result<&mut SchedClassifier> {
    let name = post.program();
    let program: &mut SchedClassifier =
        ebpf.program_mut(name).ok_or_else(|| anyhow!("{name} is not in the object"))?.try_into()?;
    if program.fd().is_err() {
        program.load().with_context(|| format!("the kernel does not take {name} for TC"))?;
    }
    Ok(program)
}

fn remove_stale_filter(interface: &str, post: Post) {
    match remove_one(interface, post) {
        Ok(true) => debug!("removed an earlier agent's clsact filter from {interface}"),
        Ok(false) => {}
        Err(error) => debug!("{error:#}"),
    }
}

/// Our filters, of whichever agent, known by their programs' names. Were there any?
pub fn remove_filters(interface: &str) -> anyhow::Result<bool> {
    let mut any = false;
    for post in Post::ALL {
        any |= remove_one(interface, post)?;
    }
    Ok(any)
}

fn remove_one(interface: &str, post: Post) -> anyhow::Result<bool> {
    match tc::qdisc_detach_program(interface, post.side(), post.program()) {
        Ok(()) => Ok(true),
        Err(TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => {
            Err(error).with_context(|| format!("{interface}: cannot remove the clsact filter"))
        }
    }
}
