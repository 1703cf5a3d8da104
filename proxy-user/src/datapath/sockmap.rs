//! Moves bytes between two sockets in the kernel: both sit in a sockhash, and a program redirects
//! what one receives to the other (proxy-ebpf/src/splice.rs). What the program cannot hand over at
//! once user space carries, as the relay does, so that TCP throttles who sends too fast.

mod btf;
mod line;
mod program;
mod self_test;
mod way;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::Context as _;
use aya::{maps::MapError, sys::SyscallError};
use nix::{
    errno::Errno,
    sys::socket::{
        setsockopt,
        sockopt::{RcvBufForce, SndBufForce},
    },
};
use proxy_common::splice::Cookie;
use socket2::SockRef;
use tokio::net::TcpStream;

use self::{line::Line, program::Program};
use super::{
    account::Account,
    relay::{Manner, Pair, relay},
    tally::{Failure, Open, lock},
};
use crate::status::SockmapStatus;

pub use self::self_test::{Failed, Step};

/// Of each socket; the kernel doubles them for its own overhead. With them, what user space holds and
/// [`proxy_common::splice::PASS_LIMIT`] no direction keeps more than 4 MiB.
const SEND_BUFFER: usize = 512 * 1024;
const RECEIVE_BUFFER: usize = 256 * 1024;

pub struct Sockmap {
    program: Program,
    counts: Counts,
    /// [`proxy_common::splice::weakness`]; 0 but in tests.
    weakness: u32,
}

#[derive(Default)]
struct Counts {
    open: AtomicU64,
    spliced: AtomicU64,
    fell_back: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counts {
    fn fell_back(&self, why: &'static str) {
        let mut reasons = lock(&self.fell_back);
        *reasons.entry(why).or_default() += 1;
    }

    /// But for what is open.
    fn begin_anew(&self) {
        self.spliced.store(0, Relaxed);
        lock(&self.fell_back).clear();
    }
}

/// The two sockets in the map, or one of them: then user space carries both ways.
struct Entered {
    client: Cookie,
    backend: Cookie,
    is_backend_judged: bool,
    /// What client and backend had taken before, see [`tcp::taken`].
    bases: [u64; 2],
}

impl Sockmap {
    /// Needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN. Makes room for so many connections; the others
    /// are relayed.
    pub fn open(connections: u32) -> anyhow::Result<Self> {
        Self::weakened(connections, 0)
    }

    /// Without some of its protections: for tests of the self-test.
    pub fn weakened(connections: u32, weakness: u32) -> anyhow::Result<Self> {
        let program = Program::load(connections, weakness).context("the sockmap program")?;
        Ok(Self { program, counts: Counts::default(), weakness })
    }

    /// The contract of [`relay`], which takes over what the map does not.
    pub async fn splice(
        &self,
        mut pair: Pair,
        account: &Account,
        manner: &Manner,
    ) -> Result<(), Failure> {
        line::send_first(&mut pair, account).await?;
        match self.enter(&pair) {
            Ok(entered) => {
                let _open = Open::count(&self.counts.open);
                self.counts.spliced.fetch_add(1, Relaxed);
                Line::new(self, pair, &entered).carry(account, manner.half_closed).await
            }
            Err(why) => {
                self.counts.fell_back(why);
                relay(pair, account, manner).await
            }
        }
    }

    pub fn status(&self) -> SockmapStatus {
        let fell_back = lock(&self.counts.fell_back);
        SockmapStatus {
            open: self.counts.open.load(Relaxed),
            spliced: self.counts.spliced.load(Relaxed),
            fell_back: fell_back.iter().map(|(why, count)| ((*why).into(), *count)).collect(),
        }
    }

    /// Both, or why neither is in the map. Once one is, it may not leave: what it has received would
    /// be lost.
    fn enter(&self, pair: &Pair) -> Result<Entered, &'static str> {
        let client = prepare(&pair.client).map_err(|_| "not_prepared")?;
        let backend = prepare(&pair.backend).map_err(|_| "not_prepared")?;
        let bases = line::bases(pair)?;
        for socket in [&pair.client, &pair.backend] {
            self.program.guard(socket).map_err(|_| "not_prepared")?;
        }
        // The client first: it is the one that may have said all that it has to say.
        let joined =
            self.announce(client, backend).and_then(|()| self.program.join(backend, &pair.client));
        if let Err(error) = joined {
            self.program.forget(client);
            self.program.forget(backend);
            return Err(reason(&error));
        }
        let other = self.program.join(client, &pair.backend);
        if let Err(error) = &other {
            self.counts.fell_back(reason(error));
        }
        Ok(Entered { client, backend, is_backend_judged: other.is_ok(), bases })
    }

    fn announce(&self, client: Cookie, backend: Cookie) -> Result<(), MapError> {
        self.program.announce(client)?;
        self.program.announce(backend)
    }
}

fn prepare(stream: &TcpStream) -> io::Result<Cookie> {
    setsockopt(stream, SndBufForce, &SEND_BUFFER)?;
    setsockopt(stream, RcvBufForce, &RECEIVE_BUFFER)?;
    SockRef::from(stream).cookie()
}

/// The kernel takes established connections only: none whose peer has ended already.
fn reason(error: &MapError) -> &'static str {
    let MapError::SyscallError(SyscallError { io_error, .. }) = error else { return "refused" };
    match io_error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EOPNOTSUPP) => "ended_early",
        Some(Errno::E2BIG | Errno::ENOMEM) => "map_full",
        _ => "refused",
    }
}
