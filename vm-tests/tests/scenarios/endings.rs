//! How connections end: both ends see the same, whatever carries the connection.

use std::{io::ErrorKind, time::Duration};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vm_tests::{Eni, RESET_ME, Service};

use crate::setting::{Scenario, flags, lab, within};

const SOON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn half_close_and_resets_on_the_packet_path() {
    half_close_and_resets("endings_packet", "packet", 0).await;
}

#[tokio::test]
async fn half_close_and_resets_on_the_relay() {
    half_close_and_resets("endings_relay", "relay", 3).await;
}

#[tokio::test]
async fn half_close_and_resets_on_the_sockmap() {
    half_close_and_resets("endings_sockmap", "sockmap", 3).await;
}

async fn half_close_and_resets(name: &str, datapath: &str, accepted: u64) {
    let mut lab = lab(name, |options| {
        options.service = Service::Echo;
        options.agent_flags.extend(flags(&["--datapath", datapath]));
    })
    .await;
    within("half-close", SOON, half_close(&lab)).await;
    within("a reset by the backend", SOON, reset_by_backend(&lab)).await;
    within("a reset by the client", SOON, reset_by_client(&lab)).await;
    let status = lab.status().await;
    assert_eq!((status.datapath.name.as_str(), status.listener.accepted), (datapath, accepted));
    lab.done().await;
}

/// The server's last bytes come after the client has ended its side.
async fn half_close(lab: &Scenario) {
    let mut stream = lab.client().connect().await.expect("a connection");
    let sent = vec![7; 1_000_000];
    let (mut reader, mut writer) = stream.split();
    let write = async {
        writer.write_all(&sent).await.expect("written");
        writer.shutdown().await.expect("ended");
    };
    let mut received = Vec::new();
    let (_, count) = tokio::join!(write, reader.read_to_end(&mut received));
    count.expect("a clean end");
    assert_eq!(received, sent);
}

async fn reset_by_backend(lab: &Scenario) {
    let mut stream = lab.client().connect().await.expect("a connection");
    stream.write_all(RESET_ME).await.expect("written");
    let error = stream.read(&mut [0]).await.expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

async fn reset_by_client(lab: &Scenario) {
    let before: u64 = lab.enis().iter().map(Eni::resets).sum();
    let mut stream = lab.client().connect().await.expect("a connection");
    stream.write_all(b"x").await.expect("written");
    stream.read_exact(&mut [0]).await.expect("an echo");
    stream.set_zero_linger().expect("linger");
    drop(stream);
    Eni::until_resets(lab.enis(), before + 1).await;
}
