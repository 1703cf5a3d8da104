//! Agents take each other's place in the middle of handing connections over.

use std::time::Duration;

use futures_util::future::try_join_all;
use proxy_user::status::Status;
use vm_tests::{Banter, Pulse, Service};

use crate::{
    handed_over::{all_is_in_order, all_is_whole, nothing_is_left},
    handover::{handing_over, handover, handover_flags},
    setting::within,
};

const SOON: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(90);
const CONNECTIONS: usize = 2_000;
const PATIENT: [&str; 6] =
    ["--handover-after", "0", "--drain-deadline", "1m", "--timeout-closing", "1s"];

#[tokio::test]
async fn successions_break_no_connection_that_is_being_handed_over() {
    let mut lab = handing_over("handover_heirs", &PATIENT, |options| {
        options.service = Service::Banter;
    })
    .await;
    let client = lab.client();
    let all = tokio::spawn(async move {
        client.banter(vec![Vec::new(); CONNECTIONS], 50, Banter::default()).await
    });
    let mut retired = Vec::new();
    for _ in 0..2 {
        let busy = |status: &_| handover(status).handed_over > 50;
        lab.until("connections are being handed over", SOON, busy).await;
        retired.push(lab.agent().succeed(handover_flags(&PATIENT)).await.expect("a successor"));
    }
    assert!(!all.is_finished(), "the successions came too late");
    let ended = within("all", LONG, all).await.expect("no panic").expect("a client");
    all_is_whole(&lab, &ended).await;
    for retired in retired {
        let exit = within("its end", SOON, retired.end()).await.expect("an end");
        assert_eq!(exit.code(), Some(0), "{exit}");
    }
    nothing_is_left(&mut lab).await;
    all_is_in_order(&lab).await;
    lab.done().await;
}

const WATCHES: u64 = 20;
const PAUSE: Duration = Duration::from_secs(1);
/// A minute of it.
const ECHOES: u64 = 60;
/// When to hand over is the default's to say.
const BY_DEFAULT: [&str; 4] = ["--drain-deadline", "1m", "--timeout-closing", "1s"];

#[tokio::test]
async fn watches_go_on_for_minutes_through_two_successions_and_a_kill() {
    let mut lab = handing_over("handover_watches", &BY_DEFAULT, |_| {}).await;
    let mut watches = Vec::new();
    for client in [lab.client(), lab.client_v6().expect("a client")] {
        let held = within("so many", SOON, client.hold_many(WATCHES)).await;
        watches.extend(held.expect("an echo on each").into_iter().map(|held| held.pulse(PAUSE)));
    }
    let all_gone = |status: &_| handover(status).handed_over == 2 * WATCHES;
    lab.until("all are handed over", SOON, all_gone).await;
    for _ in 0..2 {
        lab.agent().succeed(handover_flags(&BY_DEFAULT)).await.expect("a successor");
    }
    let more = try_join_all(watches.iter_mut().map(|watch| watch.more(ECHOES)));
    within("echoes beside an agent", LONG, more).await.expect("none was missing");
    lab.agent().kill().await.expect("killed");
    let more = try_join_all(watches.iter_mut().map(|watch| watch.more(ECHOES)));
    within("echoes without an agent", LONG, more).await.expect("none was missing");
    lab.agent().restart().await.expect("another agent");
    let open = |status: &Status| status.datapath.flow_entries == 4 * WATCHES;
    lab.until("the table is read", SOON, open).await;
    let ended = try_join_all(watches.into_iter().map(Pulse::stop));
    drop(within("an echo on each", SOON, ended).await.expect("none was missing"));
    nothing_is_left(&mut lab).await;
    all_is_in_order(&lab).await;
    lab.done().await;
}
