//! Requests and connections on the packet path.

use std::{collections::BTreeSet, time::Duration};

use proxy_user::status::Status;
use tokio::task::JoinSet;
use vm_tests::Service;

use crate::setting::{Scenario, lab, live, not_forwarded, opened, within};

#[tokio::test]
async fn a_request_goes_through_each_eni_and_none_through_the_listener() {
    let mut lab = lab("each_eni", |_| {}).await;
    lab.until("three live backends", Duration::from_secs(5), |status| live(status) == 3).await;
    within("an answer from each ENI", Duration::from_secs(5), every_eni_answers(&lab)).await;
    let status = lab.status().await;
    assert_eq!(status.datapath.name, "packet", "{}", status.datapath.reason);
    assert_eq!(status.listener.accepted, 0, "{:?}", status.reasons);
    lab.done().await;
}

async fn every_eni_answers(lab: &Scenario) {
    let client = lab.client();
    let mut silent: BTreeSet<_> =
        lab.enis().iter().map(|eni| eni.address().ip().to_string()).collect();
    while !silent.is_empty() {
        let reply = client.get("/readyz").await.expect("an answer");
        assert_eq!((reply.status, reply.body.as_slice()), (200, b"ok".as_slice()));
        silent.remove(&reply.eni);
    }
}

#[tokio::test]
async fn a_bulk_answer_arrives_whole() {
    const COUNT: usize = 20_000_000;
    let mut lab = lab("bulk", |_| {}).await;
    let reply = lab.client().get(&format!("/bytes?n={COUNT}")).await.expect("an answer");
    assert_eq!(reply.body.len(), COUNT);
    assert!(reply.body.iter().all(|byte| *byte == 0));
    assert_eq!(lab.status().await.listener.accepted, 0);
    lab.done().await;
}

#[tokio::test]
async fn twenty_thousand_short_connections_from_one_address() {
    const WORKERS: u32 = 16;
    const EACH: u32 = 1_250;
    let mut lab = lab("twenty_thousand", |options| options.service = Service::Echo).await;
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let client = lab.client();
        workers.spawn(async move { client.short_connections(EACH).await });
    }
    while let Some(worker) = workers.join_next().await {
        worker.expect("it goes on").expect("no connection failed");
    }
    let served: u64 = lab.enis().iter().map(vm_tests::Eni::connections).sum();
    let all = u64::from(WORKERS * EACH);
    assert_eq!(served, all);
    let counted = |status: &Status| opened(status) == all;
    let status = lab.until("each is counted once", Duration::from_secs(5), counted).await;
    assert_eq!(status.listener.accepted, 0, "the kernel carried all of it: {:?}", status.reasons);
    for reason in ["ports_exhausted", "table_full"] {
        assert_eq!(not_forwarded(&status, reason), 0, "{reason}");
    }
    lab.done().await;
}
