//! All ENIs are gone.

use std::{io::ErrorKind, time::Duration};

use tokio::io::AsyncReadExt as _;
use vm_tests::Client;

use crate::setting::{lab, live, within};

#[tokio::test]
async fn a_new_connection_is_answered_with_a_reset() {
    let mut lab = lab("no_backend", |_| {}).await;
    let addresses: Vec<_> = lab.enis().iter().map(vm_tests::Eni::address).collect();
    for address in addresses {
        lab.remove_eni(address).await.expect("removed");
    }
    let status = lab.until("no live backend", Duration::from_secs(10), |s| live(s) == 0).await;
    assert!(!status.ready);
    let ready = lab.admin().get("/readyz").await.expect("an answer");
    assert_eq!(ready.0, 503, "{}", ready.1);

    let client = lab.client();
    let kind = within("a reset", Duration::from_secs(1), how_refused(&client)).await;
    assert_eq!(kind, ErrorKind::ConnectionReset);
    let refused: u64 = lab.status().await.listener.failures.values().sum();
    assert!(refused > 0, "the refusal is counted");
    lab.done().await;
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
