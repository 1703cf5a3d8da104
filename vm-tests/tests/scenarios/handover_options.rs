//! The ends of a connection have agreed on their options with the agent and not with each other.

use std::time::Duration;

use proxy_common::track::Track;
use proxy_user::status::Status;
use vm_tests::{Client, Held};

use crate::{
    handed_over::all_is_in_order,
    handover::{handing_over, handover, handover_flags},
    setting::{Scenario, within},
};

const SOON: Duration = Duration::from_secs(30);
const BULK: u64 = 20_000_000;
const AT_ONCE: [&str; 2] = ["--handover-after", "0"];

fn relayed(status: &Status, why: &str) -> u64 {
    handover(status).relayed.get(why).copied().unwrap_or_default()
}

/// An echo, and time to be handed over in.
async fn held(lab: &mut Scenario, client: &Client) -> Held {
    let before = handover(&lab.status().await).handed_over;
    let held = within("a connection", SOON, client.hold()).await.expect("an echo");
    let gone = |status: &Status| handover(status).handed_over > before;
    lab.until("it is handed over", SOON, gone).await;
    held
}

async fn carry(client: &Client, held: Held, bytes: u64) {
    let mut transfer = client.transfer_on(held).expect("a transfer");
    within("so many bytes", SOON, transfer.more(bytes)).await.expect("each as it was sent");
    within("its end", SOON, transfer.end()).await.expect("in peace");
}

/// Whether the client has it on, and the ENIs.
async fn both_families(key: &'static str, name: &str) {
    let mut lab = handing_over(name, &AT_ONCE, |_| {}).await;
    let mut refused = 0;
    for (client_has, enis_have) in [("1", "1"), ("0", "0"), ("0", "1"), ("1", "0")] {
        lab.tune_client(key, client_has).await.expect("set");
        lab.tune_enis(key, enis_have).await.expect("set");
        for client in [lab.client(), lab.client_v6().expect("a client")] {
            if client_has == enis_have {
                let held = held(&mut lab, &client).await;
                carry(&client, held, BULK).await;
                continue;
            }
            let held = within("a connection", SOON, client.hold()).await.expect("an echo");
            carry(&client, held, BULK).await;
            refused += 1;
            lab.until("it is counted", SOON, |status| relayed(status, "options") == refused).await;
        }
    }
    let status = lab.status().await;
    assert_eq!((handover(&status).handed_over, refused), (4, 4));
    all_is_in_order(&lab).await;
    lab.done().await;
}

#[tokio::test]
async fn ends_are_joined_that_both_have_timestamps_or_both_have_none() {
    both_families("net/ipv4/tcp_timestamps", "handover_stamps").await;
}

#[tokio::test]
async fn ends_are_joined_that_both_have_sack_or_both_have_none() {
    both_families("net/ipv4/tcp_sack", "handover_sack").await;
}

#[tokio::test]
async fn windows_are_right_between_ends_that_scale_them_unlike() {
    const SMALL: &str = "4096 131072 131072";
    const LARGE: &str = "4096 131072 67108864";
    let mut lab = handing_over("handover_scales", &AT_ONCE, |_| {}).await;
    let key = "net/ipv4/tcp_rmem";
    for (clients, enis) in [(SMALL, LARGE), (LARGE, SMALL)] {
        lab.tune_client(key, clients).await.expect("set");
        lab.tune_enis(key, enis).await.expect("set");
        for client in [lab.client(), lab.client_v6().expect("a client")] {
            let held = held(&mut lab, &client).await;
            let tracks = lab.tracks().expect("records");
            assert!(tracks.iter().any(|track| apart(track) >= 4), "{tracks:#?}");
            carry(&client, held, BULK).await;
        }
    }
    all_is_in_order(&lab).await;
    lab.done().await;
}

/// By how many bits the client and the ENI shift their windows unlike.
fn apart(track: &Track) -> u8 {
    track.client.peer_scale().abs_diff(track.backend.peer_scale())
}

/// The first connection shows what the ENIs take; the listener tells the next client of that. An
/// agent that takes over the listener learns it anew.
#[tokio::test]
async fn after_the_first_connection_clients_send_segments_that_narrow_enis_take() {
    let mut lab = handing_over("handover_narrow_enis", &AT_ONCE, |_| {}).await;
    lab.narrow_enis(1400).await.expect("narrow links");
    the_first_of_each_family_shows_it(&mut lab).await;
    lab.agent().succeed(handover_flags(&AT_ONCE)).await.expect("a successor");
    the_first_of_each_family_shows_it(&mut lab).await;
    all_is_in_order(&lab).await;
    lab.done().await;
}

async fn the_first_of_each_family_shows_it(lab: &mut Scenario) {
    for client in [lab.client(), lab.client_v6().expect("a client")] {
        let before = relayed(&lab.status().await, "segment");
        let first = within("a connection", SOON, client.hold()).await.expect("an echo");
        carry(&client, first, BULK).await;
        lab.until("it is counted", SOON, |status| relayed(status, "segment") == before + 1).await;
        for _ in 0..3 {
            let held = held(lab, &client).await;
            carry(&client, held, BULK).await;
        }
    }
}

#[tokio::test]
async fn enis_send_segments_that_a_narrow_client_takes() {
    let mut lab = handing_over("handover_narrow_client", &AT_ONCE, |_| {}).await;
    lab.narrow_client(1400).await.expect("a narrow link");
    for client in [lab.client(), lab.client_v6().expect("a client")] {
        for _ in 0..3 {
            let held = held(&mut lab, &client).await;
            carry(&client, held, BULK).await;
        }
    }
    assert_eq!(relayed(&lab.status().await, "segment"), 0);
    all_is_in_order(&lab).await;
    lab.done().await;
}
