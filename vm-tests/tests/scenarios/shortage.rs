//! More connections than the packet path has room for: the listener carries the others.

use std::time::Duration;

use proxy_user::status::Status;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use vm_tests::{Client, Service};

use crate::setting::{flags, lab, live, not_forwarded, within};

const CONNECTIONS: u64 = 100;

#[tokio::test]
async fn clients_beyond_the_last_source_port_are_served_by_the_listener() {
    serves_everybody("few_ports", ["--source-ports", "20000-20063"], 64, "ports_exhausted").await;
}

#[tokio::test]
async fn clients_beyond_the_last_place_in_the_flow_table_are_served_by_the_listener() {
    serves_everybody("small_table", ["--table-size", "32"], 32, "table_full").await;
}

async fn serves_everybody(name: &str, shortage: [&str; 2], room: u64, reason: &str) {
    let mut lab = lab(name, |options| {
        options.agent_flags.extend(flags(&shortage));
        options.service = Service::Echo;
        options.enis = 1;
    })
    .await;
    lab.until("the ENI is live", Duration::from_secs(5), |status| live(status) == 1).await;
    let client = lab.client();
    let all = within("all connections", Duration::from_secs(20), open_all(&client)).await;
    assert_eq!(lab.enis()[0].connections(), CONNECTIONS, "each got through to the ENI");

    let relayed = lab.status().await.listener.accepted;
    assert!((CONNECTIONS - room..CONNECTIONS).contains(&relayed), "{relayed} were relayed");
    let is_counted = |status: &Status| not_forwarded(status, reason) >= relayed;
    lab.until("each is counted", Duration::from_secs(5), is_counted).await;
    drop(all);
    lab.done().await;
}

/// They stay open, so that each keeps its place.
async fn open_all(client: &Client) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for number in 0..CONNECTIONS {
        let mut stream = client.connect().await.expect("a connection");
        stream.write_u64(number).await.expect("written");
        assert_eq!(stream.read_u64().await.expect("an echo"), number);
        all.push(stream);
    }
    all
}
