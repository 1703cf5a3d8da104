//! Two clusters behind one listener, told apart by the name that clients ask for.

use std::time::Duration;

use vm_tests::{Client, Cluster, ENDPOINT};

use crate::{
    relayed::{failures, relayed},
    setting::{Scenario, live},
};

const OTHER: &str = "FEDCBA9876543210FEDCBA9876543210.gr7.us-west-2.eks.amazonaws.com";
const STRANGER: &str = "00000000000000000000000000000000.gr7.us-west-2.eks.amazonaws.com";
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn each_client_reaches_the_cluster_that_it_asks_for() {
    let (mut lab, other) = two_clusters("two_clusters").await;
    let (one, two) = (lab.client(), other.client());
    for _ in 0..5 {
        let eni = answering(&one).await;
        assert!(lab.enis().iter().any(|own| own.address().ip().to_string() == eni), "{eni}");
        assert_eq!(answering(&two).await, other.eni().address().ip().to_string());
    }
    assert_eq!(lab.status().await.listener.relayed, 10);
    lab.done().await;
}

#[tokio::test]
async fn a_name_of_no_cluster_is_answered_with_an_alert_that_says_so() {
    let (mut lab, other) = two_clusters("no_such_cluster").await;
    let lost = lab.client().for_name(STRANGER).expect("a client");
    let error = lost.get("/readyz").await.expect_err("no such cluster");
    let error = format!("{error:?}");
    assert!(error.contains("UnrecognisedName"), "{error}");
    let unknown = |status: &_| failures(status, "server_name_unknown") == 1;
    let status = lab.until("it is counted", SOON, unknown).await;
    assert_eq!(status.listener.relayed, 0);
    assert_eq!(other.eni().requests(), 0);
    lab.done().await;
}

async fn two_clusters(name: &str) -> (Scenario, Cluster) {
    let mut lab = relayed(name, &[], |options| {
        options.agent_config = Some(
            [ENDPOINT, OTHER].map(|name| format!("[[route]]\nendpoint = \"{name}\"\n")).concat(),
        );
    })
    .await;
    let other = lab.second_cluster(OTHER).await.expect("another cluster");
    lab.until("both clusters live", SOON, |status| live(status) == 4).await;
    (lab, other)
}

/// Which ENI.
async fn answering(client: &Client) -> String {
    client.get("/readyz").await.expect("an answer").eni
}
