//! Answers that never stay the same.

use std::time::Duration;

use tokio::time::{interval, sleep};
use vm_tests::{ENDPOINT, Eni, Mix};

use crate::setting::{asked_for, flags, lab, live};

const ENIS: usize = 6;
const EACH: Duration = Duration::from_secs(2);
const IN_AN_ANSWER: usize = 2;

#[tokio::test]
async fn answers_that_change_every_two_seconds_fail_no_request_on_the_packet_path() {
    nothing_fails("churn_packet", "packet").await;
}

#[tokio::test]
async fn answers_that_change_every_two_seconds_fail_no_request_on_the_relay() {
    nothing_fails("churn_relay", "relay").await;
}

/// Another two of six ENIs with each answer, all of which go on serving.
async fn nothing_fails(name: &str, datapath: &str) {
    let mut lab = lab(name, |options| {
        options.enis = ENIS;
        options.ttl = Duration::from_secs(1);
        options.agent_flags.extend(flags(&["--datapath", datapath]));
    })
    .await;
    lab.until("all live", Duration::from_secs(5), |status| live(status) == ENIS).await;
    let load = lab.load(Mix::default()).expect("a load");
    let addresses: Vec<_> = lab.enis().iter().map(|eni: &Eni| eni.address().ip()).collect();
    let mut ticks = interval(EACH);
    for change in 0..changes() {
        ticks.tick().await;
        let few = (0..IN_AN_ANSWER).map(|n| addresses[(change + n) % ENIS]);
        lab.zone().set(ENDPOINT, few.collect());
    }
    sleep(EACH).await;
    let counts = load.stop().await.expect("every request ended");
    println!("{datapath}: {} new connections", counts.connections);
    assert_eq!(counts.failures, 0, "{:#?}", counts.last_errors);
    assert_eq!(counts.watches_reopened, 0, "no watch was broken");
    let status = lab.status().await;
    assert!(status.events.iter().filter(|event| event.kind == "dns").count() >= changes());
    assert!(live(&status) < ENIS, "some have left the answers for long enough: {status:#?}");
    lab.done().await;
}

/// In sixteen seconds; in as many as `EG_CHURN` says, where it is set.
fn changes() -> usize {
    asked_for("EG_CHURN").unwrap_or(16) / EACH.as_secs() as usize
}
