//! `enigate-lab demo`: the agent at work in the lab, live on the terminal or line by line.

mod model;
mod plain;
mod rates;
mod screen;
mod session;
mod summary;
mod text;
mod view;

use std::{
    io::{IsTerminal as _, stdout},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use proxy_user::config::Period;
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::lab::{Lab, Options};
use model::Model;
use plain::Plain;
use screen::Screen;
use session::{Schedule, View};
use summary::Summary;

const LAB: &str = "demo";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent's binary
    #[arg(long, value_name = "FILE")]
    agent: PathBuf,
    /// Stop after one whole rotation; exit code 1 if any request failed
    #[arg(long)]
    once: bool,
    /// From the start of one rotation to the start of the next
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    rotate_every: Period,
    /// How long the resolver's answers hold, in whole seconds
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    ttl: Period,
    /// Print lines in place of the live view
    #[arg(long)]
    plain: bool,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let ttl = args.ttl;
    ensure!(ttl.get().subsec_nanos() == 0, "--ttl: {ttl}: DNS counts in whole seconds");
    Builder::new_current_thread().enable_all().build()?.block_on(demo(args))
}

async fn demo(args: Args) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::listen()?;
    let options = Options { ttl: args.ttl.get(), ..Options::new(args.agent.clone()) };
    let started = tokio::select! {
        started = Lab::start(LAB, options, |what| println!("{what}")) => Some(started?),
        () = stop.requested() => None,
    };
    // Interrupted: what there was of the lab is down already.
    let Some(mut lab) = started else { return Ok(ExitCode::FAILURE) };
    let seen = observe(&mut lab, &args, &mut stop).await;
    println!("taking the lab down");
    let stopped = lab.stop().await;
    let summary = Summary::new(&seen?, args.once);
    stopped?;
    print!("{summary}");
    Ok(if summary.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The terminal is the user's again when this returns.
async fn observe(lab: &mut Lab, args: &Args, stop: &mut Stop) -> anyhow::Result<Model> {
    let live = stdout().is_terminal() && !args.plain;
    let mut view: Box<dyn View> =
        if live { Box::new(Screen::open()?) } else { Box::new(Plain::default()) };
    session::run(lab, Schedule::new(args.rotate_every.get(), args.once), view.as_mut(), stop).await
}

/// Ctrl-C and SIGTERM. While the live view is on, Ctrl-C is a key like any other.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("listening for signals");
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
        })
    }

    pub(crate) async fn requested(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
