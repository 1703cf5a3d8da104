//! What virtual machines take: QEMU, and the tools that put kernels and modules together.

use super::{State, apt, host};

/// A program of each package.
const TOOLS: [(&str, &str); 8] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("modprobe", "kmod"),
    ("depmod", "kmod"),
    ("cpio", "cpio"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
    ("setpriv", "util-linux"),
    ("nft", "nftables"),
];

pub fn tools() -> State {
    match missing().as_slice() {
        [] => State::Present { found: "qemu-system-x86_64, modprobe, depmod, cpio".into() },
        packages => State::Missing { remedy: format!("apt-get install {}", packages.join(" ")) },
    }
}

pub fn install() -> anyhow::Result<()> {
    apt::install(&missing())
}

fn missing() -> Vec<&'static str> {
    let lacks = |program: &str| host::on_path(program).is_none();
    let mut packages: Vec<_> = TOOLS
        .into_iter()
        .filter(|(program, _)| lacks(program))
        .map(|(_, package)| package)
        .collect();
    packages.dedup();
    packages
}
