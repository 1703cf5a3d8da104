//! Programs of the host that some scenarios use, where they are installed.

use std::{env, path::PathBuf};

pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
