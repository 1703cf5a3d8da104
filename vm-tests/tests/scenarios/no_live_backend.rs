//! All ENIs are gone, and nobody is where the answer says.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use tokio::{io::AsyncReadExt as _, time::timeout};
use vm_tests::{Client, ENDPOINT, Eni};

use crate::setting::{Scenario, flags, lab, live, within};

/// An address of one of the ENIs' subnets.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 21, 251));
const AT_ONCE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_new_connection_is_answered_with_a_reset() {
    let mut lab = lab("no_backend", |_| {}).await;
    remove_all_enis(&mut lab).await;
    let status = lab.until("no live backend", Duration::from_secs(10), |s| live(s) == 0).await;
    assert!(!status.ready);
    let ready = lab.admin().get("/readyz").await.expect("an answer");
    assert_eq!(ready.0, 503, "{}", ready.1);

    let client = lab.client();
    within("a reset at once", Duration::from_secs(3), reset_at_once(&client)).await;
    let refused: u64 = lab.status().await.listener.failures.values().sum();
    assert!(refused > 0, "the refusal is counted");
    lab.done().await;
}

#[tokio::test]
async fn a_connection_that_began_on_the_last_backend_is_reset_too() {
    let mut lab = lab("last_backend", |options| {
        // It is soon certain that nobody lives.
        options.agent_flags.extend(flags(&["--fall", "1"]));
    })
    .await;
    remove_all_enis(&mut lab).await;
    // Its SYN goes to an ENI that is gone; it is sent again each second, and nobody is live soon.
    let kind = within("a reset", Duration::from_secs(5), how_refused(&lab.client())).await;
    assert_eq!(kind, ErrorKind::ConnectionReset);
    lab.done().await;
}

async fn remove_all_enis(lab: &mut Scenario) {
    let addresses: Vec<_> = lab.enis().iter().map(Eni::address).collect();
    for address in addresses {
        lab.remove_eni(address).await.expect("removed");
    }
    // While the answer names it, the last that lived stays in use.
    lab.zone().set(ENDPOINT, vec![NOBODY]);
}

/// The kernel learns of a change a little after the status: a connection in between may wait.
async fn reset_at_once(client: &Client) {
    while !matches!(timeout(AT_ONCE, how_refused(client)).await, Ok(ErrorKind::ConnectionReset)) {}
}

/// Whether at the SYN already or right after it: the client sees a reset.
async fn how_refused(client: &Client) -> ErrorKind {
    let read = match client.connect().await {
        Ok(mut stream) => stream.read(&mut [0]).await,
        Err(error) => Err(error.downcast().expect("an error of TCP")),
    };
    match read.expect_err("nobody is there to answer").kind() {
        ErrorKind::ConnectionRefused => ErrorKind::ConnectionReset,
        kind => kind,
    }
}
