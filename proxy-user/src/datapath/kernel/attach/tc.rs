//! The TC hooks at ingress: TCX, which has links, and clsact before it.

use std::{io, mem};

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

const PROGRAM: &str = "enigate_tc";
/// Our place among clsact's filters, the same for every agent, so that one replaces another.
const PRIORITY: u16 = 0xe916;
const HANDLE: TcHandle = TcHandle::new(0, 1);

/// TCX where the kernel has it, from 6.6 on.
pub fn best(ebpf: &mut Ebpf, pins: &Pins, interface: &str) -> anyhow::Result<Attached> {
    tcx(ebpf, pins, interface).or_else(|error| {
        info!("no TCX on {interface}, taking clsact: {error:#}");
        clsact(ebpf, pins, interface)
    })
}

/// The first of all programs there, since each may keep packets from those after it. A program of
/// somebody else that came first after that stays so.
pub fn tcx(ebpf: &mut Ebpf, pins: &Pins, interface: &str) -> anyhow::Result<Attached> {
    let program = program(ebpf)?;
    let id = match inherit(program, pins, interface) {
        Some(id) => id,
        None => program
            .attach_with_options(
                interface,
                TcAttachType::Ingress,
                TcAttachOptions::TcxOrder(LinkOrder::first()),
            )
            .with_context(|| {
                format!("hook: tcx: cannot attach to {interface}; it takes Linux 6.6")
            })?,
    };
    let ours = program.info()?.id();
    let link: FdLink = program.take_link(id)?.try_into()?;
    if !pins.link(Attached::Tcx).exists() {
        link.pin(pins.link(Attached::Tcx)).context("cannot pin the TCX link")?;
    }
    // An earlier agent's at the other hook: the program must not run twice.
    match remove_filter(interface) {
        Ok(true) => debug!("removed an earlier agent's clsact filter from {interface}"),
        Ok(false) => {}
        Err(error) => debug!("{error:#}"),
    }
    others::tell_at_tcx(interface, ours);
    Ok(Attached::Tcx)
}

/// Replaces the program behind a pinned link, unless that sits on an interface that is gone.
fn inherit(
    program: &mut SchedClassifier,
    pins: &Pins,
    interface: &str,
) -> Option<tc::SchedClassifierLinkId> {
    let pinned = PinnedLink::from_pin(pins.link(Attached::Tcx)).ok()?;
    let replaced = SchedClassifierLink::try_from(FdLink::from(pinned))
        .map_err(anyhow::Error::from)
        .and_then(|link| Ok(program.attach_to_link(link)?));
    match replaced {
        Ok(id) => Some(id),
        Err(error) => {
            warn!("the pinned link cannot be taken over, attaching to {interface} anew: {error:#}");
            remove_pin(&pins.link(Attached::Tcx));
            None
        }
    }
}

pub fn clsact(ebpf: &mut Ebpf, pins: &Pins, interface: &str) -> anyhow::Result<Attached> {
    let program = program(ebpf)?;
    match tc::qdisc_add_clsact(interface) {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() != Some(nix::libc::EEXIST) => {
            return Err(error)
                .with_context(|| format!("hook: clsact: cannot add clsact to {interface}"));
        }
        _ => {}
    }
    let place = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
    let options = TcAttachOptions::Netlink(place);
    let id = match program.attach_with_options(interface, TcAttachType::Ingress, options) {
        Ok(id) => id,
        Err(_taken) => {
            let ingress = TcAttachType::Ingress;
            let old = SchedClassifierLink::attached(interface, ingress, PRIORITY, HANDLE, None)?;
            program
                .attach_to_link(old)
                .with_context(|| format!("hook: clsact: cannot attach to {interface}"))?
        }
    };
    // Dropping the link would take the filter away, and with it every flow.
    mem::forget(program.take_link(id)?);
    remove_pin(&pins.link(Attached::Tcx));
    Ok(Attached::Clsact)
}

/// Loaded once, whichever hook it then goes to.
fn program(ebpf: &mut Ebpf) -> anyhow::Result<&mut SchedClassifier> {
    let program: &mut SchedClassifier = ebpf
        .program_mut(PROGRAM)
        .ok_or_else(|| anyhow!("{PROGRAM} is not in the object"))?
        .try_into()?;
    if program.fd().is_err() {
        program.load().context("the kernel does not take the program for TC")?;
    }
    Ok(program)
}

/// Our filter, of whichever agent, known by its program's name. Was there one?
pub fn remove_filter(interface: &str) -> anyhow::Result<bool> {
    match tc::qdisc_detach_program(interface, TcAttachType::Ingress, PROGRAM) {
        Ok(()) => Ok(true),
        Err(TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => {
            Err(error).with_context(|| format!("{interface}: cannot remove the clsact filter"))
        }
    }
}
