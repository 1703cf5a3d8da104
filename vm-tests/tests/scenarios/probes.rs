//! Probes that look further than the port: into the certificate, and at what the API server says.

use std::{net::SocketAddr, time::Duration};

use proxy_user::status::{BackendState, BackendStatus, Status};
use vm_tests::{Client, Mix, Service, Subnet};

use crate::setting::{Scenario, flags, lab, live, within};

/// Enough for each ENI to be chosen many times over.
const REQUESTS: usize = 40;
const SOON: Duration = Duration::from_secs(10);

async fn probing(name: &str, kind: &str) -> Scenario {
    lab(name, |options| {
        options.with_authority = true;
        options.agent_flags.extend(flags(&["--health", kind]));
    })
    .await
}

fn backend(status: &Status, address: SocketAddr) -> Option<&BackendStatus> {
    status.backends().find(|known| known.address == address)
}

fn is_down(status: &Status, address: SocketAddr) -> bool {
    backend(status, address).is_some_and(|known| known.state == BackendState::Down)
}

fn why(status: &Status, address: SocketAddr) -> String {
    backend(status, address).and_then(|known| known.probe.last_error.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_rotation_under_load_fails_no_request() {
    let mut lab = probing("probes_rotation", "https").await;
    let load = lab.load(Mix::default()).expect("a load");
    let report = lab.rotate().await.expect("a rotation");
    assert!(report.moved.is_some(), "the agent did not move in time: {report:?}");
    let counts = load.stop().await.expect("every request ended");
    assert_eq!(counts.failures, 0, "{:#?}", counts.last_errors);
    lab.done().await;
}

#[tokio::test]
async fn an_eni_that_accepts_and_never_answers_is_not_used() {
    for kind in ["tls", "https"] {
        let mut lab = probing(&format!("mute_{kind}"), kind).await;
        let mute = lab.add_mute_eni(Subnet::A).await.expect("an ENI");
        lab.publish();
        let status = lab.until("the mute one down", SOON, |status| is_down(status, mute)).await;
        assert_eq!(live(&status), 3);
        assert_eq!(
            why(&status, mute),
            "it accepts the connection, and no TLS handshake within 500ms"
        );
        assert_eq!(backend(&status, mute).map(|known| known.opened), Some(0));
        lab.done().await;
    }
}

#[tokio::test]
async fn an_address_that_somebody_else_has_taken_over_is_not_used() {
    for kind in ["tls", "https"] {
        let mut lab = probing(&format!("taken_{kind}"), kind).await;
        let status = lab.until("all live", SOON, |status| live(status) == 3).await;
        let taken = lab.enis()[0].address();
        assert_eq!(backend(&status, taken).map(|known| known.state), Some(BackendState::Live));
        lab.hand_over_eni(taken).await.expect("somebody else");
        let refused = "its certificate comes from another issuer";
        let is_refused = |status: &Status| why(status, taken).starts_with(refused);
        let status = lab.until("refused", SOON, is_refused).await;
        assert!(is_down(&status, taken) && live(&status) == 2, "{status:#?}");

        within("only those of the cluster", SOON, trusted_in_a_row(&lab.client())).await;
        lab.done().await;
    }
}

/// The kernel learns of a change a little after the status.
async fn trusted_in_a_row(client: &Client) {
    let mut in_a_row = 0;
    while in_a_row < REQUESTS {
        let is_trusted = client.get("/readyz").await.is_ok();
        in_a_row = if is_trusted { in_a_row + 1 } else { 0 };
    }
}

/// One SYN is enough, and there is no other ENI that its repetition could go to.
#[tokio::test]
async fn an_eni_that_leaves_a_syn_without_an_answer_is_suspected() {
    let mut lab = lab("suspected", |options| {
        options.enis = 1;
        options.service = Service::Echo;
        // No probe comes before all is over.
        options.agent_flags = flags(&["--health-interval", "10m"]);
    })
    .await;
    let client = lab.client();
    client.hold().await.expect("an echo");
    let status = lab.status().await;
    assert_eq!(status.routes[0].backends[0].probe.suspected, 0);
    lab.enis()[0].link_down().await.expect("a link that goes down");
    let lost = tokio::spawn(async move { client.connect().await.map(drop) });
    let suspected = |status: &Status| status.routes[0].backends[0].probe.suspected > 0;
    let status = lab.until("a suspicion", SOON, suspected).await;
    assert_eq!(
        (live(&status), status.routes[0].backends[0].probe.passed),
        (1, 1),
        "it is no verdict"
    );
    lost.abort();
    lab.done().await;
}
