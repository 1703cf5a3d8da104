//! Each hook carries both families, single requests and bulk, and leaves nothing to the listener.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::sleep,
};
use vm_tests::{Client, Eni, has_tcx};

use crate::setting::{Scenario, dual_stack, hook_flags, lab, live, tc, within};

const BULK: u64 = 50_000_000;

#[tokio::test]
async fn tcx_carries_both_families() {
    if has_tcx() {
        carries_both_families("hook_tcx", "tcx").await;
    } else {
        is_said_to_be_missing("hook_tcx").await;
    }
}

#[tokio::test]
async fn auto_takes_the_best_hook_at_tc_that_the_kernel_has() {
    let mut lab = lab("hook_auto", |options| options.agent_flags = hook_flags("auto")).await;
    let datapath = lab.status().await.datapath;
    assert_eq!(datapath.hook.as_deref(), Some(tc()), "{}", datapath.reason);
    lab.done().await;
}

/// Asked for by name, it is not replaced by another hook: the relay carries everything.
async fn is_said_to_be_missing(name: &str) {
    let mut lab = dual_stack(name, "tcx").await;
    let datapath = lab.status().await.datapath;
    assert_eq!((datapath.name.as_str(), datapath.hook), ("relay", None));
    assert!(datapath.reason.contains("it takes Linux 6.6"), "{}", datapath.reason);
    lab.done().await;
}

#[tokio::test]
async fn clsact_carries_both_families() {
    carries_both_families("hook_clsact", "clsact").await;
}

#[tokio::test]
async fn xdp_carries_both_families_and_needs_no_tc_for_it() {
    carries_both_families("hook_xdp", "xdp").await;
}

#[tokio::test]
async fn generic_xdp_carries_both_families_and_needs_no_tc_for_it() {
    carries_both_families("hook_generic", "xdp-generic").await;
}

async fn carries_both_families(name: &str, hook: &str) {
    let mut lab = dual_stack(name, hook).await;
    let status = lab.until("all live", Duration::from_secs(5), |status| live(status) == 6).await;
    assert_eq!(status.datapath.hook.as_deref(), Some(hook), "{}", status.datapath.reason);
    for client in [lab.client(), lab.client_v6().expect("a client")] {
        let each = format!("an echo from each ENI at {}", client.proxy());
        within(&each, Duration::from_secs(5), each_eni_answers(&lab, &client)).await;
        within("bulk", Duration::from_secs(15), bulk(&client)).await;
    }
    assert_eq!(lab.status().await.listener.accepted, 0, "the kernel carried all of it");
    if hook.starts_with("xdp") {
        goes_on_without_tc(&mut lab).await;
    }
    lab.done().await;
}

async fn each_eni_answers(lab: &Scenario, client: &Client) {
    let served = || lab.enis().iter().map(Eni::connections).collect::<Vec<_>>();
    let before = served();
    while served().iter().zip(&before).any(|(now, before)| now == before) {
        let mut stream = client.connect().await.expect("a connection");
        stream.write_u64(7).await.expect("written");
        assert_eq!(stream.read_u64().await.expect("an echo"), 7);
    }
}

async fn bulk(client: &Client) {
    let mut transfer = client.transfer().await.expect("a transfer");
    transfer.more(BULK).await.expect("bytes as they were sent");
    transfer.end().await.expect("a clean end");
}

/// What is in the table is XDP's own, or else TC, which stands behind it, would have hidden that
/// it forwards nothing.
async fn goes_on_without_tc(lab: &mut Scenario) {
    let mut transfers = Vec::new();
    for client in [lab.client(), lab.client_v6().expect("a client")] {
        let mut transfer = client.transfer().await.expect("a transfer");
        transfer.more(1).await.expect("it is in the table");
        transfers.push(transfer);
    }
    lab.clear_tc().await.expect("nothing else holds the program");
    within("TC without a program", Duration::from_secs(5), no_tc(lab)).await;
    for mut transfer in transfers {
        let more = transfer.more(5_000_000);
        within("more bytes", Duration::from_secs(10), more).await.expect("through XDP alone");
    }
}

/// The kernel takes it away a little after its pin.
async fn no_tc(lab: &Scenario) {
    while lab.programs().await.expect("the kernel's answer").is_at_tc() {
        sleep(Duration::from_millis(5)).await;
    }
}
