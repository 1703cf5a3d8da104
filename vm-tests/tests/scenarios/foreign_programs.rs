//! Somebody else's programs sit on the appliance's interface too.

use vm_tests::{FOREIGN, Foreign, Spot, XdpMode, has_tcx};

use crate::setting::{Scenario, dual_stack, hook_flags, lab, tc};

const OURS: &str = "enigate_tc";

#[tokio::test]
async fn a_program_at_tcx_stays_through_start_restart_and_detach_behind_ours() {
    if !has_tcx() {
        eprintln!("not run: this kernel has no TCX, which comes with Linux 6.6");
        return;
    }
    let mut lab = lab("foreign_tcx", |options| options.agent_flags = hook_flags("tcx")).await;
    let foreign = lab.attach_foreign(Spot::Tcx).await.expect("a program beside ours");
    lab.agent().restart().await.expect("a new agent");
    sits_behind_ours(&mut lab, &foreign).await;
    assert_eq!(lab.status().await.listener.accepted, 0, "the kernel carried all of it");

    lab.agent().terminate().await.expect("terminated");
    lab.agent().detach().await.expect("detached");
    assert_eq!(at_tcx(&lab).await, [FOREIGN]);

    // It was there first, this time.
    lab.agent().restart().await.expect("a new agent");
    sits_behind_ours(&mut lab, &foreign).await;
    lab.done().await;
}

async fn sits_behind_ours(lab: &mut Scenario, foreign: &Foreign) {
    assert_eq!(at_tcx(lab).await, [OURS, FOREIGN]);
    let named = format!("program {} ({FOREIGN}) runs on eth0 after the packet path", foreign.id());
    let log = lab.agent().log();
    let newest = log.rsplit("admin on").nth(1).expect("it announced itself");
    assert!(newest.contains(&named), "no {named:?} in the log");
    let reply = lab.client().get("/readyz").await.expect("an answer");
    assert_eq!(reply.status, 200);
}

async fn at_tcx(lab: &Scenario) -> Vec<String> {
    lab.programs().await.expect("the kernel's answer").tcx
}

#[tokio::test]
async fn a_program_at_xdp_stays_and_is_named_and_the_packet_path_stays_at_tc() {
    let mut lab = dual_stack("foreign_xdp", tc()).await;
    let foreign = lab.attach_foreign(Spot::XdpDriver).await.expect("a program at XDP");
    lab.agent().restart_with(hook_flags("xdp")).await.expect("a new agent");

    assert_eq!(lab.status().await.datapath.hook.as_deref(), Some(tc()));
    let programs = lab.programs().await.expect("the kernel's answer");
    assert!(programs.is_at_tc() && programs.xdp == Some(XdpMode::Driver), "{programs:?}");
    let named = format!("program {} ({FOREIGN}) sits at XDP of eth0", foreign.id());
    let log = lab.agent().log();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("XDP cannot be had")).collect();
    assert!(matches!(*warnings, [one] if one.contains(&named)), "{warnings:#?} without {named:?}");

    let mut transfer = lab.client().transfer().await.expect("a transfer");
    transfer.more(1_000_000).await.expect("bytes as they were sent");
    transfer.end().await.expect("a clean end");
    lab.done().await;
}
