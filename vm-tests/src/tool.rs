//! Programs of the host that some scenarios use, where they are installed.

use std::{env, path::PathBuf};

/// What labs lose packets with; `apt-get install --no-install-recommends nftables` brings it.
pub fn has_nftables() -> bool {
    on_path("nft").is_some()
}

pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
