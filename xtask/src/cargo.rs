//! The cargo that started us, and where it puts things.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

/// What proxy-user's build script does without an eBPF toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ebpf {
    Required,
    IfFound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Dev,
    Release,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

pub fn cargo(ebpf: Ebpf) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // What cargo told us about xtask would make build scripts run again that look at it.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    match ebpf {
        Ebpf::Required => command.env("ENIGATE_EBPF", "require"),
        Ebpf::IfFound => command.env_remove("ENIGATE_EBPF"),
    };
    command
}

/// The path of a built binary: cargo put this one beside it, or in the folder next door.
pub fn binary(profile: Profile, name: &str) -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("finding xtask's own binary")?;
    let target = own.ancestors().nth(2).context("xtask lies in no target folder")?;
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    };
    Ok(target.join(folder).join(name))
}

/// Where kernels, machines and what came of them are kept; git ignores it.
pub fn kernels() -> PathBuf {
    root().join("target/kernels")
}

/// Runs it with our terminal; an error names the command.
pub fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let line = line(command);
    let status = command.status().with_context(|| format!("starting {line}"))?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}

/// What it prints; an error names the command, and has what that complains of.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let line = line(command);
    let output = command.output().with_context(|| format!("starting {line}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{line}: {}: {}", output.status, complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as a person would type it.
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
