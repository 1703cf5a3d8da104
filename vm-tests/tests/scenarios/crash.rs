//! A lab dies without a word; the next start finds what is its own, and nothing else.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use vm_tests::Lab;

use crate::setting::{lab, options, within};

const NAME: &str = "crashed";

#[tokio::test]
async fn leftovers_of_a_crash_are_removed_by_name() {
    let other = lab("crashed_not", |_| {}).await;
    let mut crashing = within("the lab is up", Duration::from_secs(20), start_lab()).await;
    assert!(Lab::clean(NAME).is_err(), "it is running");
    crashing.kill().await.expect("killed");
    assert!(Path::new("/run/netns/eg-crashed-proxy").exists());

    let removed = Lab::clean(NAME).expect("cleaned").join("\n");
    assert!(removed.contains("agent with process id"), "{removed}");
    assert!(removed.contains("network namespace eg-crashed-proxy"), "{removed}");
    assert!(!removed.contains("crashed_not"), "{removed}");
    assert_eq!(Lab::clean(NAME).expect("cleaned again"), Vec::<String>::new());

    other.client().get("/readyz").await.expect("the other lab goes on");
    other.done().await;
}

async fn start_lab() -> Child {
    let mut child = Command::new(lab_binary())
        .args(["up", NAME, "--agent"])
        .arg(options().agent)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("enigate-lab");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    while let Some(line) = lines.next_line().await.expect("a line") {
        if line.starts_with("up: ") {
            return child;
        }
    }
    panic!("enigate-lab ended before the lab was up");
}

/// Where cargo put it; in a virtual machine, where that says.
fn lab_binary() -> PathBuf {
    let elsewhere = env::var_os("CARGO_BIN_EXE_enigate-lab").map(PathBuf::from);
    elsewhere.unwrap_or_else(|| env!("CARGO_BIN_EXE_enigate-lab").into())
}
