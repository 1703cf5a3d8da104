//! The log: to standard error, as text for people or as one JSON object a line.

use std::io::{self, IsTerminal as _};

use anyhow::{Context as _, anyhow};
use proxy_common::config::Events;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{LogConfig, LogFormat};

/// Who asks for what the programs say, or for a line for each flow, need not ask twice.
const EBPF: &str = "enigate_ebpf=debug";
const FLOWS: &str = "flow=info";

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
    let flows = (config.flows != Events::None).then_some((FLOWS, "flow-log"));
    let ebpf = config.ebpf.then_some((EBPF, "ebpf-log"));
    let mut asked_for = flows.into_iter().chain(ebpf);
    asked_for.try_fold(filter, |filter, (directive, flag)| {
        Ok(filter.add_directive(directive.parse().context(flag)?))
    })
}

#[cfg(test)]
mod tests {
    use tracing::{enabled, subscriber::with_default};

    use super::*;
    use crate::datapath::flow_log;

    /// What the programs say, and flows.
    fn shows(ebpf: bool, flows: Events, level: &str) -> [bool; 2] {
        let filter_of = |config| filter(&config).unwrap();
        let config =
            LogConfig { format: LogFormat::Text, filter: level.parse().unwrap(), flows, ebpf };
        let log = fmt().with_writer(io::sink).with_env_filter(filter_of(config)).finish();
        with_default(log, || {
            assert!(!enabled!(tracing::Level::DEBUG), "the agent's own level is not changed");
            [
                enabled!(target: "enigate_ebpf", tracing::Level::DEBUG),
                enabled!(target: flow_log::TARGET, tracing::Level::INFO),
            ]
        })
    }

    #[test]
    fn what_was_asked_for_is_shown_at_every_level() {
        for level in ["error", "off"] {
            assert_eq!(shows(true, Events::None, level), [true, false], "{level}");
            assert_eq!(shows(false, Events::Closed, level), [false, true], "{level}");
            assert_eq!(shows(true, Events::All, level), [true, true], "{level}");
            assert_eq!(shows(false, Events::None, level), [false, false], "{level}");
        }
    }
}
