//! What the kernel knows of a TCP socket and no library in use asks for.

#![allow(unsafe_code, reason = "getsockopt(2), setsockopt(2) and ioctl(2) on plain integers")]

mod info;

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd},
};

use nix::libc::{self, c_int, socklen_t};
use socket2::SockRef;

pub use self::info::{TcpInfo, Terms};

/// `tcpi_state` (include/net/tcp_states.h).
const TCP_ESTABLISHED: u8 = 1;
/// Of a socket that was reset, or has given up.
const TCP_CLOSE: u8 = 7;

/// Of `include/uapi/linux/tcp.h`: leaves repair mode without a probe of the peer's window.
const TCP_REPAIR_OFF_NO_WP: c_int = -1;
/// With a probe, which the peer must answer.
const TCP_REPAIR_OFF: c_int = 0;
const TCP_NO_QUEUE: c_int = 0;
/// Of `include/uapi/asm-generic/socket.h` and `include/uapi/linux/socket.h`.
const SO_BUF_LOCK: c_int = 72;
const SOCK_SNDBUF_LOCK: c_int = 1;
const SOCK_RCVBUF_LOCK: c_int = 2;
/// Of `include/uapi/linux/sockios.h`.
const SIOCOUTQNSD: libc::Ioctl = 0x894b;
const TCP_RECV_QUEUE: c_int = 1;
const TCP_SEND_QUEUE: c_int = 2;

/// How many bytes the socket has taken in its life, give or take its SYN. Never ahead of the truth:
/// what is acknowledged between the two questions counts in neither. An error for one that is reset:
/// it takes nothing any more.
pub fn taken(socket: &impl AsRawFd) -> io::Result<u64> {
    let info = TcpInfo::of(socket)?;
    if info.state == TCP_CLOSE {
        return Err(io::ErrorKind::NotConnected.into());
    }
    Ok(info.bytes_acked + unacknowledged(socket)?)
}

/// Bytes in the send queue (SIOCOUTQ).
pub fn unacknowledged(socket: &impl AsRawFd) -> io::Result<u64> {
    queue(socket, libc::TIOCOUTQ)
}

/// Bytes in the send queue that have not been sent even once.
pub fn unsent(socket: &impl AsRawFd) -> io::Result<u64> {
    queue(socket, SIOCOUTQNSD)
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

/// Where a connection stands at its socket: sequence numbers, and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Of the next byte that is written.
    pub write_next: u32,
    /// Written and not acknowledged.
    pub unacknowledged: u32,
    /// Of the next byte to come.
    pub receive_next: u32,
    /// Received and not read.
    pub unread: u32,
}

impl Numbers {
    /// The oldest sequence number of ours that the peer has not acknowledged.
    pub const fn acked(&self) -> u32 {
        self.write_next.wrapping_sub(self.unacknowledged)
    }
}

/// A socket in repair mode: its numbers can be read, and it is closed without a word (tcp_repair in
/// net/ipv4/tcp.c). Needs CAP_NET_ADMIN. Dropped, it probes its peer's window.
pub struct Repair<'a, S: AsRawFd>(&'a S);

impl<'a, S: AsRawFd> Repair<'a, S> {
    pub fn begin(socket: &'a S) -> io::Result<Self> {
        set(socket, libc::TCP_REPAIR, 1)?;
        Ok(Self(socket))
    }

    /// An error unless the connection is open both ways.
    pub fn numbers(&self) -> io::Result<Numbers> {
        let numbers = self.read();
        set(self.0, libc::TCP_REPAIR_QUEUE, TCP_NO_QUEUE)?;
        match TcpInfo::of(self.0)?.state {
            TCP_ESTABLISHED => numbers,
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The largest segment that the peer has told us of, in bytes, but no more than our own
    /// `TCP_MAXSEG`.
    pub fn takes(&self) -> io::Result<u16> {
        let bytes = option(self.0, libc::TCP_MAXSEG, 0_u32)?;
        Ok(u16::try_from(bytes).unwrap_or(u16::MAX))
    }

    /// For good: dropping the socket tells the peer nothing.
    pub fn keep(self) {
        mem::forget(self);
    }

    fn read(&self) -> io::Result<Numbers> {
        set(self.0, libc::TCP_REPAIR_QUEUE, TCP_RECV_QUEUE)?;
        let (receive_next, unread) = self.received()?;
        set(self.0, libc::TCP_REPAIR_QUEUE, TCP_SEND_QUEUE)?;
        let write_next = option(self.0, libc::TCP_QUEUE_SEQ, 0_u32)?;
        let unacknowledged = small(unacknowledged(self.0)?)?;
        Ok(Numbers { write_next, unacknowledged, receive_next, unread })
    }

    /// More may come between the two questions: they are put until nothing does.
    fn received(&self) -> io::Result<(u32, u32)> {
        loop {
            let before = option(self.0, libc::TCP_QUEUE_SEQ, 0_u32)?;
            let unread = small(unread(self.0)?)?;
            if option(self.0, libc::TCP_QUEUE_SEQ, 0_u32)? == before {
                return Ok((before, unread));
            }
        }
    }
}

impl<S: AsRawFd> Drop for Repair<'_, S> {
    fn drop(&mut self) {
        if let Err(error) = leave_repair(self.0, TCP_REPAIR_OFF) {
            tracing::error!("a socket stays in repair mode: {error}");
        }
    }
}

/// What a socket tells in repair mode alone, without a word to its peer.
pub fn in_repair<'a, S: AsRawFd, T>(
    socket: &'a S,
    ask: impl FnOnce(&Repair<'a, S>) -> io::Result<T>,
) -> io::Result<T> {
    let repair = Repair::begin(socket)?;
    let answer = ask(&repair);
    repair.keep();
    leave_repair(socket, TCP_REPAIR_OFF_NO_WP)?;
    answer
}

/// The kernel forgets meanwhile that the port may be shared (tcp_repair in net/ipv4/tcp.c), which
/// other connections want to.
fn leave_repair(socket: &impl AsRawFd, how: c_int) -> io::Result<()> {
    set(socket, libc::TCP_REPAIR, how)?;
    set_at(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)
}

/// How far ahead of what was read the peer may send, in bytes, from what it has not yet been granted
/// on; the kernel goes no lower than 1,152.
pub fn clamp_window(socket: &impl AsRawFd, bytes: c_int) -> io::Result<()> {
    set(socket, libc::TCP_WINDOW_CLAMP, bytes)
}

/// Of a socket that is not connected yet, or listens: what it promises at first is half of what it
/// keeps room for, and what it may ever promise the host's own (SO_BUF_LOCK, from Linux 5.14 on). A
/// socket whose room somebody has set offers a window scale for that room alone (tcp_connect_init in
/// net/ipv4/tcp_output.c), and is held to it when its buffers are gone.
pub fn promise_at_first(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    SockRef::from(socket).set_recv_buffer_size(bytes)?;
    set_at(&socket.as_fd(), libc::SOL_SOCKET, SO_BUF_LOCK, 0)
}

/// Which of a socket's queues are no longer the kernel's to let grow.
#[derive(Clone, Copy, Debug)]
pub enum Held {
    Received,
    Both,
}

/// From now on such a socket, which is open, promises about what it does at first: the kernel would
/// raise that a hundredfold with the first bytes that are read (tcp_rcv_space_adjust in
/// net/ipv4/tcp_input.c), and cannot take it back.
pub fn hold_queues(socket: &impl AsRawFd, held: Held) -> io::Result<()> {
    let locks = match held {
        Held::Received => SOCK_RCVBUF_LOCK,
        Held::Both => SOCK_RCVBUF_LOCK | SOCK_SNDBUF_LOCK,
    };
    set_at(socket, libc::SOL_SOCKET, SO_BUF_LOCK, locks)
}

fn small(bytes: u64) -> io::Result<u32> {
    u32::try_from(bytes).map_err(io::Error::other)
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
