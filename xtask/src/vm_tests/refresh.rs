//! `--refresh`: kernels.toml gets the newest packages of each series.

use std::{cmp::Ordering, fs};

use anyhow::{Context as _, ensure};

use super::{
    apt::Apt,
    kernels::{self, Kernel, Kernels, Package},
};
use crate::cargo;

const FLAVOUR: &str = "-cloud-amd64";
/// Whose name has no series.
const NEWEST: &str = "newest";

pub fn run(kernels: Kernels) -> anyhow::Result<()> {
    let mut text = fs::read_to_string(kernels::file()).context("reading kernels.toml")?;
    for kernel in kernels.kernel {
        let apt = Apt::new(std::slice::from_ref(&kernel.suite))?;
        let release = newest_release(&apt, &kernel)?;
        for package in &kernel.package {
            let fresh = look_up(&apt, package, &release)?;
            println!("{}: {} {}", kernel.name, fresh.name, fresh.version);
            text = replaced(&text, package, &fresh);
        }
    }
    fs::write(kernels::file(), text).context("writing kernels.toml")
}

/// What lies between `linux-image-` and the flavour.
fn newest_release(apt: &Apt, kernel: &Kernel) -> anyhow::Result<String> {
    let names = cargo::output(apt.cache().args(["pkgnames", "linux-image-"]))?;
    let series = format!("{}.", kernel.name);
    let releases = names.lines().filter_map(|name| {
        let release = name.strip_prefix("linux-image-")?.strip_suffix(FLAVOUR)?;
        // Metapackages have no dots, and backports of one suite to an older have another name.
        let wanted = release.starts_with(&series) || kernel.name == NEWEST;
        (wanted && release.matches('.').count() >= 2 && !release.contains(".deb"))
            .then_some(release)
    });
    let newest = releases.max_by(|one, other| compare(one, other));
    newest
        .map(str::to_owned)
        .with_context(|| format!("{}: {} has no kernel of {}", kernel.name, kernel.suite, series))
}

/// By the numbers in them.
fn compare(one: &str, other: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u32> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
    };
    numbers(one).cmp(&numbers(other))
}

fn look_up(apt: &Apt, package: &Package, release: &str) -> anyhow::Result<Package> {
    let name = format!("{}{release}{FLAVOUR}", kind(&package.name));
    let said = cargo::output(apt.cache().args(["show", "--no-all-versions", &name]))?;
    let field = |key: &str| {
        let value = said.lines().find_map(|line| line.strip_prefix(key));
        value.map(|value| value.trim().to_owned()).with_context(|| format!("{name}: no {key}"))
    };
    let fresh = Package { version: field("Version:")?, sha256: field("SHA256:")?, name };
    ensure!(fresh.sha256.len() == 64, "{}: {} is no sha256", fresh.name, fresh.sha256);
    Ok(fresh)
}

/// `linux-image-`, `linux-modules-`, …: up to the release.
fn kind(name: &str) -> &str {
    let end = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
    &name[..end]
}

/// The file's comments and order stay.
fn replaced(text: &str, old: &Package, fresh: &Package) -> String {
    let entry = |it: &Package| {
        format!("name = \"{}\"\nversion = \"{}\"\nsha256 = \"{}\"", it.name, it.version, it.sha256)
    };
    text.replace(&entry(old), &entry(fresh))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert_eq!(compare("6.1.0-9", "6.1.0-56"), Ordering::Less);
        assert_eq!(compare("6.12.117+deb12", "6.12.99+deb12"), Ordering::Greater);
    }

    #[test]
    fn each_pinned_package_is_found_in_the_file_and_replaced() {
        let text = fs::read_to_string(kernels::file()).expect("the file");
        for package in
            Kernels::read().expect("kernels").kernel.into_iter().flat_map(|it| it.package)
        {
            let fresh = Package { version: "42".into(), ..package.clone() };
            let changed = replaced(&text, &package, &fresh);
            assert!(changed.contains("version = \"42\""), "{package:?} is written otherwise");
        }
    }

    #[test]
    fn the_kind_of_a_package_is_what_stands_before_its_release() {
        assert_eq!(kind("linux-image-6.1.0-56-cloud-amd64"), "linux-image-");
        assert_eq!(kind("linux-modules-7.3.4+deb13-cloud-amd64"), "linux-modules-");
    }
}
