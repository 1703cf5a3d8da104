//! What both ends may send, where the appliance lowers what they offer each other.

use std::time::Duration;

use vm_tests::{Client, Eni};

use crate::setting::{Scenario, dual_stack, dual_stack_with, flags, hook_flags, tc, within};

const CLAMP: u32 = 1_300;
/// Of RFC 7323, padded.
const TIMESTAMPS: u32 = 12;
const BYTES: u64 = 5_000_000;

#[tokio::test]
async fn both_ends_send_no_larger_segments_than_the_clamp_allows() {
    for hook in [tc(), "xdp"] {
        let mut lab = dual_stack_with(&format!("mss_{hook}"), |options| {
            options.agent_flags = hook_flags(hook);
            options.agent_flags.extend(flags(&["--mss-clamp", &CLAMP.to_string()]));
            options.plain_frames = hook == "xdp";
        })
        .await;
        for client in [lab.client(), lab.client_v6().expect("a client")] {
            let sizes = within("bulk", Duration::from_secs(10), segment_sizes(&lab, &client)).await;
            assert_eq!(sizes, [CLAMP - TIMESTAMPS; 2], "{hook}, {}", client.proxy());
        }
        let clamped = |status: &proxy_user::status::Status| status.datapath.mss_clamped >= 4;
        lab.until("two SYNs for each connection", Duration::from_secs(5), clamped).await;
        lab.done().await;
    }
}

#[tokio::test]
async fn without_a_clamp_the_links_decide() {
    let lab = dual_stack("mss_free", tc()).await;
    let sizes = within("bulk", Duration::from_secs(10), segment_sizes(&lab, &lab.client())).await;
    assert_eq!(sizes, [1_500 - 40 - TIMESTAMPS; 2]);
    lab.done().await;
}

/// The client's and the ENI's.
async fn segment_sizes(lab: &Scenario, client: &Client) -> [u32; 2] {
    let before: Vec<_> = lab.enis().iter().map(Eni::connections).collect();
    let mut transfer = client.transfer().await.expect("a transfer");
    transfer.more(BYTES).await.expect("bytes as they were sent");
    let clients = transfer.segment_size().expect("its segments' size");
    transfer.end().await.expect("a clean end");
    let served = lab.enis().iter().zip(before).find(|(eni, before)| eni.connections() > *before);
    let (eni, _) = served.expect("an ENI served it");
    [clients, eni.segment_size()]
}
