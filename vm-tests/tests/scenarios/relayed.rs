//! What scenarios of the listener have in common: an agent that relays everything.

use proxy_user::status::Status;
use vm_tests::{Options, Service};

use crate::setting::{Scenario, flags, lab, quick};

/// All that scenarios usually give the agent, the relay, and these.
pub fn relay_flags(more: &[&str]) -> Vec<String> {
    let mut given = quick();
    given.extend(flags(&["--datapath", "relay"]));
    given.extend(flags(more));
    given
}

pub async fn relayed(name: &str, more: &[&str], change: impl FnOnce(&mut Options)) -> Scenario {
    lab(name, |options| {
        options.agent_flags = relay_flags(more);
        change(options);
    })
    .await
}

/// With echo servers.
pub async fn echoing(name: &str, more: &[&str]) -> Scenario {
    relayed(name, more, |options| options.service = Service::Echo).await
}

/// Connections that the listener refused or lost, for this reason.
pub fn failures(status: &Status, reason: &str) -> u64 {
    status.listener.failures.get(reason).copied().unwrap_or_default()
}

/// Connections that said something to any ENI.
pub fn served(lab: &Scenario) -> u64 {
    lab.enis().iter().map(vm_tests::Eni::connections).sum()
}
