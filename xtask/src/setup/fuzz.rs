//! cargo-fuzz, which builds fuzzers and runs them.

use super::State;
use crate::{
    cargo::{self, Ebpf},
    progress,
};

const VERSION: &str = "0.13.2";

pub fn tool() -> State {
    let asked = cargo::cargo(Ebpf::IfFound).args(["fuzz", "--version"]).output();
    match asked.ok().filter(|output| output.status.success()) {
        Some(output) => {
            State::Present { found: String::from_utf8_lossy(&output.stdout).trim().to_owned() }
        }
        None => State::Missing { remedy: format!("cargo install cargo-fuzz {VERSION}") },
    }
}

pub fn install() -> anyhow::Result<()> {
    progress::run(
        &format!("building cargo-fuzz {VERSION}, about a minute"),
        cargo::cargo(Ebpf::IfFound).args([
            "install",
            "cargo-fuzz",
            "--version",
            VERSION,
            "--locked",
        ]),
    )
}
