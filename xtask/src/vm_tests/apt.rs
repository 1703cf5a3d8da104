//! Debian's archive, asked through an apt with a configuration of its own: nothing of the host's
//! changes, and suites that the host does not have can be asked.

mod mirrors;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

use self::mirrors::Mirrors;
use super::{
    kernels::{Kernel, Package},
    modules,
};
use crate::{cargo, progress};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A kernel as a machine takes it.
pub struct Fetched {
    pub vmlinuz: PathBuf,
    /// A cpio archive.
    pub modules: PathBuf,
}

/// Why a kernel that is not here cannot come from anywhere.
pub fn unreachable(kernels: &[&Kernel]) -> Option<String> {
    let no_archive = Mirrors::of_this_host().err().map(|error| format!("{error:#}"));
    no_archive.filter(|_| !kernels.iter().all(|kernel| is_unpacked(kernel)))
}

/// From the cache where it is there; what is pinned, or an error.
pub fn fetch(kernel: &Kernel) -> anyhow::Result<Fetched> {
    let folder = folder_of(kernel);
    let unpacked = folder.join("unpacked");
    if !is_unpacked(kernel) {
        fs::remove_dir_all(&folder).or_else(missing_is_fine)?;
        unpack(kernel, &unpacked)?;
        fs::write(folder.join("pinned"), pins_of(kernel)).context("noting what was unpacked")?;
    }
    let modules = modules_of(&unpacked)?;
    if !modules.join("modules.dep").is_file() {
        modules::index(&modules)?;
    }
    let modules_archive = modules::pack(&modules, &folder)?;
    Ok(Fetched { vmlinuz: vmlinuz_of(&unpacked, &modules)?, modules: modules_archive })
}

fn folder_of(kernel: &Kernel) -> PathBuf {
    cargo::kernels().join(&kernel.name)
}

fn is_unpacked(kernel: &Kernel) -> bool {
    let pinned = fs::read_to_string(folder_of(kernel).join("pinned"));
    pinned.is_ok_and(|was| was == pins_of(kernel))
}

fn pins_of(kernel: &Kernel) -> String {
    kernel.package.iter().map(|package| format!("{package:?}\n")).collect()
}

fn unpack(kernel: &Kernel, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for file in download(kernel)? {
        cargo::succeed(Command::new("dpkg-deb").arg("-x").arg(file).arg(to))?;
    }
    Ok(())
}

fn missing_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// From 7.x on, modules and kernel lie in /usr/lib.
fn modules_of(unpacked: &Path) -> anyhow::Result<PathBuf> {
    for place in ["lib/modules", "usr/lib/modules"] {
        if let Ok(mut entries) = fs::read_dir(unpacked.join(place))
            && let Some(entry) = entries.next()
        {
            return Ok(entry?.path());
        }
    }
    bail!("{}: the packages have no modules", unpacked.display())
}

fn vmlinuz_of(unpacked: &Path, modules: &Path) -> anyhow::Result<PathBuf> {
    let version = modules.file_name().unwrap_or_default().display();
    let places = [unpacked.join(format!("boot/vmlinuz-{version}")), modules.join("vmlinuz")];
    let found = places.into_iter().find(|place| place.is_file());
    found.with_context(|| format!("{}: the packages have no vmlinuz", unpacked.display()))
}

/// The packages' files, checked.
fn download(kernel: &Kernel) -> anyhow::Result<Vec<PathBuf>> {
    let cache = cargo::kernels().join("packages");
    fs::create_dir_all(&cache).with_context(|| format!("creating {}", cache.display()))?;
    let file = |package: &Package| cache.join(format!("{}.deb", package.sha256));
    let missing: Vec<_> = kernel.package.iter().filter(|it| !file(it).is_file()).collect();
    if !missing.is_empty() {
        let apt = Apt::new(std::slice::from_ref(&kernel.suite))?;
        for package in missing {
            let fetched = apt.download(package, &kernel.suite)?;
            check(package, &fetched)?;
            fs::rename(&fetched, file(package)).context("keeping the package")?;
        }
    }
    for package in &kernel.package {
        check(package, &file(package))?;
    }
    Ok(kernel.package.iter().map(file).collect())
}

fn check(package: &Package, file: &Path) -> anyhow::Result<()> {
    let found = sha256(file)?;
    ensure!(
        found == package.sha256,
        "{}: its sha256 is {found}, and {} is pinned; if the archive is right, \
         `cargo xtask vm-tests --refresh` pins it",
        file.display(),
        package.sha256
    );
    Ok(())
}

pub fn sha256(file: &Path) -> anyhow::Result<String> {
    let said = cargo::output(Command::new("sha256sum").arg(file))?;
    let sum = said.split_whitespace().next().context("sha256sum says nothing")?;
    Ok(sum.to_owned())
}

pub struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// With the newest lists of these suites.
    pub fn new(suites: &[String]) -> anyhow::Result<Self> {
        let folder = cargo::kernels().join("apt");
        for part in ["state/lists/partial", "cache/archives/partial", "preferences.d", "download"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("creating {}", part.display()))?;
        }
        let apt = Self { folder };
        apt.configure(suites)?;
        progress::run("fetching the lists of Debian's kernels", apt.get().arg("update"))?;
        Ok(apt)
    }

    fn configure(&self, suites: &[String]) -> anyhow::Result<()> {
        let mirrors = Mirrors::of_this_host()?;
        let line = |suite: &String| {
            format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirrors.of(suite))
        };
        let sources: String = suites.iter().map(line).collect();
        fs::write(self.folder.join("sources.list"), sources).context("writing sources.list")?;
        let at = self.folder.display();
        let config = format!(
            "Dir::Etc::SourceList \"{at}/sources.list\";\nDir::Etc::SourceParts \"-\";\n\
             Dir::Etc::Preferences \"-\";\nDir::Etc::PreferencesParts \"{at}/preferences.d\";\n\
             Dir::State \"{at}/state\";\nDir::State::status \"/dev/null\";\n\
             Dir::Cache \"{at}/cache\";\nAcquire::Languages \"none\";\n\
             Acquire::PDiffs \"false\";\nAcquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
             APT::Sandbox::User \"root\";\n"
        );
        fs::write(self.folder.join("apt.conf"), config).context("writing apt.conf")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf")).arg("--quiet");
        command
    }

    fn get(&self) -> Command {
        self.command("apt-get")
    }

    pub fn cache(&self) -> Command {
        self.command("apt-cache")
    }

    fn download(&self, package: &Package, suite: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join("download");
        fs::remove_dir_all(&folder)
            .and_then(|()| fs::create_dir(&folder))
            .context("making room")?;
        let Package { name, version, .. } = package;
        let mut command = self.get();
        command.current_dir(&folder).arg("download").arg(format!("{name}={version}"));
        progress::run(&format!("fetching {name} {version}"), &mut command).with_context(|| {
            format!(
                "{name} {version} cannot be had from {suite}: it may have left the archive; \
                 `cargo xtask vm-tests --refresh` pins what is there now"
            )
        })?;
        let entry = fs::read_dir(&folder).context("looking for the package")?.next();
        Ok(entry.context("apt-get download has left no file")??.path())
    }
}
