//! Debian's packages.

use std::process::Command;

use anyhow::ensure;
use nix::unistd::geteuid;

use super::{State, host};
use crate::progress;

pub fn install(packages: &[&str]) -> anyhow::Result<()> {
    let names = packages.join(" ");
    ensure!(geteuid().is_root(), "needs root: apt-get install {names}");
    progress::run("fetching Debian's package lists", apt_get().arg("update"))?;
    progress::run(
        &format!("installing {names}"),
        apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages),
    )
}

/// Is there such a package, by the lists that are here?
fn knows(package: &str) -> bool {
    let said = Command::new("apt-cache").args(["policy", package]).output();
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
    said.is_ok_and(|said| said.contains("Candidate: ") && !said.contains("Candidate: (none)"))
}

/// Of a program that is done without where apt has no such package.
pub fn optional(program: &str, package: &str, without: &str) -> State {
    match host::on_path(program) {
        Some(found) => State::Present { found: found.display().to_string() },
        None if knows(package) => State::Missing { remedy: format!("apt-get install {package}") },
        None => State::Unavailable { why: format!("apt has no such package; {without}") },
    }
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet");
    command
}
