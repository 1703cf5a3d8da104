//! One direction's two sockets, and the four ways to move bytes off and onto them.

use std::{
    io,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use proxy_common::flow::Direction;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, Interest, ReadBuf},
    net::TcpStream,
};

use super::{
    super::{account::Account, tally::Failure},
    pipes::{Pipe, Pipes},
};

pub struct Lane<'a> {
    pub from: &'a mut TcpStream,
    pub to: &'a mut TcpStream,
    pub from_broke: Failure,
    pub to_broke: Failure,
    pub direction: Direction,
    pub account: &'a Account,
    pub pipes: &'a Arc<Pipes>,
    /// The other direction has ended.
    pub is_last: bool,
}

impl Lane<'_> {
    /// How many bytes; 0 at the end. After a short read tokio waits for the next event without
    /// asking the socket again.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, Failure>> {
        let mut buffer = ReadBuf::new(buffer);
        let read = ready!(Pin::new(&mut *self.from).poll_read(context, &mut buffer));
        Poll::Ready(read.map(|()| buffer.filled().len()).map_err(|_| self.from_broke))
    }

    pub fn write(
        &mut self,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, Failure>> {
        let written = ready!(Pin::new(&mut *self.to).poll_write(context, bytes));
        Poll::Ready(self.count(written))
    }

    /// Into an empty pipe, where `WouldBlock` can only mean that the socket has nothing. The error
    /// is the socket's, or says that it cannot be spliced.
    pub fn fill(&self, pipe: &mut Pipe, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.from.poll_read_ready(context))?;
            match self.from.try_io(Interest::READABLE, || pipe.fill(&*self.from)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                filled => return Poll::Ready(filled),
            }
        }
    }

    /// Until the pipe is empty.
    pub fn pour(&self, pipe: &mut Pipe, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        while !pipe.is_empty() {
            ready!(self.to.poll_write_ready(context)).map_err(|_| self.to_broke)?;
            match self.to.try_io(Interest::WRITABLE, || pipe.pour(&*self.to)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                poured => self.count(poured).map(drop)?,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Passes the source's end on: everything before it was taken. Of the last direction, closing
    /// the socket does.
    pub fn end(&self) -> Result<(), Failure> {
        if self.is_last {
            return Ok(());
        }
        SockRef::from(&*self.to).shutdown(Shutdown::Write).map_err(|_| self.to_broke)
    }

    fn count(&self, written: io::Result<usize>) -> Result<usize, Failure> {
        let length = written.map_err(|_| self.to_broke)?;
        self.account.moved(self.direction, length as u64);
        Ok(length)
    }
}
