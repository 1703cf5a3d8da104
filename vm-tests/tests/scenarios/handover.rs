//! Connections that the agent accepts and the packet path carries on.

use std::time::Duration;

use proxy_user::status::{HandoverStatus, Status};
use vm_tests::Options;

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
async fn a_watch_is_handed_over_and_outlives_the_agent() {
    let mut lab = handing_over("handover", &["--handover-after", "100ms"], |_| {}).await;
    for client in [lab.client(), lab.client_v6().expect("a client")] {
        let mut held = client.hold().await.expect("an echo");
        let gone = |status: &_| handover(status).handed_over == 1;
        lab.until("it is handed over", SOON, gone).await;
        held.echo().await.expect("an echo by the program");
        lab.agent().kill().await.expect("killed");
        held.echo().await.expect("an echo without an agent");
        lab.agent().restart().await.expect("an agent");
        held.echo().await.expect("an echo beside another agent");
        drop(held);
    }
    lab.done().await;
}
