//! What a machine runs: the lab, the scenarios and the agent, with the libraries that they need, as
//! a folder and as a cpio archive.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::cargo::{self, Ebpf, Profile};

/// That scenarios start where they are installed; `sh` must be.
const TOOLS: [&str; 3] = ["sh", "unbound", "nft"];
/// For people in the machine.
const SHELL_TOOLS: [&str; 10] =
    ["bash", "cat", "dmesg", "grep", "ip", "ls", "mount", "ps", "tc", "tail"];
const USERS: &str = "root:x:0:0:root:/tmp:/bin/sh\nunbound:x:100:100::/:/bin/sh\n";
const GROUPS: &str = "root:x:0:\nunbound:x:100:\n";

/// Builds all, and puts it into target/kernels/root.
pub fn root(with_shell: bool) -> anyhow::Result<PathBuf> {
    let scenarios = build()?;
    let root = empty_root()?;
    install(&cargo::binary(Profile::Dev, "enigate")?, &root, "enigate")?;
    install(&cargo::binary(Profile::Dev, "enigate-lab")?, &root, "enigate-lab")?;
    install(&scenarios, &root, "scenarios")?;
    let shell_tools: &[&str] = if with_shell { &SHELL_TOOLS } else { &[] };
    for tool in TOOLS.iter().chain(shell_tools) {
        match on_path(tool) {
            Some(binary) => install(&binary, &root, tool)?,
            None => println!("machines have no {tool}: it is not installed here"),
        }
    }
    Ok(root)
}

fn empty_root() -> anyhow::Result<PathBuf> {
    let root = cargo::kernels().join("root");
    fs::remove_dir_all(&root).ok();
    for folder in ["bin", "etc", "lib64", "dev", "proc", "sys", "run", "tmp"] {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    fs::write(root.join("etc/passwd"), USERS).context("writing users")?;
    fs::write(root.join("etc/group"), GROUPS).context("writing groups")?;
    Ok(root)
}

pub fn pack(root: &Path) -> anyhow::Result<PathBuf> {
    archive(root, &root.with_extension("cpio"))
}

/// A folder as the kernel unpacks it at its start. Archives may follow one another in one file.
pub fn archive(folder: &Path, to: &Path) -> anyhow::Result<PathBuf> {
    let out = fs::File::create(to).with_context(|| format!("creating {}", to.display()))?;
    let mut find = Command::new("find");
    let mut find = find.arg(".").current_dir(folder).stdout(Stdio::piped()).spawn()?;
    let names = find.stdout.take().context("find's output")?;
    let mut cpio = Command::new("cpio");
    cpio.args(["--quiet", "--create", "--format=newc", "--owner=0:0"]).current_dir(folder);
    cargo::succeed(cpio.stdin(names).stdout(out))?;
    ensure!(find.wait()?.success(), "find . in {} fails", folder.display());
    Ok(to.to_owned())
}

/// Without its symbols for debuggers, and with the libraries that it names, at their own paths.
fn install(binary: &Path, root: &Path, name: &str) -> anyhow::Result<()> {
    let to = root.join("bin").join(name);
    cargo::succeed(Command::new("strip").arg("-o").arg(&to).arg(binary))?;
    for library in libraries(binary)? {
        let to = root.join(library.strip_prefix("/").unwrap_or(&library));
        let folder = to.parent().context("a library lies in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        fs::copy(&library, &to).with_context(|| format!("copying {}", library.display()))?;
    }
    Ok(())
}

/// As the dynamic loader finds them, and the loader.
fn libraries(binary: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let said = cargo::output(Command::new("ldd").arg(binary))?;
    let words =
        said.lines().filter_map(|line| line.split_whitespace().find(|it| it.starts_with('/')));
    Ok(words.map(PathBuf::from).collect())
}

/// Binaries and scenarios at once: apart, cargo would build the agent twice, with other features.
fn build() -> anyhow::Result<PathBuf> {
    let build = || {
        let mut command = cargo::cargo(Ebpf::Required);
        command.args(["build", "--workspace", "--bins", "--test", "scenarios"]);
        command
    };
    cargo::succeed(&mut build())?;
    // All is built. Now it says where it has put the scenarios, and not how it gets on.
    let said = cargo::output(build().arg("--message-format=json-render-diagnostics"))?;
    said.lines().find_map(test_binary).context("cargo has built no scenarios")
}

fn test_binary(line: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        target: Target,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let message: Message = serde_json::from_str(line).ok()?;
    (message.target.name == "scenarios").then_some(message.executable)?
}

fn on_path(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let found = env::split_paths(&path).map(|folder| folder.join(tool)).find(|it| it.is_file());
    found.and_then(|link| fs::canonicalize(link).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_taken_from_the_message_of_its_target() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"scenarios","kind":["test"]},"executable":"/t/scenarios-1"}"#;
        assert_eq!(test_binary(line), Some("/t/scenarios-1".into()));
        assert_eq!(test_binary(&line.replace("\"scenarios\"", "\"vm_tests\"")), None);
        assert_eq!(test_binary(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
