//! A second agent is started beside the first, under load, and takes its place.

use std::{io::ErrorKind, time::Duration};

use proxy_user::status::Status;
use vm_tests::{Eni, Mix, Retired};

use crate::{
    relayed::{echoing, relay_flags, relayed},
    setting::{lab, live, opened, quick, within},
};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn successions_on_the_packet_path_fail_no_request_and_break_no_connection() {
    let mut lab = lab("heirs_packet", |_| {}).await;
    lab.until("all live", SOON, |status| live(status) == 3).await;
    let load = lab.load(Mix::default()).expect("a load");
    let kept = lab.client().kept().expect("a client");
    let first = kept.get("/readyz").await.expect("an answer");
    for _ in 0..2 {
        let counted = |status: &Status| opened(status) > 7;
        let before = opened(&lab.until("the flow table is read", SOON, counted).await);
        let retired = lab.agent().succeed(quick()).await.expect("a successor");
        ends_in_order(retired).await;
        let more = |status: &Status| opened(status) > before && status.datapath.flow_entries >= 14;
        lab.until("the flow table goes on", SOON, more).await;
        let again = kept.get("/readyz").await.expect("an answer");
        assert_eq!((again.connection, &again.eni), (first.connection, &first.eni), "broken");
    }
    let counts = load.stop().await.expect("every request ended");
    assert_eq!(counts.failures, 0, "{:#?}", counts.last_errors);
    assert_eq!(counts.watches_reopened, 0, "a watch was broken");
    lab.done().await;
}

#[tokio::test]
async fn successions_on_the_relay_fail_no_request_and_break_no_connection() {
    let patient = ["--drain-deadline", "1m"];
    let mut lab = relayed("heirs_relay", &patient, |_| {}).await;
    let load = lab.load(Mix::default()).expect("a load");
    let mut retired = Vec::new();
    for _ in 0..2 {
        let before = load.counts().connections;
        retired.push(lab.agent().succeed(relay_flags(&patient)).await.expect("a successor"));
        lab.until("it relays", SOON, |status| status.listener.relayed > 3).await;
        assert!(load.counts().connections > before, "no new connection meanwhile");
    }
    let counts = load.stop().await.expect("every request ended");
    assert_eq!(counts.failures, 0, "{:#?}", counts.last_errors);
    assert_eq!(counts.watches_reopened, 0, "a watch was broken");
    for retired in retired {
        ends_in_order(retired).await;
    }
    lab.done().await;
}

#[tokio::test]
async fn a_relayed_connection_outlives_its_agents_place_until_the_deadline() {
    let deadline = ["--drain-deadline", "3s"];
    let mut lab = echoing("heirs_deadline", &deadline).await;
    let mut held = lab.client().hold().await.expect("an echo");
    let retired = lab.agent().succeed(relay_flags(&deadline)).await.expect("a successor");
    held.echo().await.expect("it goes on");
    lab.client().hold().await.expect("an echo by the successor");
    assert_eq!(within("a reset", SOON, held.how_it_ends()).await, Some(ErrorKind::ConnectionReset));
    ends_in_order(retired).await;
    lab.done().await;
}

#[tokio::test]
async fn relayed_connections_of_an_agent_that_is_killed_are_reset_at_both_ends() {
    let mut lab = echoing("relay_killed", &[]).await;
    let held = lab.client().hold_many(20).await.expect("an echo on each");
    let mut transfer = lab.client().transfer().await.expect("a transfer");
    transfer.more(1_000_000).await.expect("under way");
    lab.agent().kill().await.expect("killed");
    for held in held {
        let end = within("a reset", SOON, held.how_it_ends()).await;
        assert_eq!(end, Some(ErrorKind::ConnectionReset));
    }
    within("its end", SOON, transfer.more(u64::MAX / 2)).await.expect_err("broken off");
    within("resets at the ENIs", SOON, Eni::until_resets(lab.enis(), 21)).await;
    lab.done().await;
}

async fn ends_in_order(retired: Retired) {
    let exit = within("its end", SOON, retired.end()).await.expect("an end");
    assert_eq!(exit.code(), Some(0), "{exit}");
}
