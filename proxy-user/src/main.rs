//! The binary: parse, validate, run. Exit codes: 0 for a clean end, 2 for what is wrong with the
//! input or with this host at the start, 1 for what fails later.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};
use clap_complete::Shell;
use proxy_user::{
    agent::{self, Failure},
    cli::{Cli, Command, Given},
    client,
    config::{BindAddress, InterfaceName, PinDir},
    datapath::{handover::self_test, kernel},
    doctor::{self, Level},
    environment, logging, table,
};
use tikv_jemallocator::Jemalloc;
use tracing::warn;

/// Two of a connection's allocations, and its task, lie at multiples of 128 bytes: the C library's
/// allocator pays some 128 bytes more for each, and this one nothing.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

const CLEAR: &str = "\x1b[H\x1b[2J";
const REPAINT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::SelfTest { role } = cli.command {
        return self_test::play(role).map_or_else(|error| fail(1, &error), |()| ExitCode::SUCCESS);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(2, &anyhow::anyhow!(error)),
    };
    match runtime.block_on(execute(cli.command)) {
        Ok(code) => code,
        Err(Failure::Start(error)) => fail(2, &error),
        Err(Failure::Later(error)) => fail(1, &error),
    }
}

async fn execute(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run { given, fresh } => run(*given, fresh).await.map(|()| ExitCode::SUCCESS),
        Command::Check { given, json } => check(*given, json).await.map_err(Failure::Start),
        Command::Status { agent, json, watch } => {
            show_status(agent.admin, json, watch).await.map_err(Failure::Later)
        }
        Command::Backends { agent } => show_backends(agent.admin).await.map_err(Failure::Later),
        Command::Drain { agent } => drain(agent.admin).await.map_err(Failure::Later),
        Command::Detach { pin_dir, interface } => {
            detach(&pin_dir, interface.as_ref()).map_err(Failure::Start)
        }
        Command::Completions { shell } => complete(shell).map_err(Failure::Later),
        Command::SelfTest { role } => {
            self_test::play(role).map(|()| ExitCode::SUCCESS).map_err(Failure::Start)
        }
    }
}

async fn run(given: Given, fresh: bool) -> Result<(), Failure> {
    let mut config = given.config().map_err(|refusal| Failure::Start(refusal.into()))?;
    config.packet.fresh = fresh;
    logging::start(&config.log).map_err(Failure::Start)?;
    environment::strangers().iter().for_each(|stranger| warn!("{stranger}"));
    agent::run(config).await
}

async fn check(given: Given, json: bool) -> anyhow::Result<ExitCode> {
    let findings = doctor::examine(&given.config()?).await;
    let text = match json {
        true => serde_json::to_string_pretty(&findings)? + "\n",
        false => findings.iter().map(|finding| format!("{finding}\n")).collect(),
    };
    say(&text)?;
    let failed = findings.iter().any(|finding| finding.level == Level::Fail);
    Ok(if failed { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

async fn show_status(admin: BindAddress, json: bool, watch: bool) -> anyhow::Result<ExitCode> {
    if json {
        say(&(client::text(admin.get()).await? + "\n"))?;
    } else if watch {
        tokio::select! {
            ended = repaint(admin) => ended?,
            ended = tokio::signal::ctrl_c() => ended.context("cannot listen for signals")?,
        }
    } else {
        say(&table::status(&client::status(admin.get()).await?))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An agent that restarts is shown again as soon as it answers.
async fn repaint(admin: BindAddress) -> anyhow::Result<()> {
    loop {
        let text = match client::status(admin.get()).await {
            Ok(status) => table::status(&status),
            Err(error) => format!("{error:#}\n"),
        };
        say(&format!("{CLEAR}{text}"))?;
        tokio::time::sleep(REPAINT).await;
    }
}

async fn show_backends(admin: BindAddress) -> anyhow::Result<ExitCode> {
    say(&table::backends(&client::status(admin.get()).await?))?;
    Ok(ExitCode::SUCCESS)
}

async fn drain(admin: BindAddress) -> anyhow::Result<ExitCode> {
    client::drain(admin.get()).await?;
    say("draining; `enigate status` shows how far it is\n")?;
    Ok(ExitCode::SUCCESS)
}

fn detach(pin_dir: &PinDir, interface: Option<&InterfaceName>) -> anyhow::Result<ExitCode> {
    let removed = kernel::detach(pin_dir.path(), interface.map(InterfaceName::as_str))?;
    let text = match removed.as_slice() {
        [] => format!("nothing to remove: no agent left anything in {pin_dir}\n"),
        removed => removed.iter().map(|what| format!("removed {what}\n")).collect(),
    };
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Written to memory first: the generator panics when nobody reads its output.
fn complete(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "enigate", &mut script);
    say(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("standard output")
}

fn fail(code: u8, error: &anyhow::Error) -> ExitCode {
    eprintln!("enigate: {error:#}");
    ExitCode::from(code)
}
