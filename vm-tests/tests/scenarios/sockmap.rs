//! The sockmap by name: what the listener accepts is joined to the backend's socket in the kernel.

use std::time::Duration;

use vm_tests::{Client, Eni, Mix, Service, Transfer};

use crate::{
    setting::{Scenario, flags, lab, within},
    stalled_reader::both_buffers,
};

const SOME: u64 = 5_000_000;
const SOON: Duration = Duration::from_secs(20);
/// Most that the appliance keeps of one direction.
const IN_FLIGHT: u64 = 4 << 20;

async fn sockmap(name: &str, service: Service) -> Scenario {
    lab(name, |options| {
        options.service = service;
        options.agent_flags.extend(flags(&["--datapath", "sockmap"]));
    })
    .await
}

#[tokio::test]
async fn requests_go_through_the_map_and_are_counted() {
    let mut lab = sockmap("sockmap", Service::ApiServer).await;
    let client = lab.client();
    assert_eq!(client.get("/readyz").await.expect("an answer").status, 200);
    let reply = client.get("/bytes?n=5000000").await.expect("an answer");
    assert_eq!(reply.body.len(), 5_000_000);
    let counted = |status: &proxy_user::status::Status| {
        status.backends().map(|backend| backend.bytes_to_client).sum::<u64>() >= 5_000_000
    };
    let status = lab.until("every byte is counted", SOON, counted).await;
    assert_eq!((status.datapath.name.as_str(), status.datapath.hook), ("sockmap", None));
    assert_eq!((status.listener.accepted, status.listener.relayed), (2, 2));
    let sockmap = status.datapath.sockmap.expect("its counts");
    assert_eq!(sockmap.spliced + sockmap.fell_back.values().sum::<u64>(), 2, "{sockmap:?}");
    lab.done().await;
}

#[tokio::test]
async fn a_rotation_under_load_fails_no_request() {
    let mut lab = sockmap("sockmap_rotation", Service::ApiServer).await;
    let load = lab.load(Mix::default()).expect("a load");
    lab.rotate().await.expect("a rotation");
    within("the watches go on", SOON, load.until_reopened(3)).await.expect("a load");
    let counts = load.stop().await.expect("every request ended");
    assert_eq!(counts.failures, 0, "{:#?}", counts.last_errors);
    lab.done().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_stalls_the_backend_and_then_gets_every_byte() {
    let mut lab = sockmap("sockmap_stalled_client", Service::Echo).await;
    let mut transfer = under_way(&lab.client()).await;
    transfer.read(false);
    // The echo server writes no more, so it reads no more: both directions are full.
    is_stalled(&mut transfer, 2).await;
    transfer.read(true);
    goes_on_to_its_end(transfer).await;
    nothing_broke(&mut lab).await;
}

#[tokio::test]
async fn a_backend_that_stops_reading_stalls_the_client_and_then_gets_every_byte() {
    let mut lab = sockmap("sockmap_stalled_backend", Service::Echo).await;
    let mut transfer = under_way(&lab.client()).await;
    lab.enis().iter().for_each(|eni: &Eni| eni.read(false));
    is_stalled(&mut transfer, 1).await;
    lab.enis().iter().for_each(|eni| eni.read(true));
    goes_on_to_its_end(transfer).await;
    nothing_broke(&mut lab).await;
}

async fn under_way(client: &Client) -> Transfer {
    let mut transfer = client.transfer().await.expect("a transfer");
    within("some bytes", SOON, transfer.more(SOME)).await.expect("under way");
    transfer
}

/// No more is under way than the ends' sockets take, and the appliance may keep.
async fn is_stalled(transfer: &mut Transfer, directions: u64) {
    let under_way = within("a stall", SOON, transfer.stalled()).await.expect("still connected");
    let room = directions * (both_buffers() + IN_FLIGHT);
    assert!(under_way <= room, "{under_way} bytes are under way, and there is room for {room}");
}

async fn goes_on_to_its_end(mut transfer: Transfer) {
    within("more bytes", SOON, transfer.more(SOME)).await.expect("it goes on");
    within("the end", SOON, transfer.end()).await.expect("every byte, as it was");
}

async fn nothing_broke(lab: &mut Scenario) {
    let status = lab.status().await;
    assert_eq!(status.listener.failures.get("splice_broke"), None, "{:?}", status.listener);
    assert_eq!(status.datapath.sockmap.expect("its counts").spliced, 1);
}
