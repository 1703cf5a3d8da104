//! What the packet path needs of this host, checked before anything is loaded.

use std::{fs, path::Path};

use super::kernel;

/// From `include/uapi/linux/capability.h`.
const CAP_NET_ADMIN: u32 = 12;
/// For the resets of a dead backend's connections, which go out by raw sockets.
const CAP_NET_RAW: u32 = 13;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

const OLDEST_KERNEL: (u32, u32) = (5, 10);
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// One line for each thing that is missing; none if all is there.
pub fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    missing.extend(kernel::object().err().map(|error| format!("{error:#}")));
    match fs::read_to_string("/proc/self/status") {
        Ok(status) => missing.extend(missing_capabilities(&status)),
        Err(error) => missing.push(format!("/proc/self/status cannot be read: {error}")),
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    missing.extend(too_old(release.trim()));
    if !Path::new(BTF).exists() {
        missing.push(format!("the kernel has no BTF ({BTF}, CONFIG_DEBUG_INFO_BTF)"));
    }
    missing
}

fn missing_capabilities(status: &str) -> Option<String> {
    let effective = effective_capabilities(status)?;
    let has = |capability: u32| effective & (1 << capability) != 0;
    let missing: Vec<_> = [
        ("CAP_BPF", has(CAP_BPF) || has(CAP_SYS_ADMIN)),
        ("CAP_NET_ADMIN", has(CAP_NET_ADMIN)),
        ("CAP_NET_RAW", has(CAP_NET_RAW)),
        ("CAP_PERFMON", has(CAP_PERFMON) || has(CAP_SYS_ADMIN)),
    ]
    .into_iter()
    .filter_map(|(name, there)| (!there).then_some(name))
    .collect();
    (!missing.is_empty()).then(|| format!("the process lacks {}", missing.join(", ")))
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn too_old(release: &str) -> Option<String> {
    let (major, minor) = OLDEST_KERNEL;
    match parse_release(release) {
        Some(version) if version >= OLDEST_KERNEL => None,
        Some(_) => Some(format!("Linux {release} is older than {major}.{minor}")),
        None => Some(format!("{release:?} is not a release of Linux that can be compared")),
    }
}

fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(effective: &str) -> String {
        format!("Name:\tenigate\nCapPrm:\t0000000000000000\nCapEff:\t{effective}\n")
    }

    #[test]
    fn each_capability_that_is_missing_is_named() {
        for (effective, missing) in [
            ("000001ffffffffff", None),
            (
                "0000000000000000",
                Some("the process lacks CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON"),
            ),
            ("000000c000002000", Some("the process lacks CAP_NET_ADMIN")),
            ("000000c000001000", Some("the process lacks CAP_NET_RAW")),
            ("000000c000003000", None),
            ("0000000000203000", None),
            ("0000000000003000", Some("the process lacks CAP_BPF, CAP_PERFMON")),
        ] {
            assert_eq!(missing_capabilities(&status(effective)).as_deref(), missing, "{effective}");
        }
    }

    #[test]
    fn kernels_are_compared_by_number() {
        for release in ["5.10.0-46-cloud-amd64", "6.1.0", "6.18.5", "10.0"] {
            assert_eq!(too_old(release), None, "{release}");
        }
        assert_eq!(too_old("5.4.0-1").as_deref(), Some("Linux 5.4.0-1 is older than 5.10"));
        assert!(too_old("unknown").is_some());
        assert!(too_old("").is_some());
    }
}
