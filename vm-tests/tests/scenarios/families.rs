//! A client of one family, where the cluster has ENIs of the other alone.

use std::time::Duration;

use proxy_user::status::Status;
use vm_tests::{ENDPOINT, Eni};

use crate::setting::{dual_stack_with, flags, hook_flags, tc};

/// The agent reads the kernel's counters every half second.
const SAMPLED: Duration = Duration::from_secs(5);

#[tokio::test]
async fn the_listener_relays_across_families_where_no_eni_has_the_clients() {
    let mut lab = dual_stack_with("families", |options| {
        options.agent_flags = hook_flags(tc());
    })
    .await;
    let v4_alone = lab.enis().iter().map(|eni| eni.address().ip()).collect();
    lab.zone().set(ENDPOINT, v4_alone);
    lab.agent().terminate().await.expect("ended");
    lab.forget_answers().expect("forgotten");
    let afresh = [hook_flags(tc()), flags(&["--fresh"])].concat();
    lab.agent().restart_with(afresh).await.expect("an agent that knows nothing else");

    let v6 = lab.client_v6().expect("a client");
    let mut relayed = v6.transfer().await.expect("a transfer");
    relayed.more(1_000_000).await.expect("bytes as they were sent");
    relayed.end().await.expect("a clean end");
    let is_counted = |status: &Status| status.reasons.contains_key("no_backend");
    let status = lab.until("the reason is counted", SAMPLED, is_counted).await;
    assert_eq!((status.listener.accepted, status.listener.relayed), (1, 1));

    let mut forwarded = lab.client().transfer().await.expect("a transfer");
    forwarded.more(1_000_000).await.expect("bytes as they were sent");
    forwarded.end().await.expect("a clean end");
    assert_eq!(lab.status().await.listener.accepted, 1, "the kernel carries its own family");
    assert!(lab.enis().iter().map(Eni::connections).sum::<u64>() >= 2);
    lab.done().await;
}
