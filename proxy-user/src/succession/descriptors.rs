//! Listening sockets over a Unix socket (unix(7), SCM_RIGHTS).

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::TcpListener,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::{io::Interest, net::UnixStream};

/// That one message may carry: SCM_MAX_FD in include/net/scm.h.
const MOST: usize = 253;
const SPACE: usize = rustix::cmsg_space!(ScmRights(MOST));

/// A byte at least must go with them.
const HERE: u8 = b'S';

pub async fn send(stream: &UnixStream, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    if sockets.len() > MOST {
        return Err(io::Error::other(format!(
            "{} sockets are too many for one message",
            sockets.len()
        )));
    }
    stream
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); SPACE];
            let mut rights = SendAncillaryBuffer::new(&mut space);
            rights.push(SendAncillaryMessage::ScmRights(sockets));
            let bytes = [IoSlice::new(&[HERE])];
            sendmsg(stream, &bytes, &mut rights, SendFlags::empty()).map_err(io::Error::from)
        })
        .await
        .map(drop)
}

pub async fn receive(stream: &UnixStream) -> io::Result<Vec<TcpListener>> {
    let received = stream
        .async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); SPACE];
            let mut rights = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let mut bytes = [IoSliceMut::new(&mut byte)];
            let received = recvmsg(stream, &mut bytes, &mut rights, RecvFlags::CMSG_CLOEXEC)?;
            let sockets: Vec<OwnedFd> = rights
                .drain()
                .filter_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
                    _ => None,
                })
                .flatten()
                .collect();
            match received.bytes {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(sockets),
            }
        })
        .await?;
    Ok(received.into_iter().map(TcpListener::from).collect())
}
