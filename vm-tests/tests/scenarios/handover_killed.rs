//! The agent is killed while it hands connections over: those that are gone from it go on, those
//! that it still has see an error, and the next agent finds everything free.

use std::{io, time::Duration};

use futures_util::future::join_all;
use proxy_user::status::Status;
use tokio::time::sleep;
use vm_tests::{Banter, Broken, Service, Transfer};

use crate::{
    handed_over::{all_is_in_order, heard, nothing_is_left},
    handover::{handing_over, handover},
    setting::{Scenario, within},
};

const SOON: Duration = Duration::from_secs(30);
const FLOWS: usize = 64;
const AT_ONCE: [&str; 2] = ["--handover-after", "0"];

#[tokio::test]
async fn bulk_that_is_handed_over_outlives_a_killed_agent_to_the_last_byte() {
    let mut lab = handing_over("handover_bulk_killed", &AT_ONCE, |_| {}).await;
    let (v4, v6) = (lab.client(), lab.client_v6().expect("a client"));
    let mut all = Vec::new();
    for number in 0..FLOWS {
        let client = if number % 2 == 0 { &v4 } else { &v6 };
        all.push(client.transfer().await.expect("a transfer"));
    }
    within("all under way", SOON, join_all(all.iter_mut().map(|one| one.more(200_000)))).await;
    let gone = handover(&lab.status().await).handed_over as usize;
    lab.agent().kill().await.expect("killed");
    let ended = within("more of each", SOON, join_all(all.into_iter().map(to_the_end))).await;
    let whole = ended.iter().filter(|ended| ended.is_ok()).count();
    println!("of {FLOWS}, {gone} were handed over before the kill, and {whole} have gone on");
    assert!(whole >= gone && gone > 0, "{gone} were handed over, {whole} have gone on");
    ended.iter().filter_map(|ended| ended.as_ref().err()).for_each(is_an_error);
    lab.agent().restart().await.expect("another agent");
    within("a connection", SOON, v4.hold()).await.expect("an echo");
    all_is_in_order(&lab).await;
    lab.done().await;
}

async fn to_the_end(mut transfer: Transfer) -> anyhow::Result<u64> {
    transfer.more(1_000_000).await?;
    transfer.end().await
}

/// Of the kernel's, and not an end in the middle.
fn is_an_error(error: &anyhow::Error) {
    assert!(error.downcast_ref::<io::Error>().is_some(), "{error:#}");
}

const ROUNDS: usize = 12;
const BATCH: usize = 40;
const MOST: Duration = Duration::from_millis(30);

/// Source ports that would run out if the dead kept theirs.
const FEW_PORTS: [&str; 6] =
    ["--handover-after", "0", "--source-ports", "50000-50127", "--timeout-closing", "1s"];

#[tokio::test]
async fn an_agent_that_is_killed_at_any_moment_tears_nothing_and_leaks_nothing() {
    let mut lab = handing_over("handover_fuzz", &FEW_PORTS, |options| {
        options.service = Service::Banter;
    })
    .await;
    let (mut whole, mut errors, mut left) = (0, 0, 0);
    for round in 0..ROUNDS {
        let client = if round % 2 == 0 { lab.client() } else { lab.client_v6().expect("a client") };
        let batch = Banter { most: 300_000, pause: Duration::from_millis(10) };
        let batch =
            tokio::spawn(async move { client.banter(vec![Vec::new(); BATCH], BATCH, batch).await });
        sleep(MOST.mul_f64(fastrand::f64())).await;
        lab.agent().kill().await.expect("killed");
        left += lab.tracks().expect("records").len();
        // A socket that dies in the moment at which its numbers are read is silent: the next agent
        // tells its ends.
        lab.agent().restart().await.expect("another agent");
        let ended = within("a batch", SOON, batch).await.expect("no panic").expect("a client");
        ended.broken.iter().for_each(is_seen);
        (whole, errors) = (whole + ended.whole.len(), errors + ended.broken.len());
    }
    println!("{whole} went on, {errors} saw an error; they left {left} records");
    assert!(whole > 0 && errors > 0, "the kill always came too early, or too late");
    assert_eq!(heard(&lab).torn, 0, "an ENI has heard an end that was none");
    nothing_is_left(&mut lab).await;
    all_ports_are_free(&mut lab).await;
    all_is_in_order(&lab).await;
    lab.done().await;
}

fn is_seen(broken: &Broken) {
    assert!(matches!(broken, Broken::Refused | Broken::Error(_)), "{broken}");
}

/// Fewer connections than there are ports, so that each finds a free one among those that it tries.
async fn all_ports_are_free(lab: &mut Scenario) {
    let before = handover(&lab.status().await).handed_over;
    let client = lab.client();
    let batch = Banter { most: 30_000, pause: Duration::from_secs(1) };
    let ended = within("a batch", SOON, client.banter(vec![Vec::new(); 100], 100, batch)).await;
    assert_eq!(ended.expect("a client").broken, []);
    let over = |status: &Status| handover(status).pending == 0;
    let status = lab.until("all are over", SOON, over).await;
    let handover = handover(&status);
    println!("{handover:?}");
    assert!(handover.handed_over > before);
    assert_eq!(handover.relayed.get("no_port"), None);
}
