//! What the two sockets of a connection promise their ends, while it is on its way into the flow
//! table.

use std::io;

use tokio::net::TcpStream;

use super::dial::PROMISE;
use crate::{
    datapath::socket,
    tcp::{self, Repair},
};

/// The client's and the backend's.
pub type Sockets<'a> = [&'a TcpStream; 2];

/// Bytes; the kernel makes the least of it that it can.
const SHUT: i32 = 1;
const LITTLE: i32 = PROMISE as i32;

/// So that what the ends are promised comes within what they take themselves. What they were promised
/// before, the sockets keep room for: packets that are on their way would be thrown away.
pub fn promise_little(sockets: Sockets<'_>) -> io::Result<()> {
    sockets.into_iter().try_for_each(|socket| tcp::clamp_window(socket, LITTLE))
}

pub fn shut<'a>(sockets: impl IntoIterator<Item = &'a TcpStream>) {
    for socket in sockets {
        note(tcp::clamp_window(socket, SHUT));
    }
}

/// As before they were shut.
pub fn reopen(sockets: Sockets<'_>) {
    for socket in sockets {
        note(tcp::clamp_window(socket, LITTLE));
        tell(socket);
    }
}

/// All the room that a relayed connection has.
pub fn widen(sockets: Sockets<'_>) {
    for socket in sockets {
        note(socket::bound_open(socket));
        tell(socket);
    }
}

/// What its peer may wait for is in the probe with which a socket leaves repair mode.
fn tell(socket: &TcpStream) {
    note(Repair::begin(socket).map(drop));
}

fn note(done: io::Result<()>) {
    if let Err(error) = done {
        tracing::debug!("a socket's window stays as it is: {error}");
    }
}
