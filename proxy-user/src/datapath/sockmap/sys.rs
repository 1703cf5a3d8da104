//! What the kernel knows of a TCP socket and no library in use asks for.

#![allow(unsafe_code, reason = "getsockopt(2), setsockopt(2) and ioctl(2) on plain integers")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use nix::libc::{self, c_int, socklen_t};

/// `struct tcp_info` of include/uapi/linux/tcp.h, up to the field that counts here.
#[repr(C)]
#[derive(Clone, Copy)]
struct TcpInfo {
    state: u8,
    before: [u8; 119],
    bytes_acked: u64,
}

/// `tcpi_state` of a socket that was reset, or has given up (include/net/tcp_states.h).
const TCP_CLOSE: u8 = 7;

/// Of `include/uapi/linux/tcp.h`: leaves repair mode without a probe of the peer's window.
const TCP_REPAIR_OFF_NO_WP: c_int = -1;
const TCP_RECV_QUEUE: c_int = 1;
const TCP_SEND_QUEUE: c_int = 2;

/// How many bytes the socket has taken in its life, give or take its SYN. Never ahead of the truth:
/// what is acknowledged between the two questions counts in neither. An error for one that is reset:
/// it takes nothing any more.
pub fn taken(socket: &impl AsRawFd) -> io::Result<u64> {
    let blank = TcpInfo { state: 0, before: [0; 119], bytes_acked: 0 };
    let info = option(socket, libc::TCP_INFO, blank)?;
    if info.state == TCP_CLOSE {
        return Err(io::ErrorKind::NotConnected.into());
    }
    Ok(info.bytes_acked + unacknowledged(socket)?)
}

/// Bytes in the send queue (SIOCOUTQ).
pub fn unacknowledged(socket: &impl AsRawFd) -> io::Result<u64> {
    queue(socket, libc::TIOCOUTQ)
}

/// Bytes in the receive queue (SIOCINQ).
pub fn unread(socket: &impl AsRawFd) -> io::Result<u64> {
    queue(socket, libc::FIONREAD)
}

/// The sequence numbers of the next byte to send and of the next to come (tcp_repair, tcp(7)).
pub fn sequences(socket: &impl AsRawFd) -> io::Result<(u32, u32)> {
    set(socket, libc::TCP_REPAIR, 1)?;
    let of = |queue| {
        set(socket, libc::TCP_REPAIR_QUEUE, queue)?;
        option(socket, libc::TCP_QUEUE_SEQ, 0_u32)
    };
    let both = of(TCP_SEND_QUEUE).and_then(|send| Ok((send, of(TCP_RECV_QUEUE)?)));
    set(socket, libc::TCP_REPAIR, TCP_REPAIR_OFF_NO_WP)?;
    both
}

fn queue(socket: &impl AsRawFd, request: libc::Ioctl) -> io::Result<u64> {
    let mut bytes: c_int = 0;
    // SAFETY: these requests write one integer.
    if unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut bytes) } == -1 {
        return Err(io::Error::last_os_error());
    }
    u64::try_from(bytes).map_err(io::Error::other)
}

/// Attaches a program of type socket filter (SO_ATTACH_BPF).
pub fn filter(socket: &impl AsRawFd, program: &impl AsFd) -> io::Result<()> {
    set_at(socket, libc::SOL_SOCKET, libc::SO_ATTACH_BPF, program.as_fd().as_raw_fd())
}

/// `T` is plain integers: the callers are all here.
fn option<T: Copy>(socket: &impl AsRawFd, name: c_int, mut value: T) -> io::Result<T> {
    let wanted = size_of::<T>() as socklen_t;
    let mut len = wanted;
    // SAFETY: the kernel writes at most `len` bytes, which is the value's size, and any bytes of
    // plain integers are a value.
    let code = unsafe {
        let value = (&raw mut value).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, name, value, &raw mut len)
    };
    match code {
        -1 => Err(io::Error::last_os_error()),
        _ if len < wanted => Err(io::ErrorKind::Unsupported.into()),
        _ => Ok(value),
    }
}

fn set(socket: &impl AsRawFd, name: c_int, value: c_int) -> io::Result<()> {
    set_at(socket, libc::IPPROTO_TCP, name, value)
}

fn set_at(socket: &impl AsRawFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let len = size_of_val(&value) as socklen_t;
    // SAFETY: the kernel reads one integer.
    let code = unsafe {
        let value = (&raw const value).cast();
        libc::setsockopt(socket.as_raw_fd(), level, name, value, len)
    };
    if code == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
