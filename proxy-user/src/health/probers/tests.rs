use std::net::Ipv4Addr;

use tokio::{net::TcpListener, time::timeout};

use super::*;
use crate::config::{Config, Settings};

const DEADLINE: Duration = Duration::from_secs(10);

fn probers(interval: &str) -> (Probers, mpsc::Receiver<Finding>) {
    let settings = format!("endpoint = \"a.example\"\nhealth-interval = \"{interval}\"");
    let settings: Settings = toml::from_str(&settings).unwrap();
    let config = Config::load(settings, None).unwrap();
    let (sender, findings) = mpsc::channel(1);
    let probe = Probe::new(&config.routes[0].endpoint, &config.health).unwrap();
    (Probers::new(probe, config.health.interval, sender), findings)
}

async fn backend() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn next(findings: &mut mpsc::Receiver<Finding>) -> Finding {
    timeout(DEADLINE, findings.recv()).await.expect("no probe in time").unwrap()
}

#[tokio::test]
async fn backends_are_probed_again_and_again_until_they_are_no_longer_watched() {
    let (_listening, stays) = backend().await;
    let (_listening_too, leaves) = backend().await;
    let (mut probers, mut findings) = probers("20ms");
    probers.watch(&BTreeSet::from([stays, leaves]));
    let mut seen = BTreeMap::new();
    while seen.len() < 2 || seen.values().any(|count| *count < 2) {
        *seen.entry(next(&mut findings).await.backend).or_insert(0) += 1;
    }
    probers.watch(&BTreeSet::from([stays]));
    let mut others = 0;
    for _ in 0..10 {
        others += usize::from(next(&mut findings).await.backend == leaves);
    }
    assert!(others <= 2, "at most one probe was on its way and one in the channel");
}

/// A burst that counted twice would make the second gap as short as the first.
#[tokio::test]
async fn a_suspect_is_probed_sooner_and_a_burst_of_suspicions_is_one() {
    let (_listening, backend) = backend().await;
    let (mut probers, mut findings) = probers("3s");
    probers.watch(&BTreeSet::from([backend]));
    next(&mut findings).await;
    let first = Instant::now();
    for _ in 0..100 {
        probers.suspect(&backend);
    }
    next(&mut findings).await;
    let second = Instant::now();
    next(&mut findings).await;
    assert!((second - first) * 2 < second.elapsed(), "{:?}", second - first);
}
