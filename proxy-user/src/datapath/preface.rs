//! What a client, or the load balancer for it, must say before a backend is chosen: a header of the
//! PROXY protocol, a server name. What has been read travels on with the connection.

mod alert;
mod header;
mod headers;
mod hello;
mod names;
mod reading;
mod refused;
mod tlv;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::{io, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

pub use self::{
    alert::turn_away,
    header::Consumer,
    hello::ServerName,
    names::SniTable,
    reading::{News, Preface, Reading},
    refused::Refused,
};
use super::{socket, tally::Failure};

/// Room that is made once there is something to read: a client that is silent has no buffer.
const CHUNK: usize = 4096;

#[derive(Clone, Copy, Debug)]
pub struct Wants {
    /// One header at least; without it the connection is refused.
    pub proxy_protocol: bool,
    /// A whole ClientHello, with a name in it or without.
    pub server_name: bool,
    /// For all of it together, from the first call on: who trickles gains nothing.
    pub header_timeout: Duration,
}

/// Reads what `wants` says and no more than a chunk beyond it.
///
/// A connection that its client closed before it had said anything ends in peace; any other that is
/// refused here is to be dropped, which resets it.
///
/// # Errors
/// Why the connection is refused, or [`Failure::ClientBroke`].
pub async fn read(client: &TcpStream, wants: Wants) -> Result<Preface, Failure> {
    let deadline = Instant::now() + wants.header_timeout;
    let mut reading = Reading::new(wants.proxy_protocol, wants.server_name);
    let mut event = Event::News(News::Bytes);
    loop {
        if let Some(preface) = take_in(&mut reading, &event, client)? {
            return Ok(preface);
        }
        event = next(client, deadline, reading.buffer()).await;
    }
}

enum Event {
    News(News),
    /// A reset, or whatever else keeps the socket from being read.
    Broke,
}

async fn next(client: &TcpStream, deadline: Instant, buffer: &mut Vec<u8>) -> Event {
    loop {
        match timeout_at(deadline, client.readable()).await {
            Err(_elapsed) => return Event::News(News::Late),
            Ok(Err(_)) => return Event::Broke,
            Ok(Ok(())) => buffer.reserve(CHUNK),
        }
        match client.try_read_buf(buffer) {
            Ok(0) => return Event::News(News::End),
            Ok(_) => return Event::News(News::Bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Event::Broke,
        }
    }
}

fn take_in(
    reading: &mut Reading,
    event: &Event,
    client: &TcpStream,
) -> Result<Option<Preface>, Failure> {
    let (taken, is_broken) = match event {
        Event::News(news) => (reading.hear(*news), false),
        Event::Broke => (reading.hear(News::End), true),
    };
    match taken {
        // A health check may as well end by a reset.
        Err(refused) if refused.is_quiet() => {
            socket::close_in_peace(client).map_err(|_| Failure::ClientBroke)?;
            Err(refused.into())
        }
        _ if is_broken => Err(Failure::ClientBroke),
        taken => taken.map_err(Failure::from),
    }
}
