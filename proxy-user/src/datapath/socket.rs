//! What both legs of a relayed connection have in common, and how the listener is bound.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::config::Legs;

const BACKLOG: i32 = 4096;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// From here on the stream is closed by a reset, however it comes to be dropped, until
/// [`close_in_peace`] says that every byte has been passed on.
pub fn prepare(stream: &TcpStream, legs: Legs) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(legs.keepalive).with_interval(KEEPALIVE_INTERVAL);
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(legs.user_timeout))?;
    socket.set_linger(Some(Duration::ZERO))
}

pub fn close_in_peace(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(None)
}
