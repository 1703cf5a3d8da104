//! Variables of the environment that look like settings and are none: most likely mistyped.

use std::{collections::BTreeSet, env, fmt};

use clap::{Command, CommandFactory as _};

use crate::cli::Cli;

const PREFIX: &str = "ENIGATE_";
/// Letters that are wrong, missing, too many or in the wrong order.
const NEAR: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    name: String,
    /// What was probably meant.
    near: Option<String>,
}

/// In the environment of this process.
pub fn strangers() -> Vec<Stranger> {
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    among(names, &known(&Cli::command()))
}

fn among(names: impl Iterator<Item = String>, known: &BTreeSet<String>) -> Vec<Stranger> {
    let unknown = names.filter(|name| name.starts_with(PREFIX) && !known.contains(name));
    unknown.map(|name| Stranger { near: near(&name, known), name }).collect()
}

fn known(command: &Command) -> BTreeSet<String> {
    let arguments = command.get_subcommands().flat_map(Command::get_arguments);
    let variables = arguments.filter_map(|argument| argument.get_env()?.to_str());
    variables.map(ToOwned::to_owned).collect()
}

fn near(name: &str, known: &BTreeSet<String>) -> Option<String> {
    let distance = |other: &&String| strsim::damerau_levenshtein(name, other);
    let nearest = known.iter().min_by_key(distance)?;
    (distance(&nearest) <= NEAR).then(|| nearest.clone())
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, near } = self;
        match near {
            Some(near) => write!(f, "{name}: is no setting and does nothing; is {near} meant?"),
            None => write!(f, "{name}: is no setting and does nothing; unset it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(names: &[&str]) -> Vec<String> {
        let names = names.iter().map(ToString::to_string);
        among(names, &known(&Cli::command())).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn settings_and_what_is_not_ours_are_passed_over() {
        let fine = ["ENIGATE_LISTEN", "ENIGATE_CONFIG", "ENIGATE_SOURCE_PORTS", "PATH", "ENIGATE"];
        assert_eq!(said(&fine), Vec::<String>::new());
    }

    #[test]
    fn a_mistyped_one_is_told_what_was_meant() {
        assert_eq!(
            said(&["ENIGATE_LSITEN", "ENIGATE_TIMEOUT_SNY", "ENIGATE_UNHEARD_OF"]),
            [
                "ENIGATE_LSITEN: is no setting and does nothing; is ENIGATE_LISTEN meant?",
                "ENIGATE_TIMEOUT_SNY: is no setting and does nothing; is ENIGATE_TIMEOUT_SYN meant?",
                "ENIGATE_UNHEARD_OF: is no setting and does nothing; unset it",
            ]
        );
    }
}
