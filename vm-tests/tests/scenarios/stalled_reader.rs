//! One end stops reading: the other end's sender stalls, and nothing in between fills up instead.

use std::{fs, time::Duration};

use vm_tests::{Eni, Transfer};

use crate::setting::{Scenario, dual_stack_with, within};

const SOME: u64 = 5_000_000;
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_client_that_stops_reading_stalls_the_backend_and_then_gets_every_byte() {
    let mut lab = dual_stack_with("stalled_client", |_| {}).await;
    for client in [lab.client(), lab.client_v6().expect("a client")] {
        let mut transfer = client.transfer().await.expect("a transfer");
        within("some bytes", SOON, transfer.more(SOME)).await.expect("under way");
        transfer.read(false);
        // The echo server writes no more, so it reads no more: both directions are full.
        is_stalled(&mut transfer, 2 * both_buffers()).await;
        transfer.read(true);
        goes_on_to_its_end(transfer).await;
    }
    nothing_went_through_the_agent(&mut lab).await;
    lab.done().await;
}

#[tokio::test]
async fn a_backend_that_stops_reading_stalls_the_client_and_then_gets_every_byte() {
    let mut lab = dual_stack_with("stalled_backend", |_| {}).await;
    for client in [lab.client(), lab.client_v6().expect("a client")] {
        let mut transfer = client.transfer().await.expect("a transfer");
        within("some bytes", SOON, transfer.more(SOME)).await.expect("under way");
        lab.enis().iter().for_each(|eni| eni.read(false));
        is_stalled(&mut transfer, both_buffers()).await;
        lab.enis().iter().for_each(|eni: &Eni| eni.read(true));
        goes_on_to_its_end(transfer).await;
    }
    nothing_went_through_the_agent(&mut lab).await;
    lab.done().await;
}

/// No more is under way than the sockets of both ends take.
async fn is_stalled(transfer: &mut Transfer, room: u64) {
    let under_way = within("a stall", SOON, transfer.stalled()).await.expect("still connected");
    assert!(under_way <= room, "{under_way} bytes are under way, and sockets take {room}");
}

async fn goes_on_to_its_end(mut transfer: Transfer) {
    within("more bytes", SOON, transfer.more(SOME)).await.expect("it goes on");
    within("the end", SOON, transfer.end()).await.expect("every byte, as it was");
}

async fn nothing_went_through_the_agent(lab: &mut Scenario) {
    assert_eq!(lab.status().await.listener.accepted, 0, "the kernel carried all of it");
}

/// A sender's and a receiver's, as large as the kernel lets them become.
pub fn both_buffers() -> u64 {
    ["tcp_wmem", "tcp_rmem"].map(largest).iter().sum()
}

fn largest(buffer: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/sys/net/ipv4/{buffer}")).expect("its bounds");
    text.split_whitespace().last().expect("the third of them").parse().expect("a number")
}
