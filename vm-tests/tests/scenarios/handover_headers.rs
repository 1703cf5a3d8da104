//! Behind a load balancer, whose header the ENI never sees: its length is what the ends' numbers
//! are apart by.

use std::time::Duration;

use vm_tests::{Banter, Service};

use crate::{
    handed_over::{all_is_in_order, all_is_whole},
    handover::{handover, handover_flags},
    setting::{lab, within},
};

const SOON: Duration = Duration::from_secs(60);
const OURS: &str = "vpce-08d2bf15fac5001c9";
const GIVEN: [&str; 4] = ["--proxy-protocol", "v2", "--handover-after", "0"];

#[tokio::test]
async fn connections_behind_headers_of_every_length_are_handed_over_whole() {
    let mut lab = lab("handover_headers", |options| {
        options.agent_flags = handover_flags(&GIVEN);
        options.service = Service::Banter;
    })
    .await;
    let nlb = lab.nlb(OURS).await.expect("a load balancer");
    let headers: Vec<_> = (16..=600).filter_map(|length| nlb.header_of(length)).collect();
    assert_eq!(headers.len(), 600 - 15 - 2);
    let banter = Banter { most: 100_000, pause: Duration::from_millis(20) };
    let count = headers.len();
    let ended = within("all", SOON, lab.client().banter(headers, 50, banter)).await;
    let ended = ended.expect("a client");
    all_is_whole(&lab, &ended).await;
    let over = |status: &_| handover(status).pending == 0;
    let status = lab.until("all are over", SOON, over).await;
    println!("of {count}: {:?}", handover(&status));
    assert!(handover(&status).handed_over as usize > count / 4);
    all_is_in_order(&lab).await;
    lab.done().await;
}
