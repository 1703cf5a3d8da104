//! Many connections at once, of which the agent has both ends and so do we.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use vm_tests::{Held, bench::raise_open_files};

use crate::{
    relayed::echoing,
    setting::{Scenario, within},
};

const SOON: Duration = Duration::from_secs(60);
const IDLE: u64 = 9_000;
/// What HAProxy takes.
const BYTES_EACH: f64 = 3.3 * 1024.0;

/// The files that this process may open are enough for one crowd at a time.
pub async fn crowd() -> MutexGuard<'static, ()> {
    static CROWD: Mutex<()> = Mutex::const_new(());
    let crowd = CROWD.lock().await;
    raise_open_files();
    crowd
}

#[tokio::test]
async fn nine_thousand_idle_connections_take_little_memory_and_all_live() {
    let _crowd = crowd().await;
    let mut lab = echoing("idle_crowd", &[]).await;
    // What the first connections take stays.
    drop(open(&lab, 100).await);
    lab.until("they have ended", SOON, |status| status.listener.open == 0).await;

    let before = lab.agent().usage().expect("the agent's memory");
    let mut all = open(&lab, IDLE).await;
    let grown = lab.agent().usage().expect("the agent's memory").since(before).memory;
    let status = lab.status().await;
    assert_eq!((status.listener.open, &status.listener.failures), (IDLE, &[].into()));
    let each = grown as f64 / IDLE as f64;
    println!("{each:.0} bytes for each idle connection");
    assert!(each < BYTES_EACH, "{each:.0} bytes for each idle connection");

    within("an echo on each", SOON, echo(&mut all)).await;
    drop(all);
    lab.done().await;
}

/// Each has brought back an echo.
async fn open(lab: &Scenario, count: u64) -> Vec<Held> {
    let client = lab.client();
    within("so many connections", SOON, client.hold_many(count)).await.expect("an echo on each")
}

async fn echo(all: &mut [Held]) {
    for held in all {
        held.echo().await.expect("it goes on");
    }
}
