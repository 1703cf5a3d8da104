//! Whom a comparison takes beside ourselves.

use std::path::Path;

use crate::tool::on_path;

/// A program of Debian's, and the package that brings it.
pub(crate) struct Needs {
    pub program: &'static str,
    pub also: Option<&'static str>,
    pub packages: &'static str,
}

impl Needs {
    /// What to do about it, where it is not installed.
    pub(crate) fn missing(&self) -> Option<String> {
        let there = on_path(self.program).is_some()
            && self.also.is_none_or(|file| Path::new(file).is_file());
        let install = "apt-get install --no-install-recommends";
        (!there).then(|| format!("not installed: {install} {}", self.packages))
    }
}
