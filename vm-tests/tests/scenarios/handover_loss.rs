//! One packet of a hundred is lost, either way, between any two hosts.

use std::time::Duration;

use vm_tests::{Banter, Service, has_nftables};

use crate::{
    handed_over::{all_is_in_order, all_is_whole},
    handover::{handing_over, handover},
    setting::within,
};

const LONG: Duration = Duration::from_secs(60);
const BULK: u64 = 30_000_000;
const CONNECTIONS: usize = 300;

fn can_lose_packets() -> bool {
    if !has_nftables() {
        eprintln!(
            "not run: there is no nft on the PATH; apt-get install --no-install-recommends \
             nftables brings it"
        );
    }
    has_nftables()
}

#[tokio::test]
async fn bulk_that_is_handed_over_is_whole_whatever_is_lost() {
    if !can_lose_packets() {
        return;
    }
    let mut lab = handing_over("handover_loss", &["--handover-after", "0"], |_| {}).await;
    let mut all = Vec::new();
    for (count, client) in [(1, lab.client()), (2, lab.client_v6().expect("a client"))] {
        let held = client.hold().await.expect("an echo");
        let gone = |status: &_| handover(status).handed_over == count;
        lab.until("it is handed over", LONG, gone).await;
        all.push(client.transfer_on(held).expect("a transfer"));
    }
    lab.lose_one_in(100).await.expect("losses");
    for transfer in &mut all {
        within("so many bytes", LONG, transfer.more(BULK)).await.expect("each as it was sent");
    }
    for transfer in all {
        within("its end", LONG, transfer.end()).await.expect("in peace");
    }
    let recovered = lab.tcp_ext_of_ends("TCPSackRecovery").await.expect("counters");
    println!("recovered by SACK: {recovered:?}");
    assert!(recovered > Some(0), "nothing was lost");
    all_is_in_order(&lab).await;
    lab.done().await;
}

#[tokio::test]
async fn connections_are_handed_over_whole_while_packets_are_lost() {
    if !can_lose_packets() {
        return;
    }
    let mut lab = handing_over("handover_lossy", &["--handover-after", "0"], |options| {
        options.service = Service::Banter;
    })
    .await;
    lab.lose_one_in(100).await.expect("losses");
    let banter = Banter { most: 200_000, pause: Duration::from_millis(20) };
    let openings = vec![Vec::new(); CONNECTIONS];
    let ended = within("all", LONG, lab.client().banter(openings, 50, banter)).await;
    let ended = ended.expect("a client");
    all_is_whole(&lab, &ended).await;
    let status = lab.status().await;
    println!("of {CONNECTIONS}: {:?}", handover(&status));
    assert!(handover(&status).handed_over as usize > CONNECTIONS / 4);
    all_is_in_order(&lab).await;
    lab.done().await;
}
