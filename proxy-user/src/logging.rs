//! The log: to standard error, as text for people or as one JSON object a line.

use std::io::{self, IsTerminal as _};

use anyhow::{Context as _, anyhow};
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{LogConfig, LogFormat};

/// What the programs in the kernel say is of level debug; who asks for it need not ask twice.
const EBPF: &str = "enigate_ebpf=debug";

pub fn start(config: &LogConfig) -> anyhow::Result<()> {
    let log = fmt().with_writer(io::stderr).with_env_filter(filter(config)?);
    let started = match config.format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow!("cannot start the log: {error}"))
}

fn filter(config: &LogConfig) -> anyhow::Result<EnvFilter> {
    let filter = config.filter.filter();
    match config.ebpf {
        true => Ok(filter.add_directive(EBPF.parse().context("ebpf-log")?)),
        false => Ok(filter),
    }
}

#[cfg(test)]
mod tests {
    use tracing::{enabled, subscriber::with_default};

    use super::*;

    fn shows_programs(ebpf: bool, level: &str) -> bool {
        let config = LogConfig { format: LogFormat::Text, filter: level.parse().unwrap(), ebpf };
        let log = fmt().with_writer(io::sink).with_env_filter(filter(&config).unwrap()).finish();
        with_default(log, || {
            assert!(!enabled!(tracing::Level::DEBUG), "the agent's own level is not changed");
            enabled!(target: "enigate_ebpf", tracing::Level::DEBUG)
        })
    }

    #[test]
    fn what_the_programs_say_is_shown_when_asked_for_and_only_then() {
        for level in ["info", "error", "off"] {
            assert!(shows_programs(true, level), "{level}");
            assert!(!shows_programs(false, level), "{level}");
        }
    }
}
