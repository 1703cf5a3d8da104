//! ENIs fail, leave the answer or are the last one left, and connections grow old.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use proxy_user::status::{BackendState, Status};
use vm_tests::{ENDPOINT, Eni, Held, Service, Subnet};

use crate::setting::{Scenario, flags, lab, live, within};

/// So many that each ENI has some.
const CONNECTIONS: usize = 12;
const SOON: Duration = Duration::from_secs(10);

/// A probe ends by a reset, and so would be taken for what is waited for.
const PROBED_ONCE: [&str; 2] = ["--health-interval", "10m"];

async fn echoes(name: &str, given: &[&str]) -> Scenario {
    let mut lab = lab(name, |options| {
        options.service = Service::Echo;
        options.agent_flags = flags(given);
    })
    .await;
    lab.until("all live", SOON, |status| live(status) == 3).await;
    lab
}

async fn hold(lab: &Scenario) -> (SocketAddr, Held) {
    let client = lab.client();
    within("a connection", SOON, lab.hold(&client)).await.expect("an echo")
}

/// Those to the first ENI, and those to others.
async fn hold_many(lab: &Scenario) -> [Vec<Held>; 2] {
    let first = lab.enis()[0].address();
    let (mut there, mut elsewhere) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let (eni, held) = hold(lab).await;
        if eni == first { &mut there } else { &mut elsewhere }.push(held);
    }
    assert!(!there.is_empty() && !elsewhere.is_empty());
    [there, elsewhere]
}

async fn all_echo(all: &mut [Held]) {
    for held in all {
        within("an echo", SOON, held.echo()).await.expect("it goes on");
    }
}

async fn all_are_reset(all: Vec<Held>) {
    for held in all {
        assert_eq!(held.how_it_ends().await, Some(ErrorKind::ConnectionReset));
    }
}

/// The ENIs', of connections that were reset at their end, a probe's too.
fn resets_heard(lab: &Scenario) -> u64 {
    lab.enis().iter().map(Eni::resets).sum()
}

/// Their ends hear of it when the clients do, or a little later.
async fn enis_hear_of(lab: &Scenario, resets: u64) {
    let all = Eni::until_resets(lab.enis(), resets);
    within("the resets at the other end", SOON, all).await;
    assert_eq!(resets_heard(lab), resets);
}

fn state(status: &Status, address: SocketAddr) -> Option<BackendState> {
    let found = status.backends().find(|backend| backend.address == address);
    found.map(|backend| backend.state)
}

fn resets(status: &Status, why: &str) -> u64 {
    let relayed = status.listener.failures.get(why);
    status.datapath.resets.get(why).or(relayed).copied().unwrap_or_default()
}

/// New connections: those that went to it repeat their SYN, and another ENI gets that one.
const ELSEWHERE: Duration = Duration::from_secs(3);
/// `fall` times the interval, as they are by default, and two seconds.
const NOTICED: Duration = Duration::from_secs(3 * 2 + 2);

#[tokio::test]
async fn a_link_that_goes_down_is_left_within_seconds_and_idle_clients_hear_of_it() {
    link_down("link_down", &["--datapath", "packet"]).await;
}

#[tokio::test]
async fn a_link_that_goes_down_is_left_by_the_relay_and_idle_clients_hear_of_it() {
    link_down("link_down_relay", &["--datapath", "relay"]).await;
}

/// With everything else as it is by default.
async fn link_down(name: &str, given: &[&str]) {
    let lab = echoes(name, given).await;
    let [orphans, mut others] = hold_many(&lab).await;
    lab.enis()[0].link_down().await.expect("a link that goes down");
    let began = Instant::now();
    let ended = tokio::spawn(async move {
        all_are_reset(orphans).await;
        began.elapsed()
    });
    let mut longest = Duration::ZERO;
    while !ended.is_finished() {
        let (client, started) = (lab.client(), Instant::now());
        within("a new connection", ELSEWHERE, client.hold()).await.expect("an echo");
        longest = longest.max(started.elapsed());
    }
    let noticed = ended.await.expect("each is reset");
    println!("{name}: the longest new connection took {longest:?}, all knew in {noticed:?}");
    assert!(noticed <= NOTICED, "{noticed:?}");
    all_echo(&mut others).await;
    lab.done().await;
}

#[tokio::test]
async fn what_is_left_on_a_drained_eni_is_reset_on_the_packet_path() {
    drained("drained_packet", "packet").await;
}

#[tokio::test]
async fn what_is_left_on_a_drained_eni_is_reset_on_the_relay() {
    drained("drained_relay", "relay").await;
}

async fn drained(name: &str, datapath: &str) {
    let short = ["--absent-grace", "0s", "--drain", "3s", "--reset-window", "500ms"];
    let given = [&short[..], &PROBED_ONCE, &["--datapath", datapath]].concat();
    let mut lab = echoes(name, &given).await;
    let [mut leaving, mut staying] = hold_many(&lab).await;
    let first = lab.enis()[0].address();
    let others = lab.enis()[1..].iter().map(|eni| eni.address().ip()).collect();
    lab.zone().set(ENDPOINT, others);
    lab.until("it drains", SOON, |status| state(status, first) == Some(BackendState::Draining))
        .await;
    all_echo(&mut leaving).await;
    for _ in 0..CONNECTIONS {
        assert_ne!(hold(&lab).await.0, first, "it takes nothing new");
    }
    let (before, count) = (resets_heard(&lab), leaving.len() as u64);
    within("a reset of each", SOON, all_are_reset(leaving)).await;
    lab.until("all counted", SOON, |status| {
        resets(status, "drained") == count && state(status, first).is_none()
    })
    .await;
    enis_hear_of(&lab, before + count).await;
    all_echo(&mut staying).await;
    lab.done().await;
}

#[tokio::test]
async fn an_old_connection_is_reset_and_the_client_connects_again_on_the_packet_path() {
    old_age("max_age_packet", "packet").await;
}

#[tokio::test]
async fn an_old_connection_is_reset_and_the_client_connects_again_on_the_relay() {
    old_age("max_age_relay", "relay").await;
}

async fn old_age(name: &str, datapath: &str) {
    const MAX_AGE: Duration = Duration::from_secs(2);
    let given = [&["--max-age", "2s", "--datapath", datapath], &PROBED_ONCE[..]].concat();
    let mut lab = echoes(name, &given).await;
    for round in 1..=2 {
        let began = Instant::now();
        let (_, held) = hold(&lab).await;
        let before = resets_heard(&lab);
        let ended = within("a reset", SOON, held.how_it_ends()).await;
        assert_eq!(ended, Some(ErrorKind::ConnectionReset));
        println!("{datapath}: reset at the age of {:?}", began.elapsed());
        assert!(began.elapsed() >= MAX_AGE.mul_f64(0.9), "not before its time");
        enis_hear_of(&lab, before + 1).await;
        lab.until("it is counted", SOON, |status| resets(status, "max_age") == round).await;
    }
    lab.done().await;
}

#[tokio::test]
async fn the_last_eni_stays_in_use_while_it_fails_and_is_left_when_there_is_another() {
    let mut lab = lab("last_resort", |options| {
        options.service = Service::Echo;
        options.enis = 1;
        options.agent_flags.extend(flags(&["--reset-window", "200ms"]));
    })
    .await;
    let (first, held) = hold(&lab).await;
    lab.enis()[0].link_down().await.expect("a link that goes down");
    let status = lab.until("it is the last resort", SOON, |status| status.reason.is_some()).await;
    assert_eq!((status.ready, state(&status, first)), (true, Some(BackendState::Live)));
    let (code, body) = lab.admin().get("/readyz").await.expect("an answer");
    assert!(code == 200 && body.starts_with("ok, but "), "{code} {body}");
    assert_eq!(resets(&status, "backend_down"), 0);

    let second = lab.add_eni(Subnet::B).await.expect("another");
    lab.publish();
    within("a reset", SOON, all_are_reset(vec![held])).await;
    let status = lab.status().await;
    let states = [first, second].map(|eni| state(&status, eni));
    assert_eq!(states, [Some(BackendState::Down), Some(BackendState::Live)]);
    let reached: BTreeSet<_> = [hold(&lab).await.0, hold(&lab).await.0].into();
    assert_eq!(reached, BTreeSet::from([second]));
    lab.done().await;
}
