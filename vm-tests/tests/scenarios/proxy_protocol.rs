//! Behind a load balancer that says in PROXY headers whose connections it brings.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};
use vm_tests::ENDPOINT;

use crate::{
    relayed::{echoing, failures, relayed, served},
    setting::{Scenario, within},
};

const SOON: Duration = Duration::from_secs(10);
const OURS: &str = "vpce-08d2bf15fac5001c9";
const THEIRS: &str = "vpce-0123456789abcdef0";
const REQUESTS: u64 = 5;

/// As `--log-format json` writes it.
#[derive(Debug, Deserialize)]
struct Line {
    client: SocketAddr,
    consumer: SocketAddr,
    vpce: String,
    server_name: String,
    bytes_to_client: u64,
}

#[tokio::test]
async fn requests_through_a_load_balancer_are_told_and_counted_by_their_consumer() {
    let flags = ["--proxy-protocol", "v2", "--sni", ENDPOINT];
    let logged = ["--flow-log", "closed", "--log-format", "json"];
    let mut lab = relayed("consumers", &[flags, logged].concat(), |_| {}).await;
    let nlb = lab.nlb(OURS).await.expect("a load balancer");
    let client = lab.client_through(&nlb).expect("a client");
    for _ in 0..REQUESTS {
        assert_eq!(client.get("/readyz").await.expect("an answer").body, b"ok");
    }

    for line in lines(&mut lab, REQUESTS).await {
        assert_eq!((line.vpce.as_str(), line.consumer.ip()), (OURS, [10, 0, 0, 20].into()));
        assert_eq!(line.server_name, ENDPOINT.to_lowercase());
        assert_ne!(line.client.ip(), line.consumer.ip(), "that is the load balancer");
        assert!(line.bytes_to_client > 0, "{line:?}");
    }
    let (_, metrics) = lab.admin().get("/metrics").await.expect("metrics");
    let wanted = format!("enigate_consumer_connections_total{{vpce=\"{OURS}\"}} {REQUESTS}");
    assert!(metrics.lines().any(|line| line == wanted), "{wanted}: is not in\n{metrics}");
    lab.done().await;
}

/// There is no signal for a line of log but the line.
async fn lines(lab: &mut Scenario, wanted: u64) -> Vec<Line> {
    let deadline = Instant::now() + SOON;
    loop {
        let log = lab.agent().log();
        let lines: Vec<Line> =
            log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if lines.len() as u64 == wanted {
            return lines;
        }
        assert!(Instant::now() < deadline, "{} flows are in the log", lines.len());
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn one_vpc_endpoint_is_let_through_and_another_is_reset_before_an_eni_hears_of_it() {
    let flags = ["--proxy-protocol", "v2", "--allow-vpce", OURS];
    let mut lab = echoing("allowed_vpce", &flags).await;
    let theirs = lab.nlb(THEIRS).await.expect("a load balancer");
    let client = lab.client_through(&theirs).expect("a client");
    for refused in 1..=3 {
        let mut stream = client.connect().await.expect("a connection");
        let wrote = stream.write_all(b"hello").await;
        let end = within("a reset", SOON, stream.read(&mut [0])).await.expect_err("a reset");
        assert_eq!(end.kind(), ErrorKind::ConnectionReset, "{wrote:?}");
        lab.until("it is counted", SOON, |s| failures(s, "vpce_refused") == refused).await;
    }
    let status = lab.status().await;
    assert_eq!((served(&lab), status.listener.relayed), (0, 0), "an ENI has heard of them");

    let ours = lab.nlb(OURS).await.expect("a load balancer");
    let mut held = lab.client_through(&ours).expect("a client").hold().await.expect("an echo");
    held.echo().await.expect("another echo");
    assert_eq!(served(&lab), 1);
    drop(held);
    lab.done().await;
}

#[tokio::test]
async fn health_checks_and_clients_without_a_header_cost_no_connection_to_an_eni() {
    let mut lab = echoing("headers", &["--proxy-protocol", "v2"]).await;
    let nlb = lab.nlb(OURS).await.expect("a load balancer");
    for _ in 0..3 {
        nlb.health_check().await.expect("a health check that passes");
    }
    let checked = |status: &_| failures(status, "health_check") == 3;
    lab.until("health checks are counted", SOON, checked).await;

    let direct = lab.client();
    for _ in 0..3 {
        let stream = direct.connect().await.expect("a connection");
        within("a reset", SOON, is_reset(stream)).await;
    }
    let missing = |status: &_| failures(status, "header_missing") == 3;
    let status = lab.until("they are counted", SOON, missing).await;
    assert_eq!((served(&lab), status.listener.relayed), (0, 0), "an ENI has heard of them");
    lab.done().await;
}

/// As a client is that takes the proxy for the API server.
async fn is_reset(mut stream: TcpStream) {
    stream.write_all(b"\x16\x03\x01 and so on, as TLS begins").await.expect("written");
    let end = stream.read(&mut [0]).await.expect_err("a reset");
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
}
