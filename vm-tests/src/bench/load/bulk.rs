//! Bytes without end over a few connections, a thread for each. What counts is what the receiver
//! has got: for `up` the server says so now and then.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::anyhow;
use rustix::net::sockopt::set_socket_linger;

use super::{
    Ask, Outcome, Window,
    outcome::Failures,
    serve::CHUNK,
    stream::{Failure, PATIENCE},
};

/// Of the reports from the server: next to nothing beside the bytes they are about.
const REPORT_EVERY: u32 = 1 << 20;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    direction: Direction,
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    streams: usize,
    #[command(flatten)]
    window: Window,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Direction {
    /// To the client
    Down,
    /// To the server
    Up,
}

impl Direction {
    /// On the command line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
        }
    }

    /// Where the bytes go.
    pub(crate) const fn end(self) -> &'static str {
        match self {
            Self::Down => "client",
            Self::Up => "server",
        }
    }
}

struct Stream {
    socket: TcpStream,
    threads: Vec<JoinHandle<Result<(), Failure>>>,
}

/// What all streams have received, and whether they are to end.
#[derive(Default)]
struct Shared {
    received: AtomicU64,
    ending: AtomicBool,
}

pub(crate) fn run(to: &[SocketAddr], args: Args) -> anyhow::Result<Outcome> {
    let shared = Arc::new(Shared::default());
    let mut failures = Failures::default();
    let mut streams = Vec::new();
    for target in to.iter().cycle().take(args.streams) {
        match start(*target, args.direction, &shared) {
            Ok(stream) => streams.push(stream),
            Err(failure) => failure.count(&mut failures),
        }
    }
    thread::sleep(args.window.warm_up.get());
    let (began, before) = (Instant::now(), shared.received.load(Relaxed));
    thread::sleep(args.window.length.get());
    let (took, received) = (began.elapsed(), shared.received.load(Relaxed) - before);
    shared.ending.store(true, Relaxed);
    for stream in streams {
        stream.end(&mut failures)?;
    }
    let total = shared.received.load(Relaxed);
    Ok(Outcome { total, ..Outcome::new(took, received, failures) })
}

fn start(to: SocketAddr, direction: Direction, shared: &Arc<Shared>) -> Result<Stream, Failure> {
    let connected = TcpStream::connect_timeout(&to, PATIENCE);
    let socket = connected.map_err(|error| Failure::new("connect", error))?;
    let begun = match direction {
        Direction::Down => down(&socket, shared),
        Direction::Up => up(&socket, shared),
    };
    let threads = begun.map_err(|error| Failure::new("send", error))?;
    Ok(Stream { socket, threads })
}

type Threads = Vec<JoinHandle<Result<(), Failure>>>;

fn down(socket: &TcpStream, shared: &Arc<Shared>) -> io::Result<Threads> {
    (&mut &*socket).write_all(&Ask::Source.encode())?;
    let mut buffer = vec![0; CHUNK];
    let receive = move |socket: &mut TcpStream, shared: &Shared| {
        let count = socket.read(&mut buffer)?;
        shared.received.fetch_add(count as u64, Relaxed);
        if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    };
    Ok(vec![again("receive", socket, shared, receive)?])
}

fn up(socket: &TcpStream, shared: &Arc<Shared>) -> io::Result<Threads> {
    (&mut &*socket).write_all(&Ask::Sink { every: REPORT_EVERY }.encode())?;
    let chunk = vec![0; CHUNK];
    let send = move |socket: &mut TcpStream, _: &Shared| socket.write_all(&chunk);
    let mut known = 0;
    let hear = move |socket: &mut TcpStream, shared: &Shared| {
        let mut total = [0; 8];
        socket.read_exact(&mut total)?;
        let total = u64::from_be_bytes(total);
        shared.received.fetch_add(total - known, Relaxed);
        known = total;
        Ok(())
    };
    Ok(vec![again("send", socket, shared, send)?, again("hear", socket, shared, hear)?])
}

/// Again and again on a thread of its own; an error is one only before the end.
fn again(
    name: &'static str,
    socket: &TcpStream,
    shared: &Arc<Shared>,
    mut step: impl FnMut(&mut TcpStream, &Shared) -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<Result<(), Failure>>> {
    let (mut socket, shared) = (socket.try_clone()?, shared.clone());
    thread::Builder::new().name(name.into()).spawn(move || {
        loop {
            if let Err(error) = step(&mut socket, &shared) {
                let expected = shared.ending.load(Relaxed);
                return if expected { Ok(()) } else { Err(Failure::new(name, error)) };
            }
        }
    })
}

impl Stream {
    fn end(self, failures: &mut Failures) -> anyhow::Result<()> {
        // By a reset, once the threads have let go of it: a kernel that closes in peace answers who still
        // has bytes for it with the window that it had then, for a minute, and that may be shut.
        set_socket_linger(&self.socket, Some(Duration::ZERO))?;
        // One that has failed is not connected any more.
        self.socket.shutdown(Shutdown::Both).ok();
        for thread in self.threads {
            let ended = thread.join().map_err(|_| anyhow!("a thread of a stream panicked"))?;
            if let Err(failure) = ended {
                failure.count(failures);
            }
        }
        Ok(())
    }
}
