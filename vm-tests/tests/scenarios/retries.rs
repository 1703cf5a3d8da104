//! An ENI that refuses connections before a probe has noticed.

use std::time::Duration;

use tokio::time::Instant;
use vm_tests::ENDPOINT;

use crate::{
    relayed::failures,
    setting::{flags, lab, live},
};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_connection_that_one_eni_refuses_goes_to_another_with_what_was_read_of_it() {
    // No second probe comes in time, however many connections fail.
    let given = ["--datapath", "relay", "--sni", ENDPOINT, "--health-interval", "10m"];
    let mut lab = lab("refused", |options| {
        options.agent_flags = flags(&given);
        options.enis = 2;
    })
    .await;
    lab.until("both live", SOON, |status| live(status) == 2).await;
    let (gone, left) = (lab.enis()[0].address(), lab.enis()[1].address());
    lab.hang_up(gone).await.expect("an ENI without a server");

    let client = lab.client();
    let deadline = Instant::now() + SOON;
    let mut requests = 0;
    while failures(&lab.status().await, "connect_failed") < 3 {
        assert!(Instant::now() < deadline, "nobody has tried it in {requests} requests");
        let reply = client.get("/readyz").await.expect("an answer");
        assert_eq!(reply.eni, left.ip().to_string());
        requests += 1;
    }
    let status = lab.status().await;
    assert_eq!((status.listener.relayed, live(&status)), (requests, 2));
    lab.done().await;
}
