//! Puts the program at its hook, in place of an earlier agent's and beside everybody else's.

use std::{fs, io, mem};

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

use super::{Hook, pins::Pins};

const PROGRAM: &str = "enigate_tc";
/// Our place among clsact's filters, the same for every agent, so that one replaces another.
const PRIORITY: u16 = 0xe916;
const HANDLE: TcHandle = TcHandle::new(0, 1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    Tcx,
    Clsact,
}

impl Attached {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// The old program, if there is one, forwards until the new one does; no packet sees neither.
pub fn attach(
    ebpf: &mut Ebpf,
    pins: &Pins,
    interface: &str,
    hook: Hook,
) -> anyhow::Result<Attached> {
    let program: &mut SchedClassifier = ebpf
        .program_mut(PROGRAM)
        .ok_or_else(|| anyhow!("{PROGRAM} is not in the object"))?
        .try_into()?;
    program.load().context("the kernel does not take the eBPF program")?;
    match hook {
        Hook::Tcx => tcx(program, pins, interface).with_context(|| {
            format!("hook: tcx: cannot attach to {interface}; it takes Linux 6.6")
        }),
        Hook::Clsact => clsact(program, pins, interface),
        Hook::Auto => tcx(program, pins, interface).or_else(|error| {
            info!("no TCX on {interface}, taking clsact: {error:#}");
            clsact(program, pins, interface)
        }),
    }
}

fn tcx(program: &mut SchedClassifier, pins: &Pins, interface: &str) -> anyhow::Result<Attached> {
    let id = match inherit(program, pins, interface) {
        Some(id) => id,
        None => program.attach_with_options(
            interface,
            TcAttachType::Ingress,
            TcAttachOptions::TcxOrder(LinkOrder::default()),
        )?,
    };
    let link: FdLink = program.take_link(id)?.try_into()?;
    if !pins.link().exists() {
        link.pin(pins.link()).context("cannot pin the TCX link")?;
    }
    remove_filter(interface);
    Ok(Attached::Tcx)
}

/// Replaces the program behind a pinned link, unless that sits on an interface that is gone.
fn inherit(
    program: &mut SchedClassifier,
    pins: &Pins,
    interface: &str,
) -> Option<tc::SchedClassifierLinkId> {
    let pinned = PinnedLink::from_pin(pins.link()).ok()?;
    let replaced = SchedClassifierLink::try_from(FdLink::from(pinned))
        .map_err(anyhow::Error::from)
        .and_then(|link| Ok(program.attach_to_link(link)?));
    match replaced {
        Ok(id) => Some(id),
        Err(error) => {
            warn!("the pinned link cannot be taken over, attaching to {interface} anew: {error:#}");
            remove_pin(pins);
            None
        }
    }
}

fn clsact(program: &mut SchedClassifier, pins: &Pins, interface: &str) -> anyhow::Result<Attached> {
    match tc::qdisc_add_clsact(interface) {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() != Some(nix::libc::EEXIST) => {
            return Err(error).with_context(|| format!("cannot add clsact to {interface}"));
        }
        _ => {}
    }
    let options = || {
        TcAttachOptions::Netlink(NlOptions { priority: PRIORITY, handle: HANDLE, classid: None })
    };
    let id = match program.attach_with_options(interface, TcAttachType::Ingress, options()) {
        Ok(id) => id,
        Err(_taken) => {
            let old = SchedClassifierLink::attached(
                interface,
                TcAttachType::Ingress,
                PRIORITY,
                HANDLE,
                None,
            )?;
            program
                .attach_to_link(old)
                .with_context(|| format!("hook: clsact: cannot attach to {interface}"))?
        }
    };
    // Dropping the link would take the filter away, and with it every flow.
    mem::forget(program.take_link(id)?);
    remove_pin(pins);
    Ok(Attached::Clsact)
}

/// An earlier agent's link at the other hook: the program must not run twice.
fn remove_pin(pins: &Pins) {
    match fs::remove_file(pins.link()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!("{}: cannot be removed: {error}", pins.link().display());
        }
        _ => {}
    }
}

/// An earlier agent's filter at the other hook.
fn remove_filter(interface: &str) {
    match tc::qdisc_detach_program(interface, TcAttachType::Ingress, PROGRAM) {
        Ok(()) => debug!("removed an earlier agent's clsact filter from {interface}"),
        Err(TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => debug!("no clsact filter could be listed on {interface}: {error}"),
    }
}
