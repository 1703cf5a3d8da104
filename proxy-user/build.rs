//! Builds the eBPF objects and embeds them, when this host has what that takes.
//!
//! `ENIGATE_EBPF=require` makes a missing toolchain an error; without it the agent is built
//! without the packet path and says so when it is asked for it, so that host unit tests need no
//! eBPF toolchain.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

#[path = "../xtask/src/ebpf_toolchain.rs"]
mod ebpf_toolchain;

use ebpf_toolchain::Toolchain;

/// The packet path, and the sockmap data path.
const OBJECTS: [&str; 2] = ["enigate-ebpf", "enigate-splice"];

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-env-changed=ENIGATE_EBPF");
    println!("cargo:rerun-if-env-changed=PATH");
    for source in ["build.rs", "../xtask/src/ebpf_toolchain.rs", "../proxy-common", "../proxy-ebpf"]
    {
        println!("cargo:rerun-if-changed={source}");
    }
    match ebpf_toolchain::find() {
        Ok(toolchain) => build(&toolchain),
        Err(missing) if env::var_os("ENIGATE_EBPF").is_some_and(|value| value == "require") => {
            bail!("{missing}; run `cargo xtask setup`")
        }
        Err(missing) => {
            println!(
                "cargo:warning={missing}: building without the packet path; \
                 `cargo xtask setup` installs what is missing"
            );
            Ok(())
        }
    }
}

fn build(toolchain: &Toolchain) -> anyhow::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    let target = target_folder(&out)?;
    let mut command = toolchain.cargo_build();
    command
        .args(["--quiet", "--package", "proxy-ebpf", "--bins", "--features", "programs"])
        .arg("--target-dir")
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags()?);
    run(&mut command)?;
    for object in OBJECTS {
        fs::copy(target.join("bpfel-unknown-none/release").join(object), out.join(object))
            .with_context(|| format!("cannot copy the eBPF object {object}"))?;
    }
    println!("cargo:rustc-cfg=ebpf_built");
    Ok(())
}

/// One of its own, since the outer cargo holds the lock of the shared one that it lies in; and the
/// same for all that run this script, for clippy, tests and releases each have an `OUT_DIR`.
fn target_folder(out: &Path) -> anyhow::Result<PathBuf> {
    // target/PROFILE/build/PACKAGE/out
    let shared = out.ancestors().nth(4);
    Ok(shared.with_context(|| format!("{}: lies in no target folder", out.display()))?.join("ebpf"))
}

/// BTF for the maps and the verifier's log, and the architecture whose registers aya binds to.
fn rustflags() -> anyhow::Result<OsString> {
    let architecture = env::var("CARGO_CFG_TARGET_ARCH")?;
    let flags =
        [&format!("--cfg=bpf_target_arch=\"{architecture}\""), "-Cdebuginfo=2", "-Clink-arg=--btf"];
    Ok(flags.join("\x1f").into())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the eBPF programs do not build:\n{said}");
    for line in said.lines() {
        println!("cargo:warning={line}");
    }
    Ok(())
}
