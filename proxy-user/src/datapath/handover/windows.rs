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
const WIDE: i32 = i32::MAX;

/// So that what the ends are promised comes within what they take themselves. What they were promised
/// before, the sockets keep room for: packets that are on their way would be thrown away.
pub fn promise_little(sockets: Sockets<'_>) -> io::Result<()> {
    sockets.into_iter().try_for_each(|socket| tcp::clamp_window(socket, LITTLE))
}

pub fn shut(sockets: Sockets<'_>) {
    clamp(sockets, SHUT);
}

/// All the room that a relayed connection has.
pub fn widen(sockets: Sockets<'_>) {
    for socket in sockets {
        if let Err(error) = socket::bound_queues(socket) {
            tracing::debug!("a socket's queues stay small: {error}");
        }
    }
    clamp(sockets, WIDE);
    // What the peers wait for is told them by the probe at its end.
    let _probes = sockets.map(Repair::begin);
}

fn clamp(sockets: Sockets<'_>, bytes: i32) {
    for socket in sockets {
        if let Err(error) = tcp::clamp_window(socket, bytes) {
            tracing::debug!("a socket's window stays as it is: {error}");
        }
    }
}
