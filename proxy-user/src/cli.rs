//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    config::{
        BindAddress, Config, DEFAULT_ADMIN, DEFAULT_PIN_DIR, InterfaceName, PinDir, Refusal,
        Settings,
    },
    datapath::handover::self_test::Role,
};

/// Keeps a private EKS endpoint resolved and forwards TCP connections to it in the kernel
#[derive(Debug, Parser)]
#[command(name = "enigate", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Resolve, probe and forward, until a signal ends it
    #[command(after_help = LAYERS)]
    Run {
        #[command(flatten)]
        given: Box<Given>,
        /// First remove what earlier agents left in the kernel, and end the connections there
        #[arg(long)]
        fresh: bool,
    },
    /// Try out what `run` would do with the same flags, and change nothing
    #[command(after_help = LAYERS)]
    Check {
        #[command(flatten)]
        given: Box<Given>,
        /// One JSON document instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Show what a running agent does
    Status {
        #[command(flatten)]
        agent: RunningAgent,
        /// The document that /status serves
        #[arg(long, conflicts_with = "watch")]
        json: bool,
        /// Show it again every second
        #[arg(long)]
        watch: bool,
    },
    /// List the backends of a running agent
    Backends {
        #[command(flatten)]
        agent: RunningAgent,
    },
    /// Let a running agent end: not ready at once, then it accepts no more, and ends when its
    /// connections have
    Drain {
        #[command(flatten)]
        agent: RunningAgent,
    },
    /// Remove all that agents left in the kernel, and end the connections there; needs root
    Detach {
        /// Folder on a BPF file system where the packet path outlives the agent
        #[arg(long, env = "ENIGATE_PIN_DIR", value_name = "FOLDER", default_value = DEFAULT_PIN_DIR)]
        pin_dir: PinDir,
        /// Look for a clsact filter here, too, and not only where the pinned configuration says
        #[arg(long, env = "ENIGATE_INTERFACE", value_name = "NAME")]
        interface: Option<InterfaceName>,
    },
    /// Write a completion script to standard output
    Completions { shell: Shell },
    /// A process of the handover's self-test
    #[command(hide = true)]
    SelfTest { role: Role },
}

const LAYERS: &str = "Durations are written as 500ms, 2s, 5m or 1h. Flags beat the environment, \
                      which beats the file.";

#[derive(Debug, Args)]
pub struct Given {
    /// TOML file whose keys are the flags' names without the dashes in front
    #[arg(long, env = "ENIGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
pub struct RunningAgent {
    /// Where the agent serves its status
    #[arg(long, env = "ENIGATE_ADMIN", value_name = "IP:PORT", default_value_t = DEFAULT_ADMIN)]
    pub admin: BindAddress,
}

impl Given {
    pub fn config(self) -> Result<Config, Refusal> {
        Config::load(self.settings, self.config.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn only_run_starts_afresh() {
        assert!(Cli::try_parse_from(["enigate", "run", "--fresh"]).is_ok());
        assert!(Cli::try_parse_from(["enigate", "check", "--fresh"]).is_err());
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_and_check_take_the_same_flags() {
        for command in ["run", "check"] {
            let flags = ["--endpoint=a.example", "--min-ttl=2s", "--config=/etc/enigate.toml"];
            Cli::try_parse_from(["enigate", command].into_iter().chain(flags)).unwrap();
        }
    }
}
