//! Takes everything out of the kernel that agents have put there, whatever their layout.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, ensure};
use nix::{net::if_::if_nametoindex, unistd::geteuid};

use super::{
    attach, host,
    pins::{self, Layout},
    ports::{self, Reserved},
};

/// Removes links, filter, reserved ports, maps and folder, in this order, so that no program is left
/// without its maps. Returns what it has removed, a line each; nothing if nothing was there.
///
/// A clsact filter is looked for on the interface that the pinned configuration names, and on
/// `interface`, if that is given.
pub fn detach(pin_dir: &Path, interface: Option<&str>) -> anyhow::Result<Vec<String>> {
    ensure!(geteuid().is_root(), "detach: needs root to change the kernel's hooks; run it as root");
    let mut interfaces = BTreeSet::new();
    if let Some(name) = interface {
        if_nametoindex(name)
            .with_context(|| format!("interface: {name}: there is no such interface"))?;
        interfaces.insert(name.to_owned());
    }
    remove(pin_dir, interfaces)
}

/// What an attempt to attach has left, where there was nothing before.
pub fn clear(pin_dir: &Path) -> anyhow::Result<()> {
    remove(pin_dir, BTreeSet::new()).map(drop)
}

fn remove(pin_dir: &Path, mut interfaces: BTreeSet<String>) -> anyhow::Result<Vec<String>> {
    let layouts = pins::layouts(pin_dir)?;
    layouts.iter().try_for_each(|layout| pins::must_be_on_bpffs(layout.folder()))?;
    let mut removed = Vec::new();
    interfaces.extend(layouts.iter().filter_map(recorded_interface));
    for layout in &layouts {
        removed.extend(remove_links(layout)?);
    }
    for name in interfaces {
        if attach::remove_filters(&name)? {
            removed.push(format!("clsact filters of {name}"));
        }
    }
    for layout in &layouts {
        removed.extend(give_back_ports(layout)?);
        removed.extend(remove_folder(layout)?);
    }
    if !layouts.is_empty() && is_empty(pin_dir) {
        fs::remove_dir(pin_dir).with_context(|| cannot(pin_dir))?;
    }
    Ok(removed)
}

/// `None` too if the interface is gone, and the filter with it.
fn recorded_interface(layout: &Layout) -> Option<String> {
    host::name_of(layout.interface()?)
}

fn remove_links(layout: &Layout) -> anyhow::Result<Vec<String>> {
    let mut removed = Vec::new();
    for link in layout.links()? {
        attach::remove_link(&link).with_context(|| cannot(&link))?;
        removed.push(format!("link {}", link.display()));
    }
    Ok(removed)
}

/// No program is left that would use them.
fn give_back_ports(layout: &Layout) -> anyhow::Result<Option<String>> {
    let pin = layout.folder().join(ports::MAP);
    if !pin.exists() {
        return Ok(None);
    }
    let mut reserved = Reserved::from_pin(&pin)?;
    let ours = reserved.ours()?;
    reserved.give_back(&ours).with_context(|| format!("source-ports: {ours}: stay reserved"))?;
    Ok((!ours.is_empty()).then(|| format!("reservation of source ports {ours}")))
}

fn remove_folder(layout: &Layout) -> anyhow::Result<Vec<String>> {
    let mut removed = Vec::new();
    for map in layout.entries()? {
        fs::remove_file(&map).with_context(|| cannot(&map))?;
        removed.push(format!("map {}", map.display()));
    }
    fs::remove_dir(layout.folder()).with_context(|| cannot(layout.folder()))?;
    removed.push(format!("folder {}", layout.folder().display()));
    Ok(removed)
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn cannot(path: &Path) -> String {
    format!("{}: cannot be removed", path.display())
}
