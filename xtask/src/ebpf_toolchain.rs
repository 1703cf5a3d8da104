//! Finds what compiles eBPF on this host: a Rust compiler that can build `core` from source, and
//! a bpf-linker that links with the same major version of LLVM.
//!
//! `cargo xtask setup` and proxy-user's build script both include this file, so that what setup
//! reports is what the build takes.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

const NIGHTLY: &str = "nightly";
const DEBIAN_BIN: &str = "/usr/bin";

#[derive(Clone, Debug)]
pub struct Toolchain {
    pub compiler: Compiler,
    pub linker: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// rustup's nightly with its rust-src component.
    Rustup,
    /// Debian's rustc with its source package, told to accept `-Z build-std`.
    Debian,
}

/// What is missing, in words that go into `setup`'s report and the build's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Compiler,
    Linker { llvm: LlvmMajor },
}

/// LLVM's major version: bitcode of one major is not read by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LlvmMajor(pub u32);

/// The first compiler that has its linker; else what the first one lacks.
pub fn find() -> Result<Toolchain, Missing> {
    let mut tries =
        Compiler::ALL.into_iter().filter(|compiler| compiler.has_core_source()).map(complete);
    let first = tries.next().unwrap_or(Err(Missing::Compiler));
    first.or_else(|missing| tries.find_map(Result::ok).ok_or(missing))
}

fn complete(compiler: Compiler) -> Result<Toolchain, Missing> {
    let llvm = compiler.llvm().ok_or(Missing::Compiler)?;
    let linker = find_linker(llvm).ok_or(Missing::Linker { llvm })?;
    Ok(Toolchain { compiler, linker })
}

impl Toolchain {
    /// cargo, set up to build for the eBPF target: `core` from source, linked by bpf-linker.
    #[allow(dead_code, reason = "for the build script; setup only looks for the toolchain")]
    pub fn cargo_build(&self) -> Command {
        let mut command = self.compiler.tool("cargo");
        for inherited in ["RUSTUP_TOOLCHAIN", "RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
            command.env_remove(inherited);
        }
        if self.compiler == Compiler::Debian {
            command.env("RUSTC", Path::new(DEBIAN_BIN).join("rustc")).env("RUSTC_BOOTSTRAP", "1");
        }
        command.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.linker).args([
            "build",
            "--release",
            "--target",
            "bpfel-unknown-none",
            "-Z",
            "build-std=core",
        ]);
        command
    }
}

impl Compiler {
    /// Debian's first: it comes from the archive that also has the LLVM which bpf-linker is built
    /// with, while a nightly's LLVM may be newer than any that is packaged.
    pub const ALL: [Self; 2] = [Self::Debian, Self::Rustup];

    /// The compiler's major version of LLVM, as the compiler itself says.
    pub fn llvm(self) -> Option<LlvmMajor> {
        let version = stdout(self.tool("rustc").arg("-vV"))?;
        let llvm = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
        llvm.split('.').next()?.parse().ok().map(LlvmMajor)
    }

    pub fn has_core_source(self) -> bool {
        stdout(self.tool("rustc").args(["--print", "sysroot"])).is_some_and(|sysroot| {
            Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file()
        })
    }

    fn tool(self, name: &str) -> Command {
        match self {
            Self::Rustup => {
                let mut command = Command::new("rustup");
                command.args(["run", NIGHTLY, name]);
                command
            }
            Self::Debian => Command::new(Path::new(DEBIAN_BIN).join(name)),
        }
    }
}

/// On the PATH, then where cargo installs: a linker installed for another LLVM is passed over.
pub fn find_linker(llvm: LlvmMajor) -> Option<PathBuf> {
    let cargo_bin = cargo_home().map(|home| home.join("bin"));
    let on_path = env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>());
    let folders = on_path.into_iter().flatten().chain(cargo_bin);
    folders
        .map(|folder| folder.join("bpf-linker"))
        .find(|linker| linker.is_file() && !installed_for_another(linker, llvm))
}

/// cargo notes the features that it installed a binary with; bpf-linker's name the LLVM. A linker
/// that cargo did not install says nothing, and is taken at its word.
fn installed_for_another(linker: &Path, llvm: LlvmMajor) -> bool {
    let Some(home) = cargo_home().filter(|home| linker.starts_with(home)) else { return false };
    let Ok(notes) = fs::read_to_string(home.join(".crates2.json")) else { return false };
    let Some(at) = notes.find("\"bpf-linker ") else { return false };
    let features =
        notes[at..].split("\"features\":[").nth(1).and_then(|rest| rest.split(']').next());
    features.is_some_and(|features| {
        features.contains("\"llvm-") && !features.contains(&format!("\"llvm-{}\"", llvm.0))
    })
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
}

/// What the command printed, if it could be run and succeeded.
fn stdout(command: &mut Command) -> Option<String> {
    // An outer cargo's choice of toolchain must not decide which one is asked here.
    let output = command.env_remove("RUSTUP_TOOLCHAIN").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rustup => "rustup's nightly with rust-src",
            Self::Debian => "Debian's rustc with rust-src",
        })
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiler => f.write_str(
                "no Rust compiler with the source of core: rustup's nightly with rust-src, \
                 or Debian's rustc-web and rust-web-src",
            ),
            Self::Linker { llvm } => write!(f, "no bpf-linker for LLVM {}", llvm.0),
        }
    }
}
