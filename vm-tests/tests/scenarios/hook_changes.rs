//! An agent that sits at another hook than the one before it takes that one's place.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use vm_tests::{Programs, Transfer, XdpMode, has_tcx};

use crate::setting::{Scenario, dual_stack, hook_flags, tc, within};

#[tokio::test]
async fn connections_live_through_changes_of_the_hook_and_nothing_stays_behind() {
    let mut lab = dual_stack("hook_changes", tc()).await;
    let mut held = Vec::new();
    for client in [lab.client(), lab.client_v6().expect("a client")] {
        held.push(client.transfer().await.expect("a transfer"));
    }
    assert_eq!(lab.programs().await.expect("the kernel's answer"), at_tc(None));
    for (hook, expected) in [
        ("clsact", Programs { clsact: 1, ..Programs::default() }),
        ("xdp", at_tc(Some(XdpMode::Driver))),
        ("clsact", Programs { clsact: 1, ..Programs::default() }),
        ("xdp-generic", at_tc(Some(XdpMode::Generic))),
        ("xdp", at_tc(Some(XdpMode::Driver))),
        (tc(), at_tc(None)),
    ] {
        lab.agent().restart_with(hook_flags(hook)).await.expect("a new agent");
        assert_eq!(lab.status().await.datapath.hook.as_deref(), Some(hook));
        nothing_but(&lab, &expected).await;
        for transfer in &mut held {
            goes_on(hook, transfer).await;
        }
    }
    for transfer in held {
        transfer.end().await.expect("every byte, as it was");
    }
    lab.done().await;
}

async fn goes_on(hook: &str, transfer: &mut Transfer) {
    within(hook, Duration::from_secs(10), transfer.more(500_000)).await.expect("it goes on");
}

/// The kernel takes a program away a little after its pin.
async fn nothing_but(lab: &Scenario, expected: &Programs) {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let programs = lab.programs().await.expect("the kernel's answer");
        if programs == *expected {
            return;
        }
        assert!(Instant::now() < end, "{programs:?} instead of {expected:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// TC carries everything, and XDP, where there is one, comes before it.
fn at_tc(xdp: Option<XdpMode>) -> Programs {
    match has_tcx() {
        true => Programs { tcx: vec!["enigate_tc".into()], clsact: 0, xdp },
        false => Programs { tcx: vec![], clsact: 1, xdp },
    }
}
