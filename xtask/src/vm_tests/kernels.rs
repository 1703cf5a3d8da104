//! vm-tests/kernels.toml.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::cargo;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernels {
    pub subset: Vec<String>,
    pub kernel: Vec<Kernel>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// The series, as releases of it begin; or `newest`.
    pub name: String,
    /// Where one meets it.
    pub like: String,
    /// Of Debian's archive.
    pub suite: String,
    pub support: Support,
    /// Together, they have the kernel and its modules.
    pub package: Vec<Package>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Support {
    Supported,
    /// Its failures are shown, and fail nothing.
    BestEffort,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub sha256: String,
}

pub fn file() -> PathBuf {
    cargo::root().join("vm-tests/kernels.toml")
}

impl Kernels {
    pub fn read() -> anyhow::Result<Self> {
        let file = file();
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()));
        toml::from_str(&text?).with_context(|| format!("{}", file.display()))
    }

    /// Those of these names, in the file's order; without names all, or all that are supported.
    pub fn chosen(&self, names: &[String], supported: bool) -> anyhow::Result<Vec<&Kernel>> {
        let known = |name: &&String| !self.kernel.iter().any(|kernel| kernel.name == **name);
        if let Some(unknown) = names.iter().find(known) {
            let all: Vec<_> = self.kernel.iter().map(|kernel| kernel.name.as_str()).collect();
            bail!("--kernel: {unknown}: kernels.toml has {}", all.join(", "));
        }
        let wanted = |kernel: &&Kernel| match names {
            [] => !(supported && kernel.is_best_effort()),
            names => names.contains(&kernel.name),
        };
        Ok(self.kernel.iter().filter(wanted).collect())
    }
}

impl Kernel {
    /// One that somebody brings.
    pub fn own(vmlinuz: &std::path::Path) -> Self {
        Self {
            name: "own".to_owned(),
            like: vmlinuz.display().to_string(),
            suite: String::new(),
            support: Support::Supported,
            package: Vec::new(),
        }
    }

    pub fn is_best_effort(&self) -> bool {
        self.support == Support::BestEffort
    }

    pub fn row(&self) -> [String; 6] {
        let package = self.package.first();
        [
            self.name.clone(),
            self.like.clone(),
            self.suite.clone(),
            if self.is_best_effort() { "best effort" } else { "supported" }.to_owned(),
            package.map(|package| package.name.clone()).unwrap_or_default(),
            package.map(|package| package.version.clone()).unwrap_or_default(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_kernels_are_chosen_by_name() {
        let kernels = Kernels::read().expect("a good file");
        let names = |chosen: Vec<&Kernel>| {
            chosen.into_iter().map(|kernel| kernel.name.clone()).collect::<Vec<_>>()
        };
        let all = names(kernels.chosen(&[], false).expect("all"));
        assert!(all.contains(&"5.10".to_owned()), "{all:?}");
        assert!(!names(kernels.chosen(&[], true).expect("some")).contains(&"5.10".to_owned()));
        assert_eq!(names(kernels.chosen(&["6.12".into()], false).expect("one")), ["6.12"]);
        let error = kernels.chosen(&["6.2".into()], false).expect_err("no such kernel").to_string();
        assert!(error.contains("6.2: kernels.toml has newest, 6.12"), "{error}");
    }
}
