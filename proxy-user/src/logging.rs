//! The log: to standard error, as text for people or as one JSON object a line.

use std::io::{self, IsTerminal as _};

use anyhow::anyhow;
use tracing_subscriber::fmt;

use crate::config::{LogConfig, LogFormat};

pub fn start(config: &LogConfig) -> anyhow::Result<()> {
    let log = fmt().with_writer(io::stderr).with_env_filter(config.filter.filter());
    let started = match config.format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow!("cannot start the log: {error}"))
}
