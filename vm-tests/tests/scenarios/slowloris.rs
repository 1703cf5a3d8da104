//! Clients that never come to the end of what they must say first.

use std::{
    io::{self, ErrorKind},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
    time::{Instant, sleep},
};
use vm_tests::Mix;

use crate::{
    relayed::{failures, relayed},
    setting::within,
};

const CLIENTS: u64 = 200;
const TIMEOUT: Duration = Duration::from_secs(2);
const BETWEEN_BYTES: Duration = Duration::from_millis(50);
const SOON: Duration = Duration::from_secs(30);
const VPCE: &str = "vpce-08d2bf15fac5001c9";

#[tokio::test]
async fn two_hundred_clients_trickle_a_header_and_are_cut_while_others_are_served() {
    let flags = ["--proxy-protocol", "v2", "--header-timeout", "2s"];
    let mut lab = relayed("slowloris", &flags, |_| {}).await;
    let nlb = lab.nlb(VPCE).await.expect("a load balancer");
    let header = nlb.header("10.0.0.20:1024".parse().expect("an address"), VPCE).expect("a header");
    let others = lab.client_through(&nlb).expect("a client");
    let load = others.load(Mix::default()).expect("a load");

    let mut trickling = JoinSet::new();
    for _ in 0..CLIENTS {
        let stream = lab.client().connect().await.expect("a connection");
        trickling.spawn(trickle(stream, header[..header.len() - 1].to_vec()));
    }
    while let Some(lived) = within("the end of all", SOON, trickling.join_next()).await {
        let lived = lived.expect("a reset");
        assert!(lived > TIMEOUT / 2, "one had only {lived:?}");
    }
    let cut = |status: &_| failures(status, "header_timeout") == CLIENTS;
    lab.until("each is counted", SOON, cut).await;
    let counts = load.stop().await.expect("every request ended");
    assert_eq!(counts.failures, 0, "{:#?}", counts.last_errors);
    lab.done().await;
}

/// Until it is reset; how long that took.
async fn trickle(stream: TcpStream, bytes: Vec<u8>) -> Duration {
    let began = Instant::now();
    let (reader, writer) = stream.into_split();
    // Whoever looks first is told of a reset, and the other only of an end.
    let end = tokio::select! {
        broken = say(writer, bytes) => broken,
        broken = hear(reader) => broken,
    };
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    began.elapsed()
}

async fn say(mut writer: OwnedWriteHalf, bytes: Vec<u8>) -> io::Error {
    for byte in bytes {
        if let Err(broken) = writer.write_u8(byte).await {
            return broken;
        }
        sleep(BETWEEN_BYTES).await;
    }
    std::future::pending().await
}

async fn hear(mut reader: OwnedReadHalf) -> io::Error {
    reader.read(&mut [0]).await.expect_err("a reset")
}
