//! DNS goes out: while the agent runs, and while it starts.

use std::time::Duration;

use proxy_user::status::Status;
use tokio::time::{Instant, sleep};
use vm_tests::{Counts, Lie, Load, Mix, has_unbound};

use crate::setting::{Scenario, asked_for, flags, lab, live, quick, within};

/// A lookup of a silent resolver takes seconds, and retries come ever later.
const SOON: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// New connections, each time.
const ENOUGH: u64 = 50;

#[tokio::test]
async fn a_silent_resolver_fails_no_new_connection_on_the_packet_path() {
    silence("silence", "packet").await;
}

#[tokio::test]
async fn a_silent_resolver_fails_no_new_connection_on_the_relay() {
    silence("silence_relay", "relay").await;
}

#[tokio::test]
async fn a_start_without_dns_serves_what_was_saved_on_the_packet_path() {
    saved("saved", "packet").await;
}

#[tokio::test]
async fn a_start_without_dns_serves_what_was_saved_on_the_relay() {
    saved("saved_relay", "relay").await;
}

#[tokio::test]
async fn a_start_without_dns_and_without_a_saved_answer_says_so_and_recovers() {
    let mut lab = lab("nothing_saved", |_| {}).await;
    lab.zone().lie(Some(Lie::Silence));
    let ended = lab.agent().terminate().await.expect("terminated");
    assert!(ended.success(), "{ended}");
    lab.forget_answers().expect("forgotten");
    lab.agent().begin_again_with(afresh("packet")).await.expect("a new agent");

    let reason = within("a reason", SOON, unready(&lab, "timed out")).await;
    assert!(reason.starts_with("no backend is known: asking 10.0.0.2:53 for A"), "{reason}");
    lab.zone().lie(None);
    let status = lab.until("ready", SOON, |status| status.ready).await;
    assert_eq!(status.routes[0].dns.source.as_deref(), Some("resolver"));
    assert_eq!(lab.client().get("/readyz").await.expect("an answer").status, 200);
    lab.done().await;
}

#[tokio::test]
async fn behind_unbound_rotations_fail_no_request_and_its_servfail_is_borne() {
    if !has_unbound() {
        eprintln!(
            "not run: there is no unbound on the PATH; apt-get install --no-install-recommends \
             unbound brings it"
        );
        return;
    }
    let mut lab = lab("unbound", |options| options.unbound = true).await;
    let load = lab.load(Mix::default()).expect("a load");
    for lie in [None, Some(Lie::Chain)] {
        lab.zone().lie(lie);
        let report = lab.rotate().await.expect("a rotation");
        assert!(report.moved.is_some(), "the agent did not move in time: {report:?}");
    }
    lab.zone().lie(Some(Lie::ServFail));
    let fails = |status: &Status| {
        status.routes[0]
            .dns
            .last_error
            .as_ref()
            .is_some_and(|error| error.contains("Server Failure"))
    };
    lab.until("unbound's SERVFAIL", SOON, fails).await;
    more_connections(&load).await;
    lab.zone().lie(None);
    lab.until("an answer", SOON, |status| status.routes[0].dns.last_error.is_none()).await;
    no_failures(&load.stop().await.expect("every request ended"));
    lab.done().await;
}

/// For two lookups in a row; for as long as `EG_SILENCE` says, in seconds, where it is set.
async fn silence(name: &str, datapath: &str) {
    let mut lab = lab(name, |options| options.agent_flags = over(datapath)).await;
    let load = lab.load(Mix::default()).expect("a load");
    let before = lab.status().await.routes.remove(0).dns;
    let silent_from = Instant::now();
    lab.zone().lie(Some(Lie::Silence));
    let mut status = lab
        .until("two lookups without an answer", SOON, |status| {
            status.routes[0].dns.failures >= before.failures + 2
        })
        .await;
    assert_eq!((live(&status), status.ready), (3, true));
    let error = status.routes.remove(0).dns.last_error.expect("an error");
    assert!(error.contains("timed out"), "{error}");
    if let Some(longer) = silence_asked_for() {
        tokio::time::sleep_until(silent_from + longer).await;
    }
    more_connections(&load).await;
    lab.zone().lie(None);
    lab.until("an answer", SOON, |status| status.routes[0].dns.last_error.is_none()).await;
    let counts = load.stop().await.expect("every request ended");
    println!("silent for {:?}: {counts:?}", silent_from.elapsed());
    no_failures(&counts);
    lab.done().await;
}

async fn saved(name: &str, datapath: &str) {
    let mut lab = lab(name, |options| options.agent_flags = over(datapath)).await;
    within("the answer is saved", SOON, until_saved(&lab)).await;
    lab.zone().lie(Some(Lie::Silence));
    let ended = lab.agent().terminate().await.expect("terminated");
    assert!(ended.success(), "{ended}");

    lab.agent().restart_with(afresh(datapath)).await.expect("ready without DNS");
    let status = lab.until("all live", SOON, |status| live(status) == 3).await;
    assert_eq!(status.routes[0].dns.source.as_deref(), Some("saved"));
    assert_eq!((status.routes[0].dns.answers, status.routes[0].dns.ttl_seconds), (0, None));
    assert!(status.routes[0].dns.age_seconds.is_some());
    let said = |status: &Status, what| status.events.iter().any(|e| e.message.contains(what));
    assert!(said(&status, "saved answer from "), "{:?}", status.events);
    assert_eq!(lab.client().get("/readyz").await.expect("an answer").status, 200);

    let load = lab.load(Mix::default()).expect("a load");
    lab.zone().lie(None);
    let from_resolver =
        |status: &Status| status.routes[0].dns.source.as_deref() == Some("resolver");
    let status = lab.until("the resolver's answer", SOON, from_resolver).await;
    assert_eq!(live(&status), 3);
    no_failures(&load.stop().await.expect("every request ended"));
    lab.done().await;
}

fn over(datapath: &str) -> Vec<String> {
    let mut given = quick();
    given.extend(flags(&["--datapath", datapath]));
    given
}

/// Else the backends that are pinned in the kernel would be known.
fn afresh(datapath: &str) -> Vec<String> {
    let mut given = over(datapath);
    given.extend(flags(&["--fresh"]));
    given
}

fn silence_asked_for() -> Option<Duration> {
    asked_for("EG_SILENCE").map(Duration::from_secs)
}

async fn until_saved(lab: &Scenario) {
    let enis: Vec<_> = lab.enis().iter().map(|eni| eni.address().ip().to_string()).collect();
    let is_whole = |saved: String| enis.iter().all(|eni| saved.contains(eni));
    while !lab.saved_answer().is_some_and(is_whole) {
        sleep(POLL).await;
    }
}

/// What /readyz says, once it says this.
async fn unready(lab: &Scenario, wanted: &str) -> String {
    loop {
        if let Ok((503, reason)) = lab.admin().get("/readyz").await
            && reason.contains(wanted)
        {
            return reason;
        }
        sleep(POLL).await;
    }
}

pub async fn more_connections(load: &Load) {
    let before = load.counts().connections;
    let more = async {
        while load.counts().connections < before + ENOUGH {
            sleep(POLL).await;
        }
    };
    within("new connections", SOON, more).await;
}

pub fn no_failures(counts: &Counts) {
    assert_eq!(counts.failures, 0, "{:#?}", counts.last_errors);
}
