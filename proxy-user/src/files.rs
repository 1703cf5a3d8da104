//! The files that this process may open, of which every connection takes some.

use std::{fmt, io};

use anyhow::Context as _;
use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit, setrlimit},
};

use crate::config::ConnectionLimit;

/// A connection's two sockets.
const EACH: u64 = 2;
/// For probes, maps, resolvers, pipes; an eighth where there are few.
const ASIDE: u64 = 512;

/// How many files the process may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files(u64);

impl Files {
    /// As many as an ordinary process may raise its limit to.
    pub fn raised() -> anyhow::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("the limit of open files")?;
        if soft == hard {
            return Ok(Self(hard));
        }
        match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            Ok(()) => Ok(Self(hard)),
            Err(error) => {
                tracing::warn!("the limit of open files stays {soft}, for {hard}: {error}");
                Ok(Self(soft))
            }
        }
    }

    /// Connections that there is room for.
    pub const fn room(self) -> u64 {
        let eighth = self.0 / 8;
        (self.0 - if ASIDE < eighth { ASIDE } else { eighth }) / EACH
    }

    /// Pipes that may be lent at a time, of two files each: a quarter of all files.
    pub fn pipes(self) -> usize {
        usize::try_from(self.0 / 8).unwrap_or(usize::MAX)
    }

    /// What is to be said of so many connections; nothing where there is room for all of them.
    pub fn lack(self, asked: Option<ConnectionLimit>) -> Option<String> {
        let asked = asked.filter(|asked| u64::from(asked.get()) > self.room())?;
        Some(format!(
            "max-connections: {asked}: this process may open {self} files, which is room for about \
             {}; raise the limit (LimitNOFILE= of systemd, ulimit -Hn)",
            self.room()
        ))
    }
}

/// This process or this host has no room for a socket more: no fault of whom it was to lead to.
pub fn is_want_of_room(error: &io::Error) -> bool {
    let ours = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM];
    error.raw_os_error().is_some_and(|code| ours.contains(&Errno::from_raw(code)))
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_a_connection_and_some_aside() {
        assert_eq!([0, 8, 1_024, 20_000].map(|files| Files(files).room()), [0, 3, 448, 9_744]);
    }

    #[test]
    fn only_what_was_asked_for_and_cannot_be_is_said() {
        let files = Files(1_024);
        let lack = |asked: &str| files.lack(Some(asked.parse().unwrap()));
        assert_eq!((files.lack(None), lack("448")), (None, None));
        let said = lack("449").unwrap();
        assert!(said.starts_with("max-connections: 449: ") && said.contains("448"), "{said}");
    }
}
