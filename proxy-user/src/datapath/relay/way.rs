//! One direction of a relay. Messages are copied, which is cheapest for them; a read that fills the
//! buffer is bulk, and splice(2) goes on with it.

use std::{
    cell::RefCell,
    io,
    mem::take,
    task::{Context, Poll, ready},
};

use nix::libc::EINVAL;

use super::{super::tally::Failure, lane::Lane, pipes::Pipe};

/// What a message may be to be copied, bytes: more than a record of TLS, which is 16 KiB and a
/// little (RFC 8446, section 5.2).
const MESSAGE: usize = 32 * 1024;

/// How often one direction may move before the others of its thread have their turn.
const TURNS: usize = 16;

thread_local! {
    /// Between two polls it holds nothing, so one for each thread is enough.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; MESSAGE]);
}

pub enum Way {
    Copying(Copy),
    Splicing(Splice),
    /// And the other side was told.
    Ended,
}

#[derive(Default)]
pub struct Copy {
    /// Read and not yet written: mostly nothing.
    rest: Vec<u8>,
    written: usize,
    was_full: bool,
}

#[derive(Default)]
pub struct Splice {
    /// Only while bytes move.
    pipe: Option<Pipe>,
    /// Since the source last had nothing.
    moved: usize,
}

enum Next {
    Same,
    Copy,
    Splice,
    End,
}

impl Way {
    /// Bytes that are to be written before any others.
    pub fn holding(rest: Vec<u8>) -> Self {
        Self::Copying(Copy { rest, ..Copy::default() })
    }

    pub const fn has_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// Nothing is held, and it has not ended.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Copying(copy) => copy.rest.is_empty(),
            Self::Splicing(splice) => splice.pipe.as_ref().is_none_or(Pipe::is_empty),
            Self::Ended => false,
        }
    }

    /// Until the source has ended and the other side has taken everything, its end too.
    pub fn poll(
        &mut self,
        lane: &mut Lane<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        for _ in 0..TURNS {
            let next = match self {
                Self::Copying(copy) => ready!(copy.poll_turn(lane, context))?,
                Self::Splicing(splice) => ready!(splice.poll_turn(lane, context))?,
                Self::Ended => return Poll::Ready(Ok(())),
            };
            match next {
                Next::Same => {}
                Next::Copy => *self = Self::Copying(Copy::default()),
                Next::Splice => *self = Self::Splicing(Splice::default()),
                Next::End => {
                    lane.end()?;
                    *self = Self::Ended;
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Copy {
    fn poll_turn(
        &mut self,
        lane: &mut Lane<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Next, Failure>> {
        ready!(self.poll_flush(lane, context))?;
        if take(&mut self.was_full) {
            return Poll::Ready(Ok(Next::Splice));
        }
        BUFFER.with_borrow_mut(|buffer| {
            let length = ready!(lane.read(buffer, context))?;
            if length == 0 {
                return Poll::Ready(Ok(Next::End));
            }
            self.was_full = length == buffer.len();
            self.write(&buffer[..length], lane, context).map(|()| Next::Same).into()
        })
    }

    /// What the other side does not take at once is kept.
    fn write(
        &mut self,
        bytes: &[u8],
        lane: &mut Lane<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let written = match lane.write(bytes, context)? {
            Poll::Ready(written) => written,
            Poll::Pending => 0,
        };
        self.rest = bytes[written..].to_vec();
        Ok(())
    }

    fn poll_flush(
        &mut self,
        lane: &mut Lane<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        while self.written < self.rest.len() {
            self.written += ready!(lane.write(&self.rest[self.written..], context))?;
        }
        (self.rest, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl Splice {
    fn poll_turn(
        &mut self,
        lane: &mut Lane<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Next, Failure>> {
        let Some(pipe) = self.pipe.take().or_else(|| lane.pipes.take()) else {
            return Poll::Ready(Ok(Next::Copy));
        };
        let pipe = self.pipe.insert(pipe);
        ready!(lane.pour(pipe, context))?;
        match lane.fill(pipe, context) {
            Poll::Pending => self.rest(),
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(Next::End)),
            Poll::Ready(Ok(length)) => {
                self.moved += length;
                Poll::Ready(Ok(Next::Same))
            }
            Poll::Ready(Err(error)) => Poll::Ready(refused(&error, lane)),
        }
    }

    /// The source has nothing: whether it goes on in bulk is guessed from what it had.
    fn rest(&mut self) -> Poll<Result<Next, Failure>> {
        self.pipe = None;
        match take(&mut self.moved) < MESSAGE {
            true => Poll::Ready(Ok(Next::Copy)),
            false => Poll::Pending,
        }
    }
}

fn refused(error: &io::Error, lane: &Lane<'_>) -> Result<Next, Failure> {
    if error.raw_os_error() == Some(EINVAL) {
        lane.pipes.refuse(error);
        return Ok(Next::Copy);
    }
    Err(lane.from_broke)
}
