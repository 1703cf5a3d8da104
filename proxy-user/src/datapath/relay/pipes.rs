//! The pipes that splice(2) moves bytes through. A connection has one only while bytes move.

use std::{
    io,
    mem::take,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice},
    unistd::pipe2,
};

use super::super::tally::{Failure, Tally, lock};

/// Bytes in flight in one direction, besides what the sockets hold.
const CAPACITY: usize = 512 * 1024;

/// Empty pipes that are kept: making one takes longer than a splice.
const KEPT: usize = 64;

/// All pipes of a process.
#[derive(Debug)]
pub struct Pipes {
    stock: Mutex<Stock>,
    most: usize,
    refused: AtomicBool,
    tally: Arc<Tally>,
}

#[derive(Debug, Default)]
struct Stock {
    spare: Vec<Ends>,
    lent: usize,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

/// Goes back to the others when it is dropped empty, and is closed if it still holds bytes: those
/// are of a connection that broke.
#[derive(Debug)]
pub struct Pipe {
    ends: Option<Ends>,
    held: usize,
    pipes: Arc<Pipes>,
}

impl Pipes {
    /// At most so many are lent at a time.
    pub fn new(most: usize, tally: Arc<Tally>) -> Arc<Self> {
        let (stock, refused) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { stock, most, refused, tally })
    }

    /// None is counted, unless it is known that splice(2) is refused.
    pub fn take(self: &Arc<Self>) -> Option<Pipe> {
        if self.refused.load(Relaxed) {
            return None;
        }
        match self.lend() {
            Ok(ends) => Some(Pipe { ends: Some(ends), held: 0, pipes: self.clone() }),
            Err(_none) => {
                self.tally.failed(Failure::NoPipe);
                None
            }
        }
    }

    /// From here on everything is copied.
    pub fn refuse(&self, error: &io::Error) {
        if !self.refused.swap(true, Relaxed) {
            self.tally.failed(Failure::SpliceRefused);
            tracing::warn!("splice(2) is refused, so all bytes are copied: {error}");
        }
    }

    fn lend(&self) -> io::Result<Ends> {
        let mut stock = self.stock();
        if stock.lent >= self.most {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let ends = stock.spare.pop().map_or_else(make, Ok)?;
        stock.lent += 1;
        Ok(ends)
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        lock(&self.stock)
    }
}

fn make() -> io::Result<Ends> {
    let (read, write) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
    // Beyond its user's share of pipe memory a process without CAP_SYS_RESOURCE is refused (pipe(7)):
    // the pipe then stays as small as it was made, and works.
    let _capacity = fcntl(&write, FcntlArg::F_SETPIPE_SZ(CAPACITY as i32));
    Ok(Ends { read, write })
}

impl Pipe {
    /// How many bytes; 0 at the stream's end.
    pub fn fill(&mut self, from: impl AsFd) -> io::Result<usize> {
        let ends = self.ends.as_ref().ok_or(Errno::EBADF)?;
        let length = move_pages(from, &ends.write, CAPACITY)?;
        self.held += length;
        Ok(length)
    }

    pub fn pour(&mut self, to: impl AsFd) -> io::Result<usize> {
        let ends = self.ends.as_ref().ok_or(Errno::EBADF)?;
        let length = move_pages(&ends.read, to, self.held)?;
        self.held -= length;
        Ok(length)
    }

    pub fn is_empty(&self) -> bool {
        self.held == 0
    }
}

fn move_pages(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
    Ok(splice(from, None, to, None, most, flags)?)
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut stock = self.pipes.stock();
        stock.lent -= 1;
        let is_clean = take(&mut self.held) == 0 && stock.spare.len() < KEPT;
        stock.spare.extend(self.ends.take().filter(|_| is_clean));
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::net::UnixStream};

    use super::*;

    fn pipes(most: usize) -> (Arc<Pipes>, Arc<Tally>) {
        let tally = Arc::new(Tally::default());
        (Pipes::new(most, tally.clone()), tally)
    }

    #[test]
    fn a_pipe_that_comes_back_empty_is_lent_again() {
        let (pipes, _tally) = pipes(1);
        let pipe = pipes.take().unwrap();
        drop(pipe);
        assert_eq!(pipes.stock().spare.len(), 1);
        let _pipe = pipes.take().unwrap();
        assert_eq!(pipes.stock().spare.len(), 0);
    }

    #[test]
    fn a_pipe_that_still_holds_bytes_is_closed() {
        let (pipes, _tally) = pipes(1);
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(b"of a connection that breaks").unwrap();
        let mut pipe = pipes.take().unwrap();
        assert_eq!(pipe.fill(&near).unwrap(), 27);
        drop(pipe);
        assert_eq!(pipes.stock().spare.len(), 0);
        pipes.take().expect("one is lent at a time, and none is");
    }

    #[test]
    fn no_more_are_lent_than_there_may_be_and_the_want_is_counted() {
        let (pipes, tally) = pipes(1);
        let _pipe = pipes.take().unwrap();
        assert!(pipes.take().is_none());
        assert_eq!(tally.status().failures.get("no_pipe"), Some(&1));
    }

    #[test]
    fn once_splicing_is_refused_no_pipe_is_lent_and_it_is_counted_once() {
        let (pipes, tally) = pipes(1);
        let error = io::Error::from(Errno::EINVAL);
        pipes.refuse(&error);
        pipes.refuse(&error);
        assert!(pipes.take().is_none());
        assert_eq!(tally.status().failures.get("splice_refused"), Some(&1));
        assert_eq!(tally.status().failures.get("no_pipe"), None);
    }
}
