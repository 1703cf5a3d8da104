//! Vagrant, which checks `vm-tests/Vagrantfile`.

use super::{State, apt};

const PACKAGE: &str = "vagrant";

pub fn tool() -> State {
    apt::optional(PACKAGE, PACKAGE, "the Vagrantfile is not checked")
}

pub fn install() -> anyhow::Result<()> {
    apt::install(&[PACKAGE])
}
