//! What is said of a connection, what it counts for and how it is ended is the same after it was
//! handed over.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use proxy_user::status::Status;
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep},
};
use vm_tests::{Client, ENDPOINT, Eni, Held, Service};

use crate::{
    handover::{handing_over, handover, handover_flags},
    relayed::failures,
    setting::{Scenario, flags, lab, within},
};

const SOON: Duration = Duration::from_secs(10);
const OURS: &str = "vpce-08d2bf15fac5001c9";
const BULK: u64 = 2_000_000;

/// As `--log-format json` writes it.
#[derive(Debug, Deserialize)]
struct Line {
    path: String,
    consumer: SocketAddr,
    vpce: String,
    server_name: String,
    why: String,
    duration_ms: u64,
    bytes_to_backend: u64,
    bytes_to_client: u64,
}

async fn all_handed_over(lab: &mut Scenario, count: u64) -> Status {
    let gone = |status: &Status| handover(status).handed_over == count;
    lab.until("all are handed over", SOON, gone).await
}

#[tokio::test]
async fn a_consumers_connection_is_told_and_counted_to_its_end() {
    let listener = ["--proxy-protocol", "v2", "--sni", ENDPOINT, "--handover-after", "0"];
    let logged = ["--flow-log", "closed", "--log-format", "json"];
    let mut lab = lab("handover_account", |options| {
        options.agent_flags = handover_flags(&[&listener[..], &logged].concat());
    })
    .await;
    let nlb = lab.nlb(OURS).await.expect("a load balancer");
    let client = lab.client_through(&nlb).expect("a client").kept().expect("a client");
    client.get("/readyz").await.expect("an answer");
    all_handed_over(&mut lab, 1).await;
    assert_eq!(metrics(&lab).await, [1, 1], "open, of the consumer's and of those handed over");
    let before = lab.status().await;
    let body = client.get(&format!("/bytes?n={BULK}")).await.expect("an answer").body.len() as u64;
    assert_eq!(body, BULK);
    let counted = |status: &Status| moved(status) >= moved(&before) + BULK;
    lab.until("the consumer's bytes are counted while it is open", SOON, counted).await;

    // The way first: a server that ends upon its client's last word would reset what is behind that.
    drop(nlb);
    let line = line(&mut lab).await;
    drop(client);
    assert_eq!((line.path.as_str(), line.vpce.as_str()), ("handover", OURS));
    assert_eq!(
        (line.consumer.ip(), line.server_name),
        ([10, 0, 0, 20].into(), ENDPOINT.to_lowercase())
    );
    assert!(["finished", "reset_by_client"].contains(&line.why.as_str()), "{}", line.why);
    // TLS and HTTP/2 add a percent or so.
    let (least, most) = (BULK, BULK + BULK / 20);
    assert!(
        (least..most).contains(&line.bytes_to_client),
        "{} to the client",
        line.bytes_to_client
    );
    assert!((300..BULK / 20).contains(&line.bytes_to_backend), "{} up", line.bytes_to_backend);
    assert!(line.duration_ms > 0);
    lab.until("it is open no more", SOON, |status| handover(status).open == 0).await;
    assert_eq!(metrics(&lab).await, [0, 0]);
    lab.done().await;
}

fn moved(status: &Status) -> u64 {
    status.listener.consumers.get(OURS).map_or(0, |consumer| consumer.bytes_to_client)
}

/// Open connections of the consumer, and handed over.
async fn metrics(lab: &Scenario) -> [u64; 2] {
    let (_, text) = lab.admin().get("/metrics").await.expect("metrics");
    let consumer = format!("enigate_consumer_connections_open{{vpce=\"{OURS}\"}}");
    [consumer.as_str(), "enigate_handover_open"].map(|name| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{name}: is not in\n{text}"))
    })
}

/// There is no signal for a line of log but the line.
async fn line(lab: &mut Scenario) -> Line {
    let deadline = Instant::now() + SOON;
    loop {
        let log = lab.agent().log();
        if let Some(line) = log.lines().find_map(|line| serde_json::from_str(line).ok()) {
            return line;
        }
        assert!(Instant::now() < deadline, "no flow is in the log");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn connections_count_for_the_limit_until_they_end_wherever_they_are() {
    let given = ["--handover-after", "0", "--max-connections", "5"];
    let mut lab = handing_over("handover_limit", &given, |_| {}).await;
    let client = lab.client();
    let mut all = within("five", SOON, client.hold_many(5)).await.expect("an echo on each");
    all_handed_over(&mut lab, 5).await;
    is_reset(&client).await;
    lab.until("it is counted", SOON, |status| failures(status, "too_many") == 1).await;

    drop(all.pop());
    lab.until("one has ended", SOON, |status| handover(status).open == 4).await;
    all.extend(within("one more", SOON, client.hold_many(1)).await.expect("an echo"));
    for held in &mut all {
        held.echo().await.expect("it goes on");
    }
    lab.done().await;
}

async fn is_reset(client: &Client) {
    let tried = async {
        let mut stream = client.connect().await?;
        stream.write_all(b"hello").await?;
        stream.read_u8().await?;
        anyhow::Ok(())
    };
    let end = within("a reset", SOON, tried).await.expect_err("a reset");
    assert_eq!(
        end.downcast_ref().map(io::Error::kind),
        Some(ErrorKind::ConnectionReset),
        "{end:#}"
    );
}

/// A probe ends by a reset, and so would be taken for what is waited for.
const PROBED_ONCE: [&str; 2] = ["--health-interval", "10m"];

#[tokio::test]
async fn both_ends_of_an_old_connection_are_reset_that_was_handed_over() {
    let given = ["--datapath", "handover", "--handover-after", "0", "--max-age", "2s"];
    let mut lab = lab("handover_age", |options| {
        options.service = Service::Echo;
        options.agent_flags = flags(&[&given[..], &PROBED_ONCE].concat());
    })
    .await;
    let began = Instant::now();
    let held = lab.client().hold().await.expect("an echo");
    all_handed_over(&mut lab, 1).await;
    is_reset_at_both_ends(&lab, vec![held]).await;
    assert!(began.elapsed() >= Duration::from_secs(2).mul_f64(0.9), "not before its time");
    let counted = |status: &Status| resets(status, "max_age") == 1 && handover(status).open == 0;
    lab.until("it is counted", SOON, counted).await;
    lab.done().await;
}

#[tokio::test]
async fn connections_of_a_dead_eni_are_reset_that_were_handed_over_and_no_others() {
    let given = ["--handover-after", "0", "--reset-window", "500ms"];
    let mut lab = handing_over("handover_dead_eni", &given, |_| {}).await;
    let client = lab.client();
    let dead = lab.enis()[0].address();
    let (mut orphans, mut others) = (Vec::new(), Vec::new());
    for _ in 0..12 {
        let (eni, held) = within("one", SOON, lab.hold(&client)).await.expect("an echo");
        if eni == dead { &mut orphans } else { &mut others }.push(held);
    }
    all_handed_over(&mut lab, 12).await;
    lab.enis()[0].link_down().await.expect("a link that goes down");
    let count = orphans.len() as u64;
    for held in orphans {
        let end = within("a reset", SOON, held.how_it_ends()).await;
        assert_eq!(end, Some(ErrorKind::ConnectionReset));
    }
    let counted = |status: &Status| resets(status, "backend_down") == count;
    lab.until("they are counted", SOON, counted).await;
    lab.until("and over", SOON, |status| handover(status).open == 12 - count).await;
    for held in &mut others {
        held.echo().await.expect("it goes on");
    }
    lab.done().await;
}

async fn is_reset_at_both_ends(lab: &Scenario, all: Vec<Held>) {
    let count = all.len() as u64;
    let before: u64 = lab.enis().iter().map(Eni::resets).sum();
    for held in all {
        let end = within("a reset", SOON, held.how_it_ends()).await;
        assert_eq!(end, Some(ErrorKind::ConnectionReset));
    }
    within("the other end", SOON, Eni::until_resets(lab.enis(), before + count)).await;
}

fn resets(status: &Status, why: &str) -> u64 {
    status.datapath.resets.get(why).copied().unwrap_or_default()
}
