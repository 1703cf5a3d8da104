//! The kernel's settings about ports, of the network namespace that the calling thread is in.

use std::{
    fs::{self, File},
    io::Read as _,
};

use anyhow::{Context as _, ensure};

use super::set::PortSet;

pub const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
/// More than every second port takes to write.
const LONGEST: usize = 256 * 1024;

/// In one call: the kernel answers a second one with nothing, whatever is left
/// (`proc_do_large_bitmap` in `kernel/sysctl.c`), and `fs::read_to_string` begins with 32 bytes.
pub fn read(path: &str) -> anyhow::Result<String> {
    let mut bytes = vec![0; LONGEST];
    let read = File::open(path).and_then(|mut file| file.read(&mut bytes));
    bytes.truncate(read.with_context(|| format!("cannot read {path}"))?);
    ensure!(bytes.len() < LONGEST, "{path}: is longer than {LONGEST} bytes");
    String::from_utf8(bytes).with_context(|| format!("{path}: is no text"))
}

/// What the kernel passes over.
pub fn reserved() -> anyhow::Result<PortSet> {
    read(RESERVED)?.parse().context(RESERVED)
}

pub fn reserve_only(ports: &PortSet) -> anyhow::Result<()> {
    fs::write(RESERVED, format!("{ports}\n")).with_context(|| format!("cannot write {RESERVED}"))
}
