//! An ENI falls silent, and the agent has not noticed yet.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vm_tests::Client;

use crate::setting::{dual_stack_with, flags, live, within};

const CONNECTIONS: usize = 12;
/// A client repeats its SYN after a second, and another ENI gets that one.
const ONE_REPETITION: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_syn_that_is_repeated_goes_to_another_eni() {
    let mut lab = dual_stack_with("silent_eni", |options| {
        // The probes after those of the start come when all is over.
        options.agent_flags = flags(&["--health-interval", "10m"]);
    })
    .await;
    lab.until("all live", Duration::from_secs(5), |status| live(status) == 6).await;
    lab.enis()[0].link_down().await.expect("a link that goes down");

    let started = Instant::now();
    for client in [lab.client(), lab.client_v6().expect("a client")] {
        let all = (0..CONNECTIONS).map(|_| tokio::spawn(echo(client.clone())));
        for one in all.collect::<Vec<_>>() {
            within("a connection", ONE_REPETITION, one).await.expect("it succeeds");
        }
    }
    assert!(started.elapsed() >= Duration::from_secs(1), "some SYNs went to the silent ENI");
    let status = lab.status().await;
    assert_eq!(live(&status), 6, "the agent knows of nothing");
    assert_eq!(status.listener.accepted, 0, "the kernel carried all of it");
    lab.done().await;
}

async fn echo(client: Client) {
    let mut stream = client.connect().await.expect("a connection");
    stream.write_u64(7).await.expect("written");
    assert_eq!(stream.read_u64().await.expect("an echo"), 7);
}
