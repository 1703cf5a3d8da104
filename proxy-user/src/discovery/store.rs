//! The file of the last good answer. A crash at any moment leaves the old one or the new one whole.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    unistd::{AccessFlags, access},
};

use super::saved::{MAX_SIZE, Saved, Unusable};
use crate::config::{HostName, Invalid};

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const WRITABLE_BY_ALL: u32 = 0o002;

/// Several agents may share the folder, each with an endpoint of its own.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    endpoint: HostName,
}

type Step = fn(&Store, &[u8]) -> io::Result<()>;

/// What is written is whole on the disk before it takes the old file's place.
const STEPS: [Step; 4] = [Store::begin, Store::fill, Store::replace, Store::settle];

impl Store {
    /// Makes the folder where there is none.
    pub fn open(folder: &Path, endpoint: &HostName) -> Result<Self, Invalid> {
        let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
        made.map_err(|error| {
            Invalid::new(format!("cannot be made: {error}; give a folder that can be written to"))
        })?;
        must_be_fit(folder)?;
        Ok(Self { folder: folder.into(), endpoint: endpoint.clone() })
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.endpoint.as_str()))
    }

    /// `None` where nothing has been saved yet.
    pub fn load(&self) -> Result<Option<Saved>, Unusable> {
        let Some(file) = open_plainly(&self.path())? else { return Ok(None) };
        let unreadable = |error: io::Error| Unusable::Unreadable(error.to_string());
        check(&file.metadata().map_err(unreadable)?)?;
        let mut bytes = Vec::new();
        file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_SIZE {
            return Err(Unusable::TooLarge);
        }
        Saved::decode(&bytes, &self.endpoint).map(Some)
    }

    /// Blocks until the disk has it.
    pub fn save(&self, saved: &Saved) -> io::Result<()> {
        let bytes = saved.encode(&self.endpoint)?;
        STEPS.iter().try_for_each(|step| step(self, &bytes))
    }

    /// In the same folder, so that it can be renamed; only we write there, so the name is free.
    fn new_path(&self) -> PathBuf {
        self.folder.join(format!("{}.new", self.endpoint.as_str()))
    }

    /// A crash may have left one behind.
    fn begin(&self, _: &[u8]) -> io::Result<()> {
        match fs::remove_file(self.new_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(FILE_MODE).open(self.new_path()).map(drop)
    }

    fn fill(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.new_path())?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn replace(&self, _: &[u8]) -> io::Result<()> {
        fs::rename(self.new_path(), self.path())
    }

    /// The rename itself is on the disk only when the folder is.
    fn settle(&self, _: &[u8]) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

/// Could answers be kept in this folder, which exists or can be made? Changes nothing.
pub fn examine(folder: &Path) -> Result<(), Invalid> {
    if folder.exists() {
        return must_be_fit(folder);
    }
    let existing = folder.ancestors().find(|ancestor| ancestor.exists());
    existing.map_or(Ok(()), may_be_written)
}

/// Where everybody may write, anybody could say which addresses the cluster has.
fn must_be_fit(folder: &Path) -> Result<(), Invalid> {
    let metadata = fs::metadata(folder)
        .map_err(|error| Invalid::new(format!("cannot be looked at: {error}")))?;
    if !metadata.is_dir() {
        return Err(Invalid::new("is no folder; give one"));
    }
    if is_writable_by_all(&metadata) {
        return Err(Invalid::new("everybody may write to it; take that right away with chmod o-w"));
    }
    may_be_written(folder)
}

fn may_be_written(folder: &Path) -> Result<(), Invalid> {
    access(folder, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|error| {
        let shown = folder.display();
        Invalid::new(format!("{shown} cannot be written to: {}; give another", error.desc()))
    })
}

fn is_writable_by_all(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & WRITABLE_BY_ALL != 0
}

/// Follows no link, and does not wait for the other end of a pipe.
fn open_plainly(path: &Path) -> Result<Option<File>, Unusable> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
            Err(Unusable::SymbolicLink)
        }
        Err(error) => Err(Unusable::Unreadable(error.to_string())),
    }
}

fn check(metadata: &Metadata) -> Result<(), Unusable> {
    if !metadata.is_file() {
        return Err(Unusable::NoFile);
    }
    if is_writable_by_all(metadata) {
        return Err(Unusable::WritableByAll);
    }
    if metadata.len() > MAX_SIZE {
        return Err(Unusable::TooLarge);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
