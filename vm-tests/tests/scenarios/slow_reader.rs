//! One end reads slowly, or not at all: through the relay the other end's sender stalls, and the
//! agent does not fill up instead.

use std::time::Duration;

use vm_tests::{Eni, Transfer};

use crate::{
    relayed::echoing,
    setting::{Scenario, within},
    stalled_reader::both_buffers,
};

const SOME: u64 = 5_000_000;
const SOON: Duration = Duration::from_secs(30);
/// That a stalled way may hold in the relay.
const WAY: u64 = 4 * 1024 * 1024;

#[tokio::test]
async fn a_client_that_stops_reading_stalls_the_backend_and_the_agent_does_not_grow() {
    let mut lab = echoing("slow_client", &[]).await;
    let mut transfer = under_way(&lab).await;
    let before = memory(&mut lab);
    transfer.read(false);
    // The echo server writes no more, so it reads no more: both directions are full.
    let held = is_stalled(&mut transfer, 2 * (both_buffers() + WAY)).await;
    has_not_grown(&mut lab, before, held);
    reads_a_little_at_a_time(&mut transfer).await;
    has_not_grown(&mut lab, before, held);
    goes_on_to_its_end(transfer).await;
    lab.done().await;
}

#[tokio::test]
async fn a_backend_that_stops_reading_stalls_the_client_and_the_agent_does_not_grow() {
    let mut lab = echoing("slow_backend", &[]).await;
    let mut transfer = under_way(&lab).await;
    let before = memory(&mut lab);
    lab.enis().iter().for_each(|eni| eni.read(false));
    let held = is_stalled(&mut transfer, both_buffers() + WAY).await;
    has_not_grown(&mut lab, before, held);
    lab.enis().iter().for_each(|eni: &Eni| eni.read(true));
    goes_on_to_its_end(transfer).await;
    lab.done().await;
}

async fn under_way(lab: &Scenario) -> Transfer {
    let mut transfer = lab.client().transfer().await.expect("a transfer");
    within("some bytes", SOON, transfer.more(SOME)).await.expect("under way");
    transfer
}

/// How many bytes are under way then: no more than the sockets of both ends and the relay take.
async fn is_stalled(transfer: &mut Transfer, room: u64) -> u64 {
    let under_way = within("a stall", SOON, transfer.stalled()).await.expect("still connected");
    assert!(under_way <= room, "{under_way} bytes are under way, and there is room for {room}");
    under_way
}

async fn reads_a_little_at_a_time(transfer: &mut Transfer) {
    for _ in 0..20 {
        transfer.read(true);
        within("a little", SOON, transfer.more(1)).await.expect("it goes on");
        transfer.read(false);
    }
}

async fn goes_on_to_its_end(mut transfer: Transfer) {
    transfer.read(true);
    within("more bytes", SOON, transfer.more(SOME)).await.expect("it goes on");
    within("the end", SOON, transfer.end()).await.expect("every byte, as it was");
}

fn memory(lab: &mut Scenario) -> u64 {
    lab.agent().usage().expect("the agent's memory").memory
}

/// What is held is held by the kernel.
fn has_not_grown(lab: &mut Scenario, before: u64, held: u64) {
    let grown = memory(lab).saturating_sub(before);
    assert!(grown < held / 4, "the agent grew by {grown} bytes, with {held} under way");
}
