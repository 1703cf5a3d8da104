//! Vagrant, which checks `vm-tests/Vagrantfile`.

use super::{State, apt, host};

const PACKAGE: &str = "vagrant";

pub fn tool() -> State {
    match host::on_path(PACKAGE) {
        Some(found) => State::Present { found: found.display().to_string() },
        None if apt::knows(PACKAGE) => {
            State::Missing { remedy: format!("apt-get install {PACKAGE}") }
        }
        None => State::Unavailable {
            why: "apt has no such package; the Vagrantfile is not checked".into(),
        },
    }
}

pub fn install() -> anyhow::Result<()> {
    apt::install(&[PACKAGE])
}
