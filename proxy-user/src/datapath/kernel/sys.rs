//! The bpf(2) commands that aya has no call for, typed.

#![allow(unsafe_code, reason = "no library in use wraps these commands")]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use nix::libc;

/// Of `enum bpf_cmd` in `include/uapi/linux/bpf.h`.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Command {
    ObjectGet = 7,
    LinkDetach = 34,
}

#[repr(C)]
#[derive(Default)]
struct ObjectGet {
    path: u64,
    fd: u32,
    flags: u32,
}

#[repr(C)]
struct LinkDetach {
    link: RawFd,
}

/// What is pinned there, whatever it is.
pub fn pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut get = ObjectGet { path: path.as_ptr() as u64, ..ObjectGet::default() };
    // SAFETY: the attributes are this command's, and the path outlives the call.
    let fd = unsafe { bpf(Command::ObjectGet, &mut get) }?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// At once, while removing a link's last pin takes effect some time later.
pub fn detach(link: &impl AsFd) -> io::Result<()> {
    let mut detach = LinkDetach { link: link.as_fd().as_raw_fd() };
    // SAFETY: the attributes are this command's.
    unsafe { bpf(Command::LinkDetach, &mut detach) }.map(drop)
}

/// # Safety
///
/// `attributes` must be laid out as the command's part of `union bpf_attr`, and what they point to
/// must be there.
unsafe fn bpf<T>(command: Command, attributes: &mut T) -> io::Result<RawFd> {
    // SAFETY: as promised by the caller; the kernel reads and writes `size_of::<T>()` bytes.
    let code = unsafe {
        libc::syscall(libc::SYS_bpf, command as u32, &raw mut *attributes, size_of::<T>())
    };
    match code {
        -1 => Err(io::Error::last_os_error()),
        code => RawFd::try_from(code).map_err(io::Error::other),
    }
}
