//! Ten thousand connections with random sizes, pauses and ends: every byte is right, most that are
//! worth it are handed over, and nothing is left behind.

use std::time::Duration;

use proxy_user::status::Status;
use vm_tests::{Banter, Banters, Service};

use crate::{
    crowd::crowd,
    handed_over::{all_is_in_order, all_is_whole, nothing_is_left},
    handover::{handing_over, handover},
    setting::{Scenario, asked_for, within},
};

const SOON: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(180);
const EACH_FAMILY: usize = 5_000;
/// Payload bytes from which on a connection is worth it, as the agent is told.
const WORTH_IT: u64 = 4_096;

/// Entries of ended connections leave the table soon.
const GIVEN: [&str; 4] = ["--handover-after", "4096,1m", "--timeout-closing", "1s"];

#[tokio::test]
async fn ten_thousand_connections_by_the_dice_lose_no_byte_and_leave_nothing() {
    let _crowd = crowd().await;
    let mut lab = handing_over("handover_crowd", &GIVEN, |options| {
        options.service = Service::Banter;
    })
    .await;
    let (v4, v6) = (lab.client(), lab.client_v6().expect("a client"));
    let all = [v4, v6].map(|client| async move {
        client.banter(vec![Vec::new(); EACH_FAMILY], at_a_time(), Banter::default()).await
    });
    let ended = within("all of them", LONG, both(all)).await;
    all_is_whole(&lab, &ended).await;
    assert_eq!(ended.whole.len(), 2 * EACH_FAMILY);
    most_are_handed_over(&mut lab, ended.above(WORTH_IT)).await;
    nothing_is_left(&mut lab).await;
    all_is_in_order(&lab).await;
    lab.done().await;
}

/// Of each family; as many as `EG_CROWD` says, where it is set. Where they are more than the machine
/// has time for, none has a quiet moment, and only in such a one it is handed over.
fn at_a_time() -> usize {
    asked_for("EG_CROWD").unwrap_or(100)
}

async fn both(all: [impl Future<Output = anyhow::Result<Banters>>; 2]) -> Banters {
    let [one, other] = all;
    let (one, other) = tokio::join!(one, other);
    let [one, other] = [one, other].map(|ended| ended.expect("the client is there"));
    Banters {
        whole: [one.whole, other.whole].concat(),
        broken: [one.broken, other.broken].concat(),
    }
}

/// What is over as soon as it was worth it cannot be handed over. With as many connections of 4 to 8
/// kB as of 40 to 80 that is about a third of those that are; half of the rest is less than usual.
async fn most_are_handed_over(lab: &mut Scenario, worth: usize) {
    let over = |status: &Status| handover(status).pending == 0 && status.listener.open == 0;
    let status = lab.until("all have ended", SOON, over).await;
    let handover = handover(&status);
    println!("{worth} were worth it: {handover:?}");
    assert!(handover.handed_over as usize > worth / 3, "{} of {worth}", handover.handed_over);
}
