//! Debian's archive, asked through an apt with a configuration of its own: nothing of the host's
//! changes, and suites that the host does not have can be asked.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

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

/// From the cache where it is there; what is pinned, or an error.
pub fn fetch(kernel: &Kernel) -> anyhow::Result<Fetched> {
    let folder = cargo::kernels().join(&kernel.name);
    let unpacked = folder.join("unpacked");
    let pinned: String = kernel.package.iter().map(|package| format!("{package:?}\n")).collect();
    let is_there = fs::read_to_string(folder.join("pinned")).is_ok_and(|was| was == pinned);
    if !is_there {
        fs::remove_dir_all(&folder).or_else(missing_is_fine)?;
        fs::create_dir_all(&unpacked)
            .with_context(|| format!("creating {}", unpacked.display()))?;
        for file in download(kernel)? {
            cargo::succeed(Command::new("dpkg-deb").arg("-x").arg(file).arg(&unpacked))?;
        }
        fs::write(folder.join("pinned"), pinned).context("noting what was unpacked")?;
    }
    let modules = modules_of(&unpacked)?;
    if !modules.join("modules.dep").is_file() {
        modules::index(&modules)?;
    }
    let modules_archive = modules::pack(&modules, &folder)?;
    Ok(Fetched { vmlinuz: vmlinuz_of(&unpacked, &modules)?, modules: modules_archive })
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

/// Where the host itself gets Debian's packages from.
struct Mirrors {
    main: String,
    security: String,
}

impl Mirrors {
    fn of_this_host() -> anyhow::Result<Self> {
        let mut command = Command::new("apt-get");
        command.args([
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE)",
            "Created-By: Packages",
        ]);
        Self::parse(&cargo::output(&mut command)?)
    }

    fn parse(said: &str) -> anyhow::Result<Self> {
        let of = |is: &dyn Fn(&str) -> bool| {
            let mut lines = said.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(_, suite)| is(suite)).map(|(uri, _)| uri.to_owned())
        };
        let security = of(&|suite| suite.ends_with("-security"));
        // The archive alone has these.
        let main = of(&|suite| suite.ends_with("-updates") || suite.ends_with("-backports"));
        let (Some(main), Some(security)) = (main, security) else {
            bail!(
                "the kernels come from Debian's archive, and this host's apt sources have no \
                 -updates and -security suites; bring a kernel with --vmlinuz and --modules"
            );
        };
        Ok(Self { main, security })
    }

    fn of(&self, suite: &str) -> &str {
        if suite.ends_with("-security") { &self.security } else { &self.main }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_come_from_the_hosts_own_mirrors() {
        let said = "http://a.example/other/ cloud-sdk\nhttp://a.example/sec/ bookworm-security\n\
                    http://a.example/deb/ bookworm\nhttp://a.example/deb/ bookworm-updates\n";
        let mirrors = Mirrors::parse(said).expect("both");
        assert_eq!(mirrors.of("bullseye-security"), "http://a.example/sec/");
        assert_eq!(mirrors.of("trixie-backports"), "http://a.example/deb/");
        assert!(Mirrors::parse("http://a.example/other/ cloud-sdk\n").is_err());
    }
}
