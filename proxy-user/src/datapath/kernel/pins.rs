//! What outlives the agent on bpffs: `<pin dir>/layout-<N>/`, with the maps and the links.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use aya::maps::{Array, Map, MapData};
use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use proxy_common::{LAYOUT, config::Config};

pub const BPFFS: &str = "/sys/fs/bpf";
const PREFIX: &str = "layout-";
const LINK: &str = "link-";

#[derive(Clone, Debug)]
pub struct Pins {
    folder: PathBuf,
}

impl Pins {
    /// Makes the folder, on a bpffs that is mounted where it is missing. A folder of another
    /// layout is refused: its flows can be neither read nor silently thrown away.
    pub fn prepare(pin_dir: &Path) -> anyhow::Result<Self> {
        if pin_dir.starts_with(BPFFS) && !is_on_bpffs(Path::new(BPFFS)) {
            mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), None::<&str>)
                .with_context(|| format!("{BPFFS}: no bpffs is there and it cannot be mounted"))?;
        }
        refuse_other_layouts(pin_dir)?;
        must_be_on_bpffs(pin_dir)?;
        let folder = pin_dir.join(format!("{PREFIX}{LAYOUT}"));
        fs::create_dir_all(&folder)
            .with_context(|| format!("pin-dir: {}: cannot be made", pin_dir.display()))?;
        Ok(Self { folder })
    }

    pub fn map(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn link(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{LINK}{name}"))
    }
}

/// What an agent of some version has pinned.
#[derive(Debug)]
pub struct Layout {
    folder: PathBuf,
    number: u32,
}

impl Layout {
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The interface that the program was last configured for; `None` if it never was, or if that
    /// cannot be read.
    pub fn interface(&self) -> Option<u32> {
        if self.number != LAYOUT {
            return None;
        }
        let map = MapData::from_pin(self.folder.join("CONFIG")).ok()?;
        let config: Array<_, Config> = Map::Array(map).try_into().ok()?;
        config.get(&0, 0).ok().map(|config| config.ifindex).filter(|index| *index != 0)
    }

    pub fn links(&self) -> anyhow::Result<Vec<PathBuf>> {
        let is_link = |path: &PathBuf| path.file_name().is_some_and(|name| starts_with(name, LINK));
        Ok(self.entries()?.into_iter().filter(is_link).collect())
    }

    pub fn entries(&self) -> anyhow::Result<Vec<PathBuf>> {
        list(&self.folder)
    }
}

/// Of every version; none if there is no such folder. What else lies in the folder
/// is not ours.
pub fn layouts(pin_dir: &Path) -> anyhow::Result<Vec<Layout>> {
    let layout = |folder: PathBuf| {
        let number = folder.file_name()?.to_str()?.strip_prefix(PREFIX)?.parse().ok()?;
        Some(Layout { folder, number })
    };
    Ok(list(pin_dir)?.into_iter().filter_map(layout).collect())
}

fn list(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect()),
    };
    let mut entries: Vec<_> =
        entries.with_context(|| format!("pin-dir: {}: cannot be read", folder.display()))?;
    entries.sort();
    Ok(entries)
}

fn starts_with(name: &OsStr, prefix: &str) -> bool {
    name.as_encoded_bytes().starts_with(prefix.as_bytes())
}

pub fn must_be_on_bpffs(folder: &Path) -> anyhow::Result<()> {
    ensure!(
        is_on_bpffs(folder),
        "pin-dir: {}: is not on a BPF file system; choose a folder under {BPFFS}",
        folder.display()
    );
    Ok(())
}

/// Or would be: asked of what is there already, so that a refused folder is not left behind.
pub fn is_on_bpffs(folder: &Path) -> bool {
    let existing = folder.ancestors().find(|part| part.exists()).unwrap_or(folder);
    statfs(existing).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}

fn refuse_other_layouts(pin_dir: &Path) -> anyhow::Result<()> {
    let Some(other) = layouts(pin_dir)?.into_iter().find(|layout| layout.number != LAYOUT) else {
        return Ok(());
    };
    bail!(
        "pin-dir: {}: holds flows of layout {}, this agent reads layout {LAYOUT}; run the agent \
         that wrote them, or start with --fresh to end their connections",
        other.folder.display(),
        other.number
    )
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
        assert!(error.contains("--fresh"), "{error}");
    }

    #[test]
    fn a_folder_that_is_not_on_bpffs_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pin_dir = folder.path().join("enigate");
        let error = Pins::prepare(&pin_dir).unwrap_err().to_string();
        assert!(error.contains("not on a BPF file system"), "{error}");
        assert!(!pin_dir.exists(), "nothing is left behind");
    }
}
