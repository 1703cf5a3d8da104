//! The whole agent with the relay on loopback: a real resolver, real backends, real signals.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[path = "agent/backend.rs"]
mod backend;
#[path = "agent/dns.rs"]
mod dns;
#[path = "agent/process.rs"]
mod process;
#[path = "agent/succession.rs"]
mod succession;

use std::{collections::BTreeSet, io, net::SocketAddr, sync::atomic::Ordering::Relaxed};

use backend::{PORT, Subnet};
use dns::Dns;
use nix::sys::signal::Signal;
use process::{Agent, DEADLINE};
use proxy_user::status::Status;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

#[tokio::test]
async fn connections_reach_every_backend_and_follow_the_answer() {
    let net = Subnet::fresh();
    let backends = [net.backend(1).await, net.backend(2).await];
    let dns = Dns::start(&[net.address(1), net.address(2)]).await;
    let agent = Agent::start(dns.address, &[]);
    agent.until_live(&[1, 2]).await;
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        seen.insert(agent.request("hello").await.unwrap());
    }
    assert_eq!(seen, BTreeSet::from(["1:hello".into(), "2:hello".into()]));

    let _third = net.backend(3).await;
    dns.set(Some(&[net.address(3)]));
    agent.until_live(&[3]).await;
    drop(backends);
    for _ in 0..20 {
        assert_eq!(agent.request("again").await.unwrap(), "3:again");
    }
    let status = agent.until("all counted", |status| status.listener.open == 0).await;
    assert_eq!(status.listener.relayed, 220);
    let third = status.backends().find(|known| known.resolved);
    let third = third.unwrap();
    assert_eq!((third.opened, third.bytes_to_backend, third.bytes_to_client), (20, 100, 140));
}

#[tokio::test]
async fn the_last_good_answer_serves_while_dns_fails() {
    let net = Subnet::fresh();
    let _backend = net.backend(1).await;
    let dns = Dns::start(&[net.address(1)]).await;
    let agent = Agent::start(dns.address, &[]);
    agent.until_live(&[1]).await;
    dns.set(None);
    let status = agent.until("a failure", |status| status.routes[0].dns.failures >= 2).await;
    assert!(status.routes[0].dns.last_error.is_some());
    assert_eq!(agent.request("still").await.unwrap(), "1:still");
    agent.until_live(&[1]).await;
    dns.set(Some(&[net.address(1)]));
    agent.until("an answer again", |status| status.routes[0].dns.last_error.is_none()).await;
}

#[tokio::test]
async fn without_a_live_backend_clients_are_reset_and_readyz_says_why() {
    let net = Subnet::fresh();
    let dns = Dns::start(&[net.address(1)]).await;
    let agent = Agent::start(dns.address, &[]);
    agent.until("known", |status| status.backends().count() == 1).await;
    let refusal = agent.request("anybody?").await.unwrap_err();
    assert_eq!(refusal.kind(), io::ErrorKind::ConnectionReset);
    let status = agent.until("counted", |status| status.listener.open == 0).await;
    assert_eq!(status.listener.failures["no_backend"], 1);
    let ready = agent.admin("/readyz").await;
    assert!(ready.contains(" 503 ") && ready.contains("none of 1 backends is live"), "{ready}");
    assert!(agent.admin("/healthz").await.ends_with("ok\n"));

    let _backend = net.backend(1).await;
    agent.until_live(&[1]).await;
    assert!(agent.admin("/readyz").await.ends_with("ok\n"));
}

/// A TTL that is far from over: only the failed connection can be what asks again.
#[tokio::test]
async fn a_failed_connection_tries_another_backend_and_asks_dns_again() {
    let net = Subnet::fresh();
    let backends = [net.backend(1).await, net.backend(2).await];
    let dns = Dns::start(&[net.address(1), net.address(2)]).await;
    let agent = Agent::start(dns.address, &["--min-ttl=1m", "--health-interval=1h"]);
    agent.until_live(&[1, 2]).await;
    let asked_before = dns.questions.load(Relaxed);
    let [first, _second] = backends;
    first.stop().await;
    let mut failed = 0;
    while failed == 0 {
        assert_eq!(agent.request("x").await.unwrap(), "2:x");
        let status = agent.until("answered", |status| status.listener.open == 0).await;
        failed = status.listener.failures.get("connect_failed").copied().unwrap_or(0);
    }
    agent.until("asked again", |_| dns.questions.load(Relaxed) > asked_before).await;
    let suspected = |status: &Status, last| {
        let backend = SocketAddr::new(net.address(last).into(), PORT);
        let known = status.backends().find(|known| known.address == backend);
        known.is_some_and(|known| known.probe.suspected > 0)
    };
    let status = agent.until("suspected", |status| suspected(status, 1)).await;
    assert!(!suspected(&status, 2), "it accepted all that came to it");
}

#[tokio::test]
async fn sigterm_lets_connections_end_and_a_second_one_does_not_wait() {
    let net = Subnet::fresh();
    let _backend = net.backend(1).await;
    let dns = Dns::start(&[net.address(1)]).await;
    for impatient in [false, true] {
        let agent = Agent::start(dns.address, &["--drain-accept=0s", "--drain-deadline=1h"]);
        agent.until_live(&[1]).await;
        let mut stream = agent.hold().await;
        agent.signal(Signal::SIGTERM);
        agent.until("draining", |status| status.reason.as_deref() == Some("draining")).await;
        assert!(agent.admin("/readyz").await.contains(" 503 "));
        if impatient {
            agent.signal(Signal::SIGTERM);
            let cut = timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap_err();
            assert_eq!(cut.kind(), io::ErrorKind::ConnectionReset);
        } else {
            stream.write_all(b"last words").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.unwrap();
            assert_eq!(reply, "last words");
        }
        assert_eq!(agent.ended().await.code(), Some(0));
    }
}

#[tokio::test]
async fn while_it_drains_it_accepts_and_then_no_more_and_resets_what_is_left_at_the_deadline() {
    let net = Subnet::fresh();
    let _backend = net.backend(1).await;
    let dns = Dns::start(&[net.address(1)]).await;
    let agent = Agent::start(dns.address, &["--drain-accept=2s", "--drain-deadline=4s"]);
    agent.until_live(&[1]).await;
    let mut held = agent.hold().await;
    let from_a_page = agent.ask("POST", "/drain", "Origin: http://example\r\n").await;
    assert!(from_a_page.contains(" 403 "), "{from_a_page}");
    assert!(agent.admin("/readyz").await.contains(" 200 "));
    assert!(agent.ask("POST", "/drain", "").await.contains(" 202 "));
    agent.until("draining", |status| status.reason.as_deref() == Some("draining")).await;
    assert!(agent.ask("POST", "/drain", "").await.contains(" 202 "), "again changes nothing");
    assert!(agent.admin("/readyz").await.contains(" 503 "));
    assert_eq!(agent.request("still").await.unwrap(), "1:still");
    let closing = |status: &Status| {
        status.events.iter().any(|event| event.message == "no new connections are accepted")
    };
    agent.until("closing", closing).await;
    let mut refused = TcpStream::connect(agent.listen).await;
    while refused.is_ok() {
        refused = TcpStream::connect(agent.listen).await;
    }
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    held.write_all(b"x").await.unwrap();
    assert_eq!(timeout(DEADLINE, held.read_u8()).await.unwrap().unwrap(), b'x');
    let cut = timeout(DEADLINE, held.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(cut.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(agent.ended().await.code(), Some(0));
}

#[tokio::test]
async fn metrics_and_the_page_say_what_the_status_says() {
    let net = Subnet::fresh();
    let _backend = net.backend(1).await;
    let dns = Dns::start(&[net.address(1)]).await;
    let agent = Agent::start(dns.address, &[]);
    agent.until_live(&[1]).await;
    agent.request("x").await.unwrap();
    agent.until("answered", |status| status.listener.open == 0).await;
    let metrics = agent.admin("/metrics").await;
    let endpoint = format!("endpoint=\"api.example:{PORT}\"");
    let backend = format!("{endpoint},backend=\"{}:{PORT}\"", net.address(1));
    for line in [
        "enigate_ready 1".to_owned(),
        format!("enigate_backends{{{endpoint},state=\"live\"}} 1"),
        format!("enigate_backends{{{endpoint},state=\"down\"}} 0"),
        format!("enigate_dns_addresses{{{endpoint}}} 1"),
        "enigate_listener_relayed_total 1".into(),
        format!("enigate_backend_connections_total{{{backend}}} 1"),
        format!("enigate_backend_bytes_total{{{backend},direction=\"to_client\"}} 3"),
        "# EOF".into(),
    ] {
        assert!(metrics.lines().any(|said| said == line), "no {line:?} in:\n{metrics}");
    }
    assert!(agent.admin("/").await.contains("<title>enigate</title>"));
}
