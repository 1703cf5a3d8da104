//! A program that somebody else has put on a host's link: it passes everything on.

#![allow(unsafe_code, reason = "a program of two instructions takes no loader but bpf(2) itself")]

use std::{
    fs, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use anyhow::Context as _;
use nix::{libc, net::if_::if_nametoindex};

pub const NAME: &str = "stranger";

/// Of `enum bpf_cmd`, `enum bpf_prog_type` and `enum bpf_attach_type` in linux/bpf.h.
const PROG_LOAD: u32 = 5;
const LINK_CREATE: u32 = 28;
const SCHED_CLS: u32 = 3;
const XDP: u32 = 6;
const AT_XDP: u32 = 37;
const AT_TCX_INGRESS: u32 = 46;
const XDP_IN_THE_DRIVER: u32 = 1 << 2;
const TCX_NEXT: i32 = -1;
const XDP_PASS: i32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// After those that are there.
    Tcx,
    XdpDriver,
}

/// There for as long as this lives.
#[derive(Debug)]
pub struct Foreign {
    id: u32,
    _link: OwnedFd,
}

#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
struct Link {
    program: RawFd,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
}

impl Foreign {
    /// Call it inside the host's namespace.
    pub(crate) fn on(link: &str, spot: Spot) -> anyhow::Result<Self> {
        let (kind, verdict, attach_type, flags) = match spot {
            Spot::Tcx => (SCHED_CLS, TCX_NEXT, AT_TCX_INGRESS, 0),
            Spot::XdpDriver => (XDP, XDP_PASS, AT_XDP, XDP_IN_THE_DRIVER),
        };
        let program = load(kind, verdict).context("loading a program of two instructions")?;
        let place = Link {
            program: program.as_raw_fd(),
            ifindex: if_nametoindex(link)?,
            attach_type,
            flags,
        };
        let attached = bpf(LINK_CREATE, &place).with_context(|| format!("attaching to {link}"))?;
        Ok(Self { id: id(&program)?, _link: attached })
    }

    /// As the kernel and the agent know it.
    pub fn id(&self) -> u32 {
        self.id
    }
}

fn load(kind: u32, verdict: i32) -> io::Result<OwnedFd> {
    const MOVE_TO_R0: u8 = 0xb7;
    const EXIT: u8 = 0x95;
    let instruction = |code, immediate| Instruction { code, registers: 0, offset: 0, immediate };
    let program = [instruction(MOVE_TO_R0, verdict), instruction(EXIT, 0)];
    let mut name = [0; 16];
    name[..NAME.len()].copy_from_slice(NAME.as_bytes());
    let load = Load {
        kind,
        count: 2,
        instructions: program.as_ptr() as u64,
        licence: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name,
    };
    bpf(PROG_LOAD, &load)
}

fn id(program: &OwnedFd) -> anyhow::Result<u32> {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd()))?;
    let id = about.lines().find_map(|line| line.strip_prefix("prog_id:"));
    Ok(id.context("a program without an id")?.trim().parse()?)
}

/// For commands that give a file descriptor.
fn bpf<T>(command: u32, attributes: &T) -> io::Result<OwnedFd> {
    let attributes = std::ptr::from_ref(attributes);
    // SAFETY: both callers lay their attributes out as the command's part of `union bpf_attr`, and
    // what these point to outlives the call; the kernel only reads.
    let code = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if code < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = RawFd::try_from(code).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
