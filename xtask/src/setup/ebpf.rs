//! The eBPF toolchain: a compiler that builds `core` from source, and a bpf-linker for its LLVM.

use std::{
    env,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};

use super::{State, apt};
use crate::{
    cargo::{self, Ebpf},
    ebpf_toolchain::{self, Compiler, LlvmMajor, Missing, find_linker},
    progress,
};

const LINKER_VERSION: &str = "0.13.0";

pub fn compiler() -> State {
    let compiler = match ebpf_toolchain::find() {
        Ok(toolchain) => Some(toolchain.compiler),
        Err(_) => Compiler::ALL.into_iter().find(|compiler| compiler.has_core_source()),
    };
    match compiler.and_then(|compiler| Some((compiler, compiler.llvm()?))) {
        Some((compiler, LlvmMajor(llvm))) => {
            State::Present { found: format!("{compiler}, LLVM {llvm}") }
        }
        None => State::Missing {
            remedy: "install Debian's rustc-web, or else rustup's nightly with rust-src".into(),
        },
    }
}

pub fn linker() -> State {
    match ebpf_toolchain::find() {
        Ok(toolchain) => State::Present { found: toolchain.linker.display().to_string() },
        Err(Missing::Linker { llvm: LlvmMajor(llvm) }) => State::Missing {
            remedy: format!("cargo install bpf-linker {LINKER_VERSION} with Debian's LLVM {llvm}"),
        },
        Err(Missing::Compiler) => State::Missing {
            remedy: format!("cargo install bpf-linker {LINKER_VERSION} for the compiler's LLVM"),
        },
    }
}

/// Completes the first toolchain that can be had; one whose compiler is already here goes first.
pub fn install() -> anyhow::Result<()> {
    let (here, elsewhere): (Vec<_>, Vec<_>) =
        Compiler::ALL.into_iter().partition(|compiler| compiler.has_core_source());
    for compiler in here.into_iter().chain(elsewhere) {
        match complete(compiler) {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("    cannot use {compiler}: {error:#}"),
        }
    }
    bail!("neither Debian's rustc nor rustup's nightly can be had; the reasons are above")
}

fn complete(compiler: Compiler) -> anyhow::Result<()> {
    if !compiler.has_core_source() {
        install_compiler(compiler)?;
    }
    let llvm = compiler.llvm().context("`rustc -vV` does not say which LLVM it has")?;
    if find_linker(llvm).is_none() {
        install_linker(llvm)?;
    }
    ensure!(find_linker(llvm).is_some(), "bpf-linker is still not found after its installation");
    Ok(())
}

fn install_compiler(compiler: Compiler) -> anyhow::Result<()> {
    match compiler {
        Compiler::Rustup => {
            ensure!(has_rustup(), "there is no rustup on the PATH");
            progress::run(
                "installing rustup's nightly, which can build `core` for eBPF",
                Command::new("rustup").args(["toolchain", "install", "nightly"]).args([
                    "--component",
                    "rust-src",
                    "--profile",
                    "minimal",
                ]),
            )
        }
        Compiler::Debian => apt::install(&["rustc-web", "cargo-web", "rust-web-src"]),
    }
}

/// Built here, since bitcode of one LLVM is not read by another.
fn install_linker(LlvmMajor(llvm): LlvmMajor) -> anyhow::Result<()> {
    let [dev, polly] = [format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev")];
    apt::install(&[&dev, &polly, "libzstd-dev", "zlib1g-dev", "libxml2-dev"])?;
    let prefix = format!("/usr/lib/llvm-{llvm}");
    let path = env::var("PATH").unwrap_or_default();
    progress::run(
        &format!("building bpf-linker {LINKER_VERSION} for LLVM {llvm}, about a minute"),
        cargo::cargo(Ebpf::IfFound)
            .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked"])
            .args(["--no-default-features", "--features", &format!("llvm-{llvm}")])
            .env("PATH", format!("{prefix}/bin:{path}"))
            .env(format!("LLVM_SYS_{llvm}1_PREFIX"), &prefix)
            .env("LLVM_PREFIX", &prefix),
    )
}

fn has_rustup() -> bool {
    let quiet = || Stdio::null();
    let asked = Command::new("rustup").arg("--version").stdout(quiet()).stderr(quiet()).status();
    asked.is_ok_and(|status| status.success())
}
