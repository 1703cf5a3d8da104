//! XDP, in the driver or emulated.

use std::{fs, path::Path};

use anyhow::{Context as _, anyhow, ensure};
use aya::{
    Ebpf,
    programs::{
        Xdp, XdpMode,
        links::{FdLink, PinnedLink},
        xdp::{XdpLink, XdpLinkId},
    },
};

use super::{Attached, remove_pin};
use crate::datapath::kernel::pins::Pins;

const PROGRAM: &str = "enigate_xdp";

pub fn native(ebpf: &mut Ebpf, pins: &Pins, interface: &str) -> anyhow::Result<Attached> {
    remove_pin(&pins.link(Attached::XdpGeneric));
    attach(ebpf, &pins.link(Attached::Xdp), interface, XdpMode::Driver).with_context(|| {
        format!(
            "xdp: the driver of {interface} does not take it (MTU {}); drivers without \
             multi-buffer XDP want an MTU of about 3,500 or less, and ENA at most half of its queues",
            mtu(interface)
        )
    })?;
    Ok(Attached::Xdp)
}

pub fn generic(ebpf: &mut Ebpf, pins: &Pins, interface: &str) -> anyhow::Result<Attached> {
    remove_pin(&pins.link(Attached::Xdp));
    attach(ebpf, &pins.link(Attached::XdpGeneric), interface, XdpMode::Skb)
        .with_context(|| format!("xdp-generic: cannot attach to {interface}"))?;
    Ok(Attached::XdpGeneric)
}

pub fn detach(pins: &Pins) {
    remove_pin(&pins.link(Attached::Xdp));
    remove_pin(&pins.link(Attached::XdpGeneric));
}

fn attach(ebpf: &mut Ebpf, pin: &Path, interface: &str, mode: XdpMode) -> anyhow::Result<()> {
    routes_are_looked_up(interface)?;
    let program: &mut Xdp = ebpf
        .program_mut(PROGRAM)
        .ok_or_else(|| anyhow!("{PROGRAM} is not in the object"))?
        .try_into()?;
    program.load().context("the kernel does not take the program for XDP")?;
    let id = match inherit(program, pin) {
        Some(id) => id,
        None => {
            remove_pin(pin);
            program.attach(interface, mode)?
        }
    };
    let link: FdLink = program.take_link(id)?.try_into()?;
    if !pin.exists() {
        link.pin(pin).context("cannot pin the XDP link")?;
    }
    Ok(())
}

/// Replaces the program behind a pinned link, unless that sits on an interface that is gone.
fn inherit(program: &mut Xdp, pin: &Path) -> Option<XdpLinkId> {
    let pinned = PinnedLink::from_pin(pin).ok()?;
    let link = XdpLink::try_from(FdLink::from(pinned)).ok()?;
    program.attach_to_link(link).ok()
}

/// `bpf_fib_lookup` finds no route where the interface may not forward.
fn routes_are_looked_up(interface: &str) -> anyhow::Result<()> {
    let setting = format!("net.ipv4.conf.{interface}.forwarding");
    let path = format!("/proc/sys/net/ipv4/conf/{interface}/forwarding");
    let value = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    ensure!(value.trim() == "1", "{setting} must be 1 for XDP to find routes; set it with sysctl");
    Ok(())
}

fn mtu(interface: &str) -> String {
    let path = format!("/sys/class/net/{interface}/mtu");
    fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}
