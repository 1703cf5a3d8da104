//! Paths that are narrower behind the proxy than in front of it, on either side.

use std::time::Duration;

use vm_tests::Client;

use crate::setting::{dual_stack_with, hook_flags, tc, within};

const TO_CLIENT: u32 = 1400;
/// The least that IPv6 allows.
const TO_ENIS: u32 = 1280;
const BYTES: u64 = 5_000_000;
/// TCP's header with timestamps.
const TCP_HEADER: u32 = 32;

/// The handshake cannot help: both ends say what their own links take. Both directions depend on
/// an error that reaches the sender through the proxy.
#[tokio::test]
async fn both_ends_learn_of_a_narrow_path_behind_the_proxy() {
    both_ends_learn("path_mtu", tc()).await;
}

/// XDP leaves errors to the TC program behind it.
#[tokio::test]
async fn both_ends_learn_of_a_narrow_path_behind_xdp() {
    both_ends_learn("path_mtu_xdp", "xdp").await;
}

async fn both_ends_learn(name: &str, hook: &str) {
    let mut lab = dual_stack_with(name, |options| {
        options.agent_flags = hook_flags(hook);
        options.plain_frames = true;
        options.path_mtu_to_client = Some(TO_CLIENT);
        options.path_mtu_to_enis = Some(TO_ENIS);
    })
    .await;
    let v6 = lab.client_v6().expect("a client");
    within("bulk over IPv4", Duration::from_secs(10), bulk(&lab.client(), TO_ENIS - 20)).await;
    within("bulk over IPv6", Duration::from_secs(10), bulk(&v6, TO_ENIS - 40)).await;
    assert_eq!(lab.status().await.listener.accepted, 0, "the kernel carried all of it");
    lab.done().await;
}

async fn bulk(client: &Client, tcp_segment: u32) {
    let mut transfer = client.transfer().await.expect("a transfer");
    transfer.more(BYTES).await.expect("bytes as they were sent");
    let learnt = transfer.segment_size().expect("its segments' size");
    assert_eq!(learnt, tcp_segment - TCP_HEADER, "the client knows the path's MTU");
    transfer.end().await.expect("a clean end");
}
