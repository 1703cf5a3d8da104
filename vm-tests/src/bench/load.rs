//! The load generator: a server that does as the first bytes of a connection ask, and clients that
//! measure. One binary for all contenders.

mod ask;
mod bulk;
mod connects;
mod idle;
mod outcome;
mod ping;
mod serve;
mod stream;
mod threads;
mod tls;
mod web;

use std::{
    io::{Read as _, Write as _, stdin, stdout},
    net::{SocketAddr, TcpListener},
};

use anyhow::{Context as _, anyhow};
use proxy_user::config::Period;

pub(crate) use ask::Ask;
pub(crate) use bulk::Direction;
pub(crate) use outcome::{Failures, Outcome};

#[derive(Debug, clap::Parser)]
#[command(version, about = "The load of `cargo xtask bench`")]
pub enum Cli {
    /// The backend: says where it listens, and answers what clients of this program ask, until it is
    /// killed
    Serve {
        #[arg(long, value_name = "IP:PORT")]
        listen: SocketAddr,
    },
    /// A client: prints what it measured as a line of JSON
    Run(Run),
}

#[derive(Debug, clap::Args)]
pub struct Run {
    /// Where to connect; connections go round where there are several
    #[arg(long, value_name = "IP:PORT", required = true, value_delimiter = ',')]
    to: Vec<SocketAddr>,
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, clap::Subcommand)]
enum Mode {
    /// Bytes without end, in one direction
    Bulk(bulk::Args),
    /// A message and its echo, again and again on connections that stay
    Ping(ping::Args),
    /// A connection for each message and its echo
    Connects(connects::Args),
    /// Connections that stay and say nothing, until standard input ends; then says how many are left
    Idle(idle::Args),
}

/// How long to measure, and how long to run before that.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Window {
    #[arg(long, value_name = "DURATION", default_value = "500ms")]
    warm_up: Period,
    #[arg(long = "for", value_name = "DURATION", default_value = "3s")]
    length: Period,
}

pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli {
        Cli::Serve { listen } => {
            let listener = TcpListener::bind(listen);
            let listener = listener.with_context(|| format!("listening on {listen}"))?;
            println!("listening on {}", listener.local_addr()?);
            serve::forever(&listener)
        }
        Cli::Run(Run { to, mode }) => match mode {
            Mode::Bulk(args) => print(&bulk::run(&to, args)?),
            Mode::Ping(args) => print(&ping::run(&to, args)?),
            Mode::Connects(args) => print(&connects::run(&to, args)?),
            Mode::Idle(args) => hold(&to, args),
        },
    }
}

/// One message and its echo through whatever is there.
pub(crate) async fn try_once(to: SocketAddr) -> anyhow::Result<()> {
    let done = ping::once(to, &mut [0; 64]).await;
    done.map(drop).map_err(|failure| anyhow!("{failure}"))
}

fn hold(to: &[SocketAddr], args: idle::Args) -> anyhow::Result<()> {
    let (opened, connections) = idle::open(to, args)?;
    print(&opened)?;
    stdin().read_to_end(&mut Vec::new()).context("waiting for the end of standard input")?;
    print(&connections.check())
}

fn print(outcome: &Outcome) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{}", serde_json::to_string(outcome)?)?;
    out.flush().context("writing the result")
}

#[cfg(test)]
mod tests;
