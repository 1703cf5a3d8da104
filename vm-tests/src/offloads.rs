//! What a veth leaves undone since nothing of it ever gets onto a wire, done all the same.
//!
//! XDP in the driver's mode asks two things of the other end of a veth pair, here the router's:
//!
//! - No checksum left to a network card. Between namespaces packets travel with CHECKSUM_PARTIAL:
//!   the field holds the pseudo header's sum, and a mark on the skb says so. XDP sees the field
//!   and not the mark, and what it sends back by XDP_TX has lost the mark for good. Without
//!   checksum offload there is no segmentation offload either, so that frames are of MTU size.
//! - A program of its own. XDP_TX puts frames into the other end's receive ring, which exists only
//!   while that end polls: because it has a program, or GRO. With GRO alone frames do get into the
//!   ring, and lie there: seen on 6.18, where the sender counted `xdp_tx` and no error, and the
//!   receiver never polled. With a program that passes everything they arrive.

#![allow(unsafe_code, reason = "a request of the kernel that takes a pointer to its argument")]

use std::{
    ffi::c_char,
    io,
    os::fd::AsRawFd as _,
    ptr::{from_mut, from_ref},
};

use anyhow::Context as _;
use aya::{
    Ebpf, EbpfLoader,
    programs::{Xdp, XdpMode},
};
use nix::{
    libc::{self, ifreq},
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};
use proxy_user::datapath::kernel::object;

/// linux/sockios.h and linux/ethtool.h.
const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_STXCSUM: u32 = 0x17;

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// Call it inside the link's namespace.
pub(crate) fn send_checksummed(link: &str) -> anyhow::Result<()> {
    set(link, ETHTOOL_STXCSUM, false).with_context(|| format!("{link}: tx checksumming off"))
}

/// For as long as the result lives. The agent's own program, without a configuration, passes
/// everything. Call it inside the link's namespace.
pub(crate) fn poll(link: &str) -> anyhow::Result<Ebpf> {
    let mut ebpf = EbpfLoader::new().map_max_entries("FLOWS", 1).load(object()?)?;
    let program: &mut Xdp =
        ebpf.program_mut("enigate_xdp").context("the object has no program for XDP")?.try_into()?;
    program.load()?;
    let attached = program.attach(link, XdpMode::Driver);
    attached.with_context(|| format!("{link}: attaching a program that passes everything"))?;
    Ok(ebpf)
}

fn set(link: &str, command: u32, on: bool) -> anyhow::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut value = EthtoolValue { command, data: on.into() };
    let mut request = request_about(link)?;
    request.ifr_ifru.ifru_data = from_mut(&mut value).cast();
    // SAFETY: both structures are as the kernel knows them and live until it has answered.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, from_ref(&request)) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
}

fn request_about(link: &str) -> anyhow::Result<ifreq> {
    // SAFETY: integers and a union of integers and pointers, for which zero is a value.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    // Its last byte stays zero.
    anyhow::ensure!(link.len() < request.ifr_name.len(), "{link}: no link has so long a name");
    for (to, from) in request.ifr_name.iter_mut().zip(link.bytes()) {
        *to = from as c_char;
    }
    Ok(request)
}
