//! Connects to a backend from a port at which the connection can be handed over.

use std::{io, net::SocketAddr};

use proxy_common::addr::{Addr, Port, socket};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

use super::{
    counts::Obstacle,
    passage::{Backend, Passage},
    prospect::Prospect,
};
use crate::{
    backends,
    tcp::{self, Held},
};

/// Bytes that a backend may send before the client has taken any; the kernel grants half of what it
/// is asked to keep. A peer that is promised no more than Linux clients take can be handed over to
/// one from the beginning (tcp_rmem, tcp(7)).
pub const PROMISE: usize = 48 * 1024;
/// The largest that the kernel takes for `TCP_MAXSEG` (net/ipv4/tcp.c).
const LARGEST_SEGMENT: u16 = 32_767;

/// With the passage that the connection may take, or with what keeps it from that: then it is
/// connected to as any other.
pub async fn connect(
    backend: &backends::Backend,
    prospect: &Result<Prospect, Obstacle>,
) -> io::Result<(TcpStream, Result<Passage, Obstacle>)> {
    let tried = match prospect {
        Ok(prospect) => from_a_port(prospect, backend).await?,
        Err(obstacle) => Err(*obstacle),
    };
    match tried {
        Ok((stream, passage)) => Ok((stream, Ok(passage))),
        Err(obstacle) => Ok((TcpStream::connect(backend.address).await?, Err(obstacle))),
    }
}

async fn from_a_port(
    prospect: &Prospect,
    backend: &backends::Backend,
) -> io::Result<Result<(TcpStream, Passage), Obstacle>> {
    let to = Backend {
        address: Addr::from(backend.address.ip()),
        port: Port::new(backend.address.port()),
        id: backend.id,
        takes: backend.segment,
    };
    if !prospect.suits(backend.address) {
        return Ok(Err(Obstacle::OtherAddress));
    }
    for port in prospect.handover.sources.tries() {
        let passage = Passage::new(prospect.clone(), to, port);
        if passage.is_port_taken() {
            continue;
        }
        match dial(prospect, port, backend.address).await {
            Err(error) if is_taken(&error) => {}
            connected => return connected.map(|stream| Ok((stream, passage))),
        }
    }
    Ok(Err(Obstacle::NoPort))
}

/// By a socket of this host's, if only by one that waits for stragglers.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

async fn dial(prospect: &Prospect, port: Port, to: SocketAddr) -> io::Result<TcpStream> {
    let source = socket(prospect.handover.address(prospect.client.local), port);
    let socket = socket_at(prospect, source)?;
    let stream = TcpSocket::from_std_stream(socket.into()).connect(to).await?;
    tcp::hold_queues(&stream, Held::Received)?;
    Ok(stream)
}

fn socket_at(prospect: &Prospect, source: SocketAddr) -> io::Result<Socket> {
    let stream = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(source), stream, Some(Protocol::TCP))?;
    // The same port towards another backend is another connection.
    socket.set_reuse_address(true)?;
    tcp::promise_at_first(&socket, PROMISE)?;
    if let Some(segment) = prospect.segment {
        // What the client takes is all that the backend may be told of.
        socket.set_tcp_mss(segment.get().min(LARGEST_SEGMENT).into())?;
    }
    socket.bind(&source.into())?;
    Ok(socket)
}
