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

use aya::{
    Pod,
    maps::{HashMap, IterableMap as _, MapData},
};
use nix::libc;

/// Of `enum bpf_cmd` in `include/uapi/linux/bpf.h`.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Command {
    MapUpdate = 2,
    MapDelete = 3,
    ObjectGet = 7,
    MapLookupBatch = 24,
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

#[repr(C)]
struct Element {
    map: RawFd,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct Batch {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: RawFd,
    element_flags: u64,
    flags: u64,
}

/// How far a hash has been read: a place in the table, which holds while entries come and go.
#[derive(Clone, Copy, Debug)]
pub struct Cursor(u32);

/// Reads up to `most` entries into `keys` and `values`, in place of what is there. Returns where to
/// go on; `None` when the table is at its end.
pub fn lookup_batch<K: Pod, V: Pod>(
    map: &HashMap<MapData, K, V>,
    from: Option<Cursor>,
    most: usize,
    keys: &mut Vec<K>,
    values: &mut Vec<V>,
) -> io::Result<Option<Cursor>> {
    keys.clear();
    values.clear();
    keys.reserve_exact(most);
    values.reserve_exact(most);
    let mut to = Cursor(0);
    let mut batch = Batch {
        from: from.as_ref().map_or(0, |from| &raw const from.0 as u64),
        to: &raw mut to.0 as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: u32::try_from(most).map_err(io::Error::other)?,
        map: map.map().fd().as_fd().as_raw_fd(),
        element_flags: 0,
        flags: 0,
    };
    // SAFETY: the attributes are this command's; both buffers have room for `count` elements, whose
    // sizes aya has compared with the map's.
    let read = unsafe { bpf(Command::MapLookupBatch, &mut batch) };
    let is_end = match read {
        Ok(_) => false,
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
        Err(error) => return Err(error),
    };
    let count = most.min(batch.count as usize);
    // SAFETY: the kernel has written that many of each, and any bytes of a `Pod` are a value.
    unsafe {
        keys.set_len(count);
        values.set_len(count);
    }
    Ok((!is_end).then_some(to))
}

/// `flags`: `BPF_ANY` or `BPF_NOEXIST`. aya asks for the map alone to itself.
pub fn update<K: Pod, V: Pod>(
    map: &HashMap<MapData, K, V>,
    key: &K,
    value: &V,
    flags: u64,
) -> io::Result<()> {
    let mut element = Element {
        map: map.map().fd().as_fd().as_raw_fd(),
        padding: 0,
        key: &raw const *key as u64,
        value: &raw const *value as u64,
        flags,
    };
    // SAFETY: the attributes are this command's; key and value have the sizes that aya has compared
    // with the map's.
    unsafe { bpf(Command::MapUpdate, &mut element) }.map(drop)
}

pub fn delete<K: Pod, V: Pod>(map: &HashMap<MapData, K, V>, key: &K) -> io::Result<()> {
    let mut element = Element {
        map: map.map().fd().as_fd().as_raw_fd(),
        padding: 0,
        key: &raw const *key as u64,
        value: 0,
        flags: 0,
    };
    // SAFETY: as for an update.
    unsafe { bpf(Command::MapDelete, &mut element) }.map(drop)
}

/// `None` if these are not a `T`'s bytes.
pub fn read<T: Pod>(bytes: &[u8]) -> Option<T> {
    // SAFETY: as many bytes as a `T` has, and any bytes of a `Pod` are a value.
    (bytes.len() == size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
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
