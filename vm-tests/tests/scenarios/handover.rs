//! Connections that the agent accepts and the packet path carries on.

use std::time::Duration;

use proxy_user::status::{HandoverStatus, Status};
use vm_tests::{Held, Options};

use crate::setting::{Scenario, dual_stack_with, flags, quick};

const SOON: Duration = Duration::from_secs(10);

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

async fn all_echo(held: &mut [Held], what: &str) {
    for one in held {
        one.echo().await.expect(what);
    }
}
