//! A line of log for each connection, also for those that came or went while no agent ran.

use std::{net::SocketAddr, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::setting::{Scenario, dual_stack_with, flags, hook_flags, tc};

const SOON: Duration = Duration::from_secs(5);
const PAYLOAD: u64 = 100_000;

/// As `--log-format json` writes it.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    target: String,
    message: String,
    client: Option<SocketAddr>,
    backend: Option<SocketAddr>,
    why: Option<String>,
    duration_ms: Option<u64>,
    bytes_to_backend: Option<u64>,
    bytes_to_client: Option<u64>,
    packets_to_backend: Option<u64>,
    packets_to_client: Option<u64>,
}

async fn start(name: &str, wanted: &str, hook: &str) -> Scenario {
    dual_stack_with(name, |options| {
        options.agent_flags = hook_flags(hook);
        options.agent_flags.extend(flags(&["--flow-log", wanted, "--log-format", "json"]));
        options.plain_frames = true;
    })
    .await
}

#[tokio::test]
async fn each_connection_is_told_when_it_opens_and_when_it_ends() {
    for hook in [tc(), "xdp"] {
        let mut lab = start(&format!("flow_log_{hook}"), "all", hook).await;
        for client in [lab.client(), lab.client_v6().expect("a client")] {
            let stream = echoed(client.connect().await.expect("a connection")).await;
            let address = stream.local_addr().expect("its address");
            let opened = line_of(&mut lab, address, "opened").await;
            end(stream).await;
            let closed = line_of(&mut lab, address, "closed").await;
            assert_eq!(closed.why.as_deref(), Some("finished"));
            assert_eq!(closed.backend, opened.backend);
            let backend = closed.backend.expect("its backend");
            assert!(lab.enis().iter().any(|eni| eni.addresses().contains(&backend)), "{backend}");
            assert!(closed.bytes_to_backend > Some(PAYLOAD), "{closed:?}");
            assert!(closed.bytes_to_client > Some(PAYLOAD), "{closed:?}");
            assert!(closed.packets_to_backend >= Some(4), "{closed:?}");
            assert!(closed.packets_to_client >= Some(3), "{closed:?}");
            assert!(closed.duration_ms.is_some(), "{closed:?}");
        }
        lab.done().await;
    }
}

#[tokio::test]
async fn what_ended_while_no_agent_ran_is_told_by_the_next() {
    let mut lab = start("flow_log_absent", "closed", tc()).await;
    let stream = echoed(lab.client().connect().await.expect("a connection")).await;
    let address = stream.local_addr().expect("its address");
    lab.agent().kill().await.expect("killed");
    stream.set_zero_linger().expect("linger");
    drop(stream);
    lab.agent().restart().await.expect("a new agent");
    let closed = line_of(&mut lab, address, "closed").await;
    assert_eq!(closed.why.as_deref(), Some("reset_by_client"));
    assert!(lines(&mut lab).iter().all(|line| line.message != "opened"), "not asked for");
    lab.done().await;
}

async fn echoed(mut stream: TcpStream) -> TcpStream {
    let sent = vec![7; PAYLOAD as usize];
    let mut received = sent.clone();
    let (mut reader, mut writer) = stream.split();
    let (written, read) = tokio::join!(writer.write_all(&sent), reader.read_exact(&mut received));
    written.and(read.map(drop)).expect("an echo");
    stream
}

/// Both sides' FINs.
async fn end(mut stream: TcpStream) {
    stream.shutdown().await.expect("ended");
    assert_eq!(stream.read(&mut [0]).await.expect("a clean end"), 0);
}

/// There is no signal for a line of log but the line.
async fn line_of(lab: &mut Scenario, client: SocketAddr, message: &str) -> Line {
    let deadline = Instant::now() + SOON;
    loop {
        let lines = lines(lab);
        let found = |line: &&Line| line.client == Some(client) && line.message == message;
        if let Some(line) = lines.iter().find(found) {
            return line.clone();
        }
        assert!(Instant::now() < deadline, "no line says {message} of {client}: {lines:#?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Those of flows, so far.
fn lines(lab: &mut Scenario) -> Vec<Line> {
    let log = lab.agent().log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines.filter(|line| line.target == "flow").collect()
}
