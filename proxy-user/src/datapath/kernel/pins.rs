//! What outlives the agent on bpffs: `<pin dir>/layout-<N>/`, with the maps and the links.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use proxy_common::LAYOUT;

use super::attach::Attached;

const BPFFS: &str = "/sys/fs/bpf";
const PREFIX: &str = "layout-";

#[derive(Clone, Debug)]
pub struct Pins {
    folder: PathBuf,
}

impl Pins {
    /// Makes the folder, on a bpffs that is mounted where it is missing. A folder of another
    /// layout is refused: its flows can be neither read nor silently thrown away.
    pub fn prepare(pin_dir: &Path) -> anyhow::Result<Self> {
        if pin_dir.starts_with(BPFFS) && !is_bpffs(Path::new(BPFFS)) {
            mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), None::<&str>)
                .with_context(|| format!("{BPFFS}: no bpffs is there and it cannot be mounted"))?;
        }
        refuse_other_layouts(pin_dir)?;
        let folder = pin_dir.join(format!("{PREFIX}{LAYOUT}"));
        fs::create_dir_all(&folder)
            .with_context(|| format!("pin-dir: {}: cannot be made", pin_dir.display()))?;
        ensure!(
            is_bpffs(&folder),
            "pin-dir: {}: is not on a BPF file system; choose a folder under {BPFFS}",
            pin_dir.display()
        );
        Ok(Self { folder })
    }

    pub fn map(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn link(&self, hook: Attached) -> PathBuf {
        self.folder.join(format!("link-{}", hook.as_str()))
    }
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}

fn refuse_other_layouts(pin_dir: &Path) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(pin_dir) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let layout = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if let Some(layout) = layout.filter(|layout| *layout != LAYOUT.to_string()) {
            bail!(
                "pin-dir: {}: holds flows of layout {layout}, this agent reads layout {LAYOUT}; \
                 run the agent that wrote them, or remove the folder to end their connections",
                entry.path().display()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_layout_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("layout-999")).unwrap();
        let error = Pins::prepare(folder.path()).unwrap_err().to_string();
        assert!(error.contains("layout 999") && error.contains("layout-999"), "{error}");
    }

    #[test]
    fn a_folder_that_is_not_on_bpffs_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = Pins::prepare(folder.path()).unwrap_err().to_string();
        assert!(error.contains("not on a BPF file system"), "{error}");
    }
}
