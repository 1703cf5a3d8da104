//! What agents leave in the kernel can be taken away, and does not stay where it is not wanted.
//! Needs root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod detach {
    pub mod netns;
    mod ports;
}
#[path = "netns/links.rs"]
mod links;

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::{Command, Stdio},
};

use aya::programs::{
    SchedClassifier, TcAttachType,
    tc::{self, TcError},
};
use detach::netns::inside;
use links::LINKS;
use proxy_common::LAYOUT;
use proxy_user::datapath::kernel::Hook;

const ENIGATE: &str = env!("CARGO_BIN_EXE_enigate");
const PROGRAM: &str = "enigate_tc";
const NOBODY: u32 = 65_534;
const LEFT: &str = LINKS[0];
const RIGHT: &str = LINKS[1];

/// Programs at TCX.
fn programs(interface: &str) -> usize {
    SchedClassifier::query_tcx(interface, TcAttachType::Ingress).unwrap().1.len()
}

/// Takes away what it finds.
fn filter_is_gone(interface: &str) -> bool {
    let found = tc::qdisc_detach_program(interface, TcAttachType::Ingress, PROGRAM);
    matches!(found, Err(TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound)
}

#[test]
fn nothing_of_tcx_stays_behind_and_all_of_it_is_named() {
    inside("tcx", |place| {
        place.attach(LEFT, Hook::Tcx).unwrap();
        assert_eq!(programs(LEFT), 1);
        let removed = place.detach().join("\n");
        let maps = [format!("layout-{LAYOUT}/FLOWS"), format!("layout-{LAYOUT}/CONFIG")];
        for part in maps.iter().map(String::as_str).chain(["link-tcx", "folder "]) {
            assert!(removed.contains(part), "no {part} in:\n{removed}");
        }
        assert_eq!(programs(LEFT), 0);
        assert!(!place.pin_dir.exists());
        assert_eq!(place.detach(), Vec::<String>::new());
    });
}

#[test]
fn nothing_of_clsact_stays_behind() {
    inside("clsact", |place| {
        place.attach(LEFT, Hook::Clsact).unwrap();
        let filter = format!("clsact filters of {LEFT}");
        assert!(place.detach().contains(&filter));
        assert!(filter_is_gone(LEFT));
        assert!(!place.pin_dir.exists());
    });
}

#[test]
fn generic_xdp_can_be_attached_again_at_once() {
    inside("xdp", |place| {
        fs::write(format!("/proc/sys/net/ipv4/conf/{LEFT}/forwarding"), "1").unwrap();
        for _ in 0..3 {
            let kernel = place.attach(LEFT, Hook::XdpGeneric).unwrap();
            assert_eq!(kernel.hook(), "xdp-generic");
            assert!(place.detach().join("\n").contains("link-xdp-generic"));
        }
    });
}

#[test]
fn another_interface_is_attached_to_anew_and_the_earlier_is_left() {
    inside("moved", |place| {
        place.attach(LEFT, Hook::Tcx).unwrap();
        place.attach(RIGHT, Hook::Tcx).unwrap();
        assert_eq!((programs(LEFT), programs(RIGHT)), (0, 1));
        place.attach(LEFT, Hook::Clsact).unwrap();
        assert_eq!((programs(LEFT), programs(RIGHT)), (0, 0));
        place.attach(RIGHT, Hook::Tcx).unwrap();
        assert!(filter_is_gone(LEFT));
    });
}

#[test]
fn what_others_put_into_the_folder_stays() {
    inside("others", |place| {
        place.attach(LEFT, Hook::Tcx).unwrap();
        let other = place.pin_dir.join("other");
        fs::create_dir(&other).unwrap();
        place.detach();
        assert!(other.exists());
        fs::remove_dir(other).unwrap();
        fs::remove_dir(&place.pin_dir).unwrap();
    });
}

#[test]
fn the_command_says_what_it_removed_or_that_there_is_nothing() {
    inside("command", |place| {
        let pins = place.pin_dir.to_str().unwrap();
        place.attach(LEFT, Hook::Tcx).unwrap();
        for part in ["removed link", "nothing to remove"] {
            let done = Command::new(ENIGATE).args(["detach", "--pin-dir", pins]).output().unwrap();
            let said = String::from_utf8(done.stdout).unwrap();
            assert!(done.status.success() && said.contains(part), "{said}");
        }
    });
}

#[test]
fn an_incompatible_layout_is_refused_until_it_is_cleared() {
    inside("fresh", |place| {
        place.attach(LEFT, Hook::Tcx).unwrap();
        let layout = place.pin_dir.join("layout-999");
        fs::create_dir(&layout).unwrap();
        let refusal = place.attach(LEFT, Hook::Tcx).err().unwrap().to_string();
        assert!(refusal.contains("--fresh") && refusal.contains("layout-999"), "{refusal}");
        assert_eq!(programs(LEFT), 1, "a refusal changes nothing");

        let pins = place.pin_dir.to_str().unwrap();
        let mut run = Command::new(ENIGATE);
        run.args(["run", "--fresh", "--datapath=relay", "--endpoint=api.example"]);
        run.args(["--listen=10.0.10.1:443", "--admin=10.0.10.1:9090", "--pin-dir", pins]);
        run.env("ENIGATE_STATE_DIR", env!("CARGO_TARGET_TMPDIR"));
        let mut agent = run.stderr(Stdio::piped()).spawn().unwrap();
        // It clears before it announces itself.
        let log = BufReader::new(agent.stderr.take().unwrap());
        let announced = log.lines().map_while(Result::ok).any(|line| line.contains("admin on"));
        assert!(announced, "the agent ended without a start");
        agent.kill().unwrap();
        agent.wait().unwrap();
        assert!(!place.pin_dir.exists());
        assert_eq!(programs(LEFT), 0);
    });
}

#[test]
fn without_root_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = folder.path().join("enigate");
    fs::copy(ENIGATE, &binary).unwrap();
    let done = Command::new(binary).arg("detach").uid(NOBODY).gid(NOBODY).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("needs root"), "{said}");
}
