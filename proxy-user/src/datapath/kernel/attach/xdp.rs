//! XDP, in the driver or emulated.

mod occupants;

use std::{fs, net::IpAddr, path::Path};

use anyhow::{Context as _, anyhow, ensure};
use aya::{
    Ebpf,
    programs::{
        Xdp, XdpMode,
        links::{FdLink, PinnedLink},
        xdp::{XdpLink, XdpLinkId},
    },
};

use self::occupants::occupants;
use super::{Attached, others, remove_pin};
use crate::datapath::kernel::{host::Interface, pins::Pins};

const PROGRAM: &str = "enigate_xdp";

pub fn native(ebpf: &mut Ebpf, pins: &Pins, interface: &Interface) -> anyhow::Result<Attached> {
    remove_pin(&pins.link(Attached::XdpGeneric.as_str()));
    attach(ebpf, &pins.link(Attached::Xdp.as_str()), interface, XdpMode::Driver, || {
        let name = &interface.name;
        format!(
            "xdp: the driver of {name} does not take it (MTU {}); drivers without multi-buffer \
             XDP want an MTU of about 3,500 or less, and ENA at most half of its queues",
            mtu(name)
        )
    })?;
    Ok(Attached::Xdp)
}

pub fn generic(ebpf: &mut Ebpf, pins: &Pins, interface: &Interface) -> anyhow::Result<Attached> {
    remove_pin(&pins.link(Attached::Xdp.as_str()));
    attach(ebpf, &pins.link(Attached::XdpGeneric.as_str()), interface, XdpMode::Skb, || {
        format!("xdp-generic: cannot attach to {}", interface.name)
    })?;
    Ok(Attached::XdpGeneric)
}

pub fn detach(pins: &Pins) {
    remove_pin(&pins.link(Attached::Xdp.as_str()));
    remove_pin(&pins.link(Attached::XdpGeneric.as_str()));
}

fn attach(
    ebpf: &mut Ebpf,
    pin: &Path,
    interface: &Interface,
    mode: XdpMode,
    refused: impl FnOnce() -> String,
) -> anyhow::Result<()> {
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
            nobody_sits_there(interface)?;
            program.attach(&interface.name, mode).with_context(refused)?
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

/// There is room for one. Ours, of an earlier agent, is gone by now.
fn nobody_sits_there(interface: &Interface) -> anyhow::Result<()> {
    let Interface { name, index, .. } = interface;
    let ids = occupants(*index).context("cannot ask who sits at XDP")?;
    ensure!(
        ids.is_empty(),
        "{} sits at XDP of {name} already; remove it, or use --hook tcx",
        others::describe(&ids)
    );
    Ok(())
}

/// `bpf_fib_lookup` finds no route where the interface may not forward; the families that clients
/// come by are asked for.
fn routes_are_looked_up(interface: &Interface) -> anyhow::Result<()> {
    let mut off = Vec::new();
    let serves = |is_of: fn(&IpAddr) -> bool| interface.addresses.iter().any(is_of);
    for (family, is_served) in
        [("ipv4", serves(IpAddr::is_ipv4)), ("ipv6", serves(IpAddr::is_ipv6))]
    {
        if is_served && !forwards(family, &interface.name)? {
            off.push(format!("net.{family}.conf.{}.forwarding", interface.name));
        }
    }
    let off = off.join(" and ");
    ensure!(off.is_empty(), "{off} must be 1 for XDP to find routes; set it with sysctl");
    Ok(())
}

fn forwards(family: &str, interface: &str) -> anyhow::Result<bool> {
    let path = format!("/proc/sys/net/{family}/conf/{interface}/forwarding");
    let value = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(value.trim() == "1")
}

fn mtu(interface: &str) -> String {
    let path = format!("/sys/class/net/{interface}/mtu");
    fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}
