//! The relay by name: an ordinary proxy, where the packet path could have been had.

use std::time::Duration;

use vm_tests::Mix;

use crate::setting::{flags, lab, within};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn requests_go_through_the_listener() {
    let mut lab = lab("relay", |options| {
        options.agent_flags.extend(flags(&["--datapath", "relay"]));
    })
    .await;
    let client = lab.client();
    assert_eq!(client.get("/readyz").await.expect("an answer").status, 200);
    let reply = client.get("/bytes?n=5000000").await.expect("an answer");
    assert_eq!(reply.body.len(), 5_000_000);
    let status = lab.status().await;
    assert_eq!(status.datapath.name, "relay");
    assert_eq!(status.datapath.hook, None);
    assert_eq!((status.listener.accepted, status.listener.relayed), (2, 2));
    lab.done().await;
}

#[tokio::test]
async fn a_rotation_under_load_fails_no_request() {
    let mut lab = lab("relay_rotation", |options| {
        options.agent_flags.extend(flags(&["--datapath", "relay"]));
    })
    .await;
    let load = lab.load(Mix::default()).expect("a load");
    lab.rotate().await.expect("a rotation");
    within("the watches go on", SOON, load.until_reopened(3)).await.expect("a load");
    let counts = load.stop().await.expect("every request ended");
    assert_eq!(counts.failures, 0, "{:#?}", counts.last_errors);
    lab.done().await;
}
