//! The modules that the lab needs of a kernel, in a cpio archive of their own: uncompressed, and
//! with the order in which they are to be loaded.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use super::image::archive;
use crate::cargo;

/// Links between namespaces, the two parts of clsact, and what loses packets by the dice.
const WANTED: [&str; 5] = ["veth", "sch_ingress", "cls_bpf", "nf_tables", "nft_numgen"];

/// What `modprobe` looks things up in; Debian's packages leave that to their installation.
pub fn index(modules: &Path) -> anyhow::Result<()> {
    let (base, version) = stage(modules, &modules.join("../../../staged"))?;
    cargo::succeed(Command::new("depmod").arg("-b").arg(base).arg(version))
}

/// `modules` is the folder lib/modules/VERSION; the archive lies in `folder` afterwards.
pub fn pack(modules: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    ensure!(
        modules.join("modules.dep").is_file(),
        "{}: has no modules.dep; run depmod on it",
        modules.display()
    );
    let (base, version) = stage(modules, &folder.join("staged"))?;
    let root = folder.join("modules");
    fs::remove_dir_all(&root).ok();
    let inner = root.join("modules");
    fs::create_dir_all(&inner).with_context(|| format!("creating {}", inner.display()))?;
    let order = unpack_all(&base, &version, &inner)?;
    fs::write(inner.join("order"), order.join("\n")).context("writing the order")?;
    archive(&root, &folder.join("modules.cpio"))
}

/// Their names there, in the order in which they are to be loaded.
fn unpack_all(base: &Path, version: &str, to: &Path) -> anyhow::Result<Vec<String>> {
    let mut order: Vec<String> = Vec::new();
    for wanted in WANTED {
        for file in needed(base, version, wanted)? {
            let name = unpack(&file, to)?;
            if !order.contains(&name) {
                order.push(name);
            }
        }
    }
    Ok(order)
}

/// kmod wants to find lib/modules/VERSION below a folder.
fn stage(modules: &Path, base: &Path) -> anyhow::Result<(PathBuf, String)> {
    let modules = fs::canonicalize(modules).with_context(|| format!("{}", modules.display()))?;
    let version = modules.file_name().context("a folder with a name")?.display().to_string();
    let parent = base.join("lib/modules");
    fs::create_dir_all(&parent).with_context(|| format!("creating {}", parent.display()))?;
    let link = parent.join(&version);
    fs::remove_file(&link).ok();
    symlink(&modules, &link).with_context(|| format!("linking {}", link.display()))?;
    Ok((base.to_owned(), version))
}

/// The module's files, what it depends on first; none if it is built in.
fn needed(base: &Path, version: &str, module: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut command = Command::new("modprobe");
    command.arg("-d").arg(base).args(["-S", version, "--show-depends", module]);
    let said =
        cargo::output(&mut command).with_context(|| format!("the kernel has no {module}"))?;
    let files = said.lines().filter_map(|line| line.strip_prefix("insmod "));
    Ok(files.map(|file| PathBuf::from(file.trim())).collect())
}

/// Copies it, uncompressed; its name there.
fn unpack(file: &Path, to: &Path) -> anyhow::Result<String> {
    let name = file.file_name().context("a file")?.display().to_string();
    let (plain, tool) = match name.rsplit_once('.') {
        Some((plain, "xz")) => (plain, "xz"),
        Some((plain, "zst")) => (plain, "zstd"),
        Some((plain, "gz")) => (plain, "gzip"),
        _ => (name.as_str(), "cat"),
    };
    let out = to.join(plain);
    let mut command = Command::new(tool);
    if tool != "cat" {
        command.arg("-dc");
    }
    let written = fs::File::create(&out).with_context(|| format!("creating {}", out.display()))?;
    cargo::succeed(command.arg(file).stdout(written))?;
    Ok(plain.to_owned())
}
