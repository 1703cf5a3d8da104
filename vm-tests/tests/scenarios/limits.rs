//! More connections than the listener is to carry, or can.

use std::{
    io::{self, ErrorKind},
    thread::available_parallelism,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep},
};
use vm_tests::{Client, ENDPOINT, Held, Reply};

use crate::{
    relayed::{echoing, failures, relayed, served},
    setting::{Scenario, within},
};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_sixth_of_five_connections_is_reset_until_one_has_ended() {
    let mut lab = echoing("five", &["--max-connections", "5"]).await;
    let client = lab.client();
    let mut all = hold(&client, 5).await;
    is_reset(&client).await;
    lab.until("it is counted", SOON, |status| failures(status, "too_many") == 1).await;
    assert_eq!(served(&lab), 5, "an ENI has heard of the sixth");

    drop(all.pop());
    lab.until("one has ended", SOON, |status| status.listener.open == 4).await;
    all.extend(hold(&client, 1).await);
    for held in &mut all {
        held.echo().await.expect("it goes on");
    }
    drop(all);
    lab.done().await;
}

#[tokio::test]
async fn one_consumer_may_have_so_many_and_another_as_many_again() {
    let flags = ["--proxy-protocol", "v2", "--max-connections-per-source", "2"];
    let mut lab = echoing("two_each", &flags).await;
    let mut all = Vec::new();
    for (refused, vpce) in ["vpce-08d2bf15fac5001c9", "vpce-0123456789abcdef0"].iter().enumerate() {
        let nlb = lab.nlb(vpce).await.expect("a load balancer");
        let client = lab.client_through(&nlb).expect("a client");
        all.push((hold(&client, 2).await, nlb));
        is_reset(&client).await;
        let is_counted = |s: &_| failures(s, "too_many_from_source") == refused as u64 + 1;
        lab.until("it is counted", SOON, is_counted).await;
    }
    for held in all.iter_mut().flat_map(|(held, _)| held) {
        held.echo().await.expect("it goes on");
    }
    drop(all);
    lab.done().await;
}

#[tokio::test]
async fn clients_that_take_all_files_stop_nobody_else_and_nothing_spins() {
    /// Of which each takes one file, until it says whom it wants.
    const SILENT: usize = 200;
    let mut lab = few_files().await;
    let kept = lab.client().kept().expect("a client");
    let first = kept.get("/readyz").await.expect("an answer");

    let began = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(lab.client().connect().await.expect("a connection, or a place in the queue"));
    }
    says(&mut lab, "the listener cannot accept and pauses").await;
    is_at_rest(&mut lab).await;
    same_connection(&first, &kept.get("/readyz").await.expect("an answer"));

    drop(silent);
    let late = within("an answer", SOON, lab.client().get("/readyz")).await;
    assert_eq!(late.expect("it recovers").status, 200);
    let pauses = failures(&lab.status().await, "accept_paused");
    assert!(pauses <= most_pauses(began.elapsed()), "{pauses} in {:?}", began.elapsed());
    same_connection(&first, &kept.get("/readyz").await.expect("an answer"));
    let log = lab.agent().log();
    assert!(!log.contains("its probes fail"), "what we lack is no fault of an ENI");
    drop(kept);
    lab.done().await;
}

/// Fewer than it is to carry connections, which it says.
async fn few_files() -> Scenario {
    let given = ["--sni", ENDPOINT, "--max-connections", "1000", "--header-timeout", "1m"];
    let mut lab = relayed("few_files", &given, |options| options.agent_files = Some(128)).await;
    says(&mut lab, "max-connections: 1000: this process may open 128 files").await;
    lab
}

/// Other processes may keep it from spinning as fast as it would.
async fn is_at_rest(lab: &mut Scenario) {
    const LOOK: Duration = Duration::from_secs(1);
    let before = lab.agent().usage().expect("the agent's time");
    sleep(LOOK).await;
    let busy = lab.agent().usage().expect("the agent's time").since(before).cpu;
    assert!(busy < LOOK / 5, "{busy:?} of {LOOK:?} went into waiting");
}

/// A worker for each processor pauses for a tenth of a second.
fn most_pauses(elapsed: Duration) -> u64 {
    let workers = available_parallelism().map_or(1, usize::from) as u64;
    workers * (elapsed.as_secs() + 1) * 10
}

fn same_connection(one: &Reply, other: &Reply) {
    assert_eq!((&one.eni, one.connection), (&other.eni, other.connection), "it was broken");
}

async fn hold(client: &Client, count: u64) -> Vec<Held> {
    within("so many connections", SOON, client.hold_many(count)).await.expect("an echo on each")
}

async fn is_reset(client: &Client) {
    let end = within("a reset", SOON, try_once(client)).await.expect_err("a reset");
    let kind = end.downcast_ref().map(io::Error::kind);
    assert_eq!(kind, Some(ErrorKind::ConnectionReset), "{end:#}");
}

/// It is a matter of time which step is told of a reset.
async fn try_once(client: &Client) -> anyhow::Result<()> {
    let mut stream = client.connect().await?;
    stream.write_all(b"hello").await?;
    stream.read_u8().await?;
    Ok(())
}

/// The admin endpoint cannot be asked while the agent has no file to accept with.
async fn says(lab: &mut Scenario, what: &str) {
    let deadline = Instant::now() + SOON;
    while !lab.agent().log().contains(what) {
        assert!(Instant::now() < deadline, "{what}: is not in the log");
        sleep(Duration::from_millis(20)).await;
    }
}
