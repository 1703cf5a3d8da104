//! SYNs that nobody means, from 100,000 sources, while live connections go on.

use std::time::Duration;

use proxy_user::status::Status;
use vm_tests::{Held, Pulse, Service};

use crate::setting::{Scenario, flags, hook_flags, lab, live, not_forwarded, opened, within};

const FLOOD: u32 = 100_000;
/// The connection that tells how far it has come.
const ITS_ECHO: u64 = 1;
const WATCHES: usize = 20;
const NEW: usize = 20;
const BEAT: Duration = Duration::from_millis(100);
/// Longer than the flood itself needs, on a machine with other things to do.
const FLOODED: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(10);
/// Enough that the flood leaves them source ports.
const ENIS: usize = 12;

#[tokio::test]
async fn a_flood_that_fits_into_the_table_disturbs_nobody() {
    let mut lab = flooded("flood_fits", &[]).await;
    let watches = watches(&lab).await;
    within("the flood", FLOODED, lab.syn_flood(FLOOD)).await.expect("sent");
    let all = u64::from(FLOOD) + ITS_ECHO + WATCHES as u64;
    lab.until("all of it is in the table", SOON, |status| opened(status) == all).await;

    echo_anew(&lab).await;
    go_on(watches).await;
    let status = lab.status().await;
    assert_eq!(status.listener.accepted, 0, "the kernel carried all of it");
    assert_eq!(not_forwarded(&status, "table_full"), 0);
    lab.done().await;
}

#[tokio::test]
async fn a_flood_that_fills_the_table_evicts_nobody_and_is_swept() {
    const CONNECTIONS: u64 = 4_096;
    let small = ["--table-size", "4096"];
    let mut lab = flooded("flood_fills", &[&small[..], &["--timeout-syn", "1h"]].concat()).await;
    let watches = watches(&lab).await;
    within("the flood", FLOODED, lab.syn_flood(FLOOD)).await.expect("sent");
    let full = |status: &Status| opened(status) == CONNECTIONS;
    let status = lab.until("the table is full", SOON, full).await;
    assert!(not_forwarded(&status, "table_full") > 0, "{:?}", status.reasons);

    echo_anew(&lab).await;
    assert_eq!(lab.status().await.listener.accepted, NEW as u64, "the listener carried these");
    let mut given = hook_flags("auto");
    given.extend(flags(&[&small[..], &["--timeout-syn", "1s"]].concat()));
    lab.agent().restart_with(given).await.expect("a new agent");
    // The watches are in there, whenever it is counted.
    lab.until("the flood is swept", Duration::from_secs(30), |status| {
        (1..CONNECTIONS).contains(&status.datapath.flow_entries)
    })
    .await;
    echo_anew(&lab).await;
    assert_eq!(lab.status().await.listener.accepted, 0, "the kernel carried these");
    go_on(watches).await;
    lab.done().await;
}

async fn flooded(name: &str, more: &[&str]) -> Scenario {
    let mut lab = lab(name, |options| {
        options.service = Service::Echo;
        options.enis = ENIS;
        options.agent_flags.extend(flags(more));
    })
    .await;
    lab.until("all live", SOON, |status| live(status) == ENIS).await;
    lab
}

async fn watches(lab: &Scenario) -> Vec<Pulse> {
    let mut watches = Vec::new();
    for _ in 0..WATCHES {
        watches.push(one(lab).await.pulse(BEAT));
    }
    watches
}

async fn one(lab: &Scenario) -> Held {
    within("an echo", SOON, lab.client().hold()).await.expect("a connection")
}

async fn echo_anew(lab: &Scenario) {
    for _ in 0..NEW {
        one(lab).await;
    }
}

async fn go_on(watches: Vec<Pulse>) {
    for watch in watches {
        let held = within("the last echo", SOON, watch.stop()).await;
        let mut held = held.expect("no echo was missing");
        within("one more echo", SOON, held.echo()).await.expect("it goes on");
    }
}
