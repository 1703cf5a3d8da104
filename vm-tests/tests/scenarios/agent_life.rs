//! The agent goes and comes; connections on the packet path stay.

use std::time::Duration;

use vm_tests::{Client, Mix, Programs, Reply, Service};

use crate::setting::{lab, live, opened, tc};

/// The agent reads the kernel's counters every 2 s.
const SAMPLED: Duration = Duration::from_secs(5);

#[tokio::test]
async fn sigkill_leaves_connections_working_and_a_restart_takes_them_over() {
    let mut lab = lab("sigkill", |_| {}).await;
    let kept = lab.client().kept().expect("a client");
    let first = request(&kept).await;
    let counted = lab.until("the connection is counted", SAMPLED, |status| opened(status) > 0);
    let before = opened(&counted.await);

    lab.agent().kill().await.expect("killed");
    same_connection(&first, &request(&kept).await);
    request(&lab.client()).await;

    lab.agent().restart().await.expect("a new agent");
    same_connection(&first, &request(&kept).await);
    request(&lab.client()).await;
    lab.until("inherited flows and counters that go on", SAMPLED, |status| {
        status.datapath.flow_entries >= 2 && opened(status) >= before + 2
    })
    .await;
    lab.done().await;
}

#[tokio::test]
async fn sigkill_and_an_upgrade_in_mid_transfer_cost_no_byte() {
    const SOME: u64 = 2_000_000;
    let mut lab = lab("mid_transfer", |options| options.service = Service::Echo).await;
    let mut transfer = lab.client().transfer().await.expect("a transfer");
    transfer.more(SOME).await.expect("under way");

    lab.agent().kill().await.expect("killed");
    transfer.more(SOME).await.expect("it goes on");
    lab.agent().restart().await.expect("a new agent");
    transfer.more(SOME).await.expect("it goes on");
    // An upgrade: the old agent ends in order, the next loads programs of its own.
    lab.agent().restart().await.expect("its successor");
    transfer.more(SOME).await.expect("it goes on");
    transfer.end().await.expect("every byte, as it was");
    lab.done().await;
}

#[tokio::test]
async fn sigterm_ends_the_agent_cleanly_and_leaves_connections_working() {
    let mut lab = lab("sigterm", |_| {}).await;
    let kept = lab.client().kept().expect("a client");
    let first = request(&kept).await;

    let exit = lab.agent().terminate().await.expect("terminated");
    assert_eq!(exit.code(), Some(0), "{exit}");
    same_connection(&first, &request(&kept).await);
    request(&lab.client()).await;
    lab.done().await;
}

#[tokio::test]
async fn detach_leaves_nothing_at_the_hook_and_the_next_agent_begins_anew() {
    let mut lab = lab("detached", |_| {}).await;
    assert_eq!(lab.status().await.datapath.hook.as_deref(), Some(tc()), "what auto takes");
    request(&lab.client()).await;
    lab.agent().terminate().await.expect("terminated");
    assert!(lab.programs().await.expect("the kernel's answer").is_at_tc(), "it outlives its agent");
    lab.agent().detach().await.expect("detached");
    assert_eq!(lab.programs().await.expect("the kernel's answer"), Programs::default());
    lab.agent().restart().await.expect("a new agent");
    request(&lab.client()).await;
    assert_eq!(lab.status().await.listener.accepted, 0, "the kernel carries it");
    lab.done().await;
}

#[tokio::test]
async fn restarts_under_load_fail_no_request() {
    let mut lab = lab("restarts", |_| {}).await;
    let load = lab.load(Mix::default()).expect("a load");
    for _ in 0..3 {
        let before = load.counts().connections;
        lab.agent().kill().await.expect("killed");
        lab.agent().restart().await.expect("a new agent");
        lab.until("live backends", Duration::from_secs(5), |status| live(status) == 3).await;
        assert!(load.counts().connections > before, "no new connection meanwhile");
    }
    let counts = load.stop().await.expect("every request ended");
    assert_eq!(counts.failures, 0, "{:#?}", counts.last_errors);
    assert_eq!(counts.watches_reopened, 0, "no watch was broken");
    lab.done().await;
}

async fn request(client: &Client) -> Reply {
    let reply = client.get("/readyz").await.expect("an answer");
    assert_eq!(reply.status, 200);
    reply
}

fn same_connection(one: &Reply, other: &Reply) {
    assert_eq!((&one.eni, one.connection), (&other.eni, other.connection));
}
