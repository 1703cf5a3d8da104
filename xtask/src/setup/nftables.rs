//! nftables, with which scenarios lose packets.

use super::{State, apt};

const PROGRAM: &str = "nft";
const PACKAGE: &str = "nftables";

pub fn tool() -> State {
    apt::optional(PROGRAM, PACKAGE, "scenarios that lose packets are not run")
}

pub fn install() -> anyhow::Result<()> {
    apt::install(&[PACKAGE])
}
