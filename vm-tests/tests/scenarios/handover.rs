//! Connections that the agent accepts and the packet path carries on.

use std::time::Duration;

use proxy_user::status::{HandoverStatus, Status};
use tokio::time::{sleep, timeout};
use vm_tests::{Client, Held, Options};

use crate::setting::{Scenario, dual_stack_with, flags, quick, within};

const SOON: Duration = Duration::from_secs(10);
/// Between two tries to connect where nobody listens yet.
const POLL: Duration = Duration::from_millis(5);

pub fn handover(status: &Status) -> &HandoverStatus {
    status.datapath.handover.as_ref().expect("the handover data path")
}

pub fn handover_flags(more: &[&str]) -> Vec<String> {
    [quick(), flags(&["--datapath", "handover"]), flags(more)].concat()
}

/// Both families, and echo servers.
pub async fn handing_over(
    name: &str,
    more: &[&str],
    change: impl FnOnce(&mut Options),
) -> Scenario {
    dual_stack_with(name, |options| {
        options.agent_flags = handover_flags(more);
        change(options);
    })
    .await
}

#[tokio::test]
async fn watches_are_handed_over_and_outlive_the_agent() {
    let mut lab = handing_over("handover", &["--handover-after", "100ms"], |_| {}).await;
    let (v4, v6) = (lab.client(), lab.client_v6().expect("a client"));
    let mut held = [v4.hold().await.expect("an echo"), v6.hold().await.expect("an echo")];
    lab.until("both are handed over", SOON, |status| handover(status).handed_over == 2).await;
    all_echo(&mut held, "an echo by the program").await;
    lab.agent().kill().await.expect("killed");
    all_echo(&mut held, "an echo without an agent").await;
    lab.agent().restart().await.expect("an agent");
    all_echo(&mut held, "an echo beside another agent").await;
    drop(held);
    lab.done().await;
}

/// The kernel takes connections as soon as the agent listens, which is before it has tried out whether
/// it can hand any over.
#[tokio::test]
async fn a_client_that_comes_while_the_agent_starts_is_handed_over() {
    let after = ["--handover-after", "100ms"];
    let mut lab = handing_over("handover_early", &after, |_| {}).await;
    lab.agent().kill().await.expect("killed");
    lab.agent().begin_again_with(handover_flags(&after)).await.expect("another agent");
    let mut held = timeout(SOON, first_held(&lab.client())).await.expect("a listener");
    lab.until("it is handed over", SOON, |status| handover(status).handed_over == 1).await;
    held.echo().await.expect("an echo by the program");
    drop(held);
    lab.done().await;
}

/// Nobody reads: what comes is stopped while the agent waits to be rid of what it holds. Both ways go on
/// as soon as somebody does, and end.
#[tokio::test]
async fn a_transfer_that_was_stalled_from_the_beginning_goes_on_to_its_end() {
    let lab = handing_over("handover_stalled", &["--handover-after", "1"], |_| {}).await;
    for client in [lab.client(), lab.client_v6().expect("a client")] {
        let mut transfer = client.transfer().await.expect("a transfer");
        transfer.read(false);
        transfer.stalled().await.expect("still connected");
        transfer.read(true);
        within("the end", SOON, transfer.end()).await.expect("every byte, as it was");
    }
    lab.done().await;
}

async fn first_held(client: &Client) -> Held {
    loop {
        match client.hold().await {
            Ok(held) => return held,
            Err(_not_yet) => sleep(POLL).await,
        }
    }
}

async fn all_echo(held: &mut [Held], what: &str) {
    for one in held {
        one.echo().await.expect(what);
    }
}
