//! What both legs of a relayed connection have in common, and how the listener is bound.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::AsFd,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{
        SetSockOpt, setsockopt,
        sockopt::{RcvBuf, RcvBufForce, SndBuf, SndBufForce},
    },
};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

use super::handover::PROMISE;
use crate::{config::Legs, tcp};

const BACKLOG: i32 = 4096;

/// Bytes of a socket's queues, of which the kernel grants twice as much for what it needs besides
/// the payload (socket(7)). Received, in a pipe and to be sent: a way whose reader has stalled holds
/// 2 MiB + 512 KiB + 1.5 MiB, where autotuning alone would let it hold three times as much.
const RECEIVE: usize = 1024 * 1024;
const SEND: usize = 768 * 1024;

/// What the connections of a listening socket keep room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// For what a relay holds.
    Relayed,
    /// They may be handed over: they promise little at first.
    HandedOver,
}

/// So many sockets share the address, and the kernel spreads connections over them. What they
/// accept is prepared: Linux clones the listening socket with its options.
///
/// The first is bound without `SO_REUSEPORT`, which is an error where anything else listens, and
/// sets it only then: nobody shares the address by mistake.
pub fn listen(
    address: SocketAddr,
    legs: Legs,
    room: Room,
    count: usize,
) -> io::Result<Vec<TcpListener>> {
    let first = socket(address)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        let next = socket(address)?;
        next.set_reuse_port(true)?;
        next.bind(&bound)?;
        sockets.push(next);
    }
    let opened = |socket| {
        make_room(&socket, room)?;
        listening(socket, legs)
    };
    sockets.into_iter().map(opened).collect()
}

/// Sockets that another has bound, and copies of them where they are fewer than `count`. For as long
/// as that one serves, and may go on to, they keep the room that it gave them.
pub fn share(given: Vec<TcpListener>, legs: Legs, count: usize) -> io::Result<Vec<TcpListener>> {
    let missing = count.saturating_sub(given.len());
    let copies: Vec<_> =
        given.iter().cycle().take(missing).map(TcpListener::try_clone).collect::<Result<_, _>>()?;
    let sockets = given.into_iter().chain(copies);
    sockets.map(|socket| listening(socket.into(), legs)).collect()
}

/// The kernel takes connections from here on, which have what the socket has by then.
fn listening(socket: Socket, legs: Legs) -> io::Result<TcpListener> {
    prepare(&socket, legs)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// From here on the stream is closed by a reset, however it comes to be dropped, until
/// [`close_in_peace`] says that every byte has been passed on.
///
/// How many keepalives may go unanswered is for the user timeout to say (tcp(7)).
pub fn prepare(stream: &impl AsFd, legs: Legs) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(legs.keepalive);
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(legs.user_timeout))?;
    socket.set_linger(Some(Duration::ZERO))
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Where the kernel cannot do what a handover needs, nothing is handed over.
fn make_room(socket: &impl AsFd, room: Room) -> io::Result<()> {
    match room {
        Room::HandedOver if promise_at_first(socket).is_ok() => Ok(()),
        Room::HandedOver | Room::Relayed => bound_queues(socket),
    }
}

/// Of a listening socket, as [`tcp::promise_at_first`]. An error where the kernel cannot do that.
///
/// One that has that room already is left alone: what comes while it is set anew would be held to it.
pub fn promise_at_first(socket: &impl AsFd) -> io::Result<()> {
    if SockRef::from(socket).recv_buffer_size()? != 2 * PROMISE {
        tcp::promise_at_first(socket, PROMISE)?;
    }
    bound_sending(socket)
}

/// Of an open connection: its window has so far gone by how small its queue was at first.
pub fn bound_open(stream: &TcpStream) -> io::Result<()> {
    bound_queues(stream)?;
    tcp::clamp_window(stream, i32::MAX)
}

/// A stream of few bytes can do without: its queues grow as they are used.
pub fn bound_queues(stream: &impl AsFd) -> io::Result<()> {
    set_or_less(stream, RcvBufForce, RcvBuf, RECEIVE)?;
    bound_sending(stream)
}

fn bound_sending(stream: &impl AsFd) -> io::Result<()> {
    set_or_less(stream, SndBufForce, SndBuf, SEND)
}

/// Without CAP_NET_ADMIN the kernel grants no more than `net.core.rmem_max` and `wmem_max`.
fn set_or_less<Force, Plain>(
    stream: &impl AsFd,
    force: Force,
    plain: Plain,
    bytes: usize,
) -> io::Result<()>
where
    Force: SetSockOpt<Val = usize>,
    Plain: SetSockOpt<Val = usize>,
{
    match setsockopt(stream, force, &bytes) {
        Err(Errno::EPERM) => Ok(setsockopt(stream, plain, &bytes)?),
        set => Ok(set?),
    }
}

pub fn close_in_peace(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(None)
}

#[cfg(test)]
mod tests;
