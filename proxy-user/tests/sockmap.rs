//! The sockmap data path in the kernel: its self-test passes, and each step of it notices when what
//! it is there for is switched off. Needs root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[path = "netns/links.rs"]
mod links;

use std::{sync::Arc, thread};

use proxy_common::splice::weakness;
use proxy_user::datapath::sockmap::{Sockmap, Step};
use tokio::runtime;

const CONNECTIONS: u32 = 64;

/// Runs on a thread whose namespace nobody else is in.
fn inside<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let run = move || {
        links::enter();
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
    };
    if let Err(panic) = thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

fn open(weakness: u32) -> Arc<Sockmap> {
    Arc::new(Sockmap::weakened(CONNECTIONS, weakness).expect("the program; this needs root"))
}

#[test]
fn every_step_of_the_self_test_passes() {
    inside(async || {
        let sockmap = open(0);
        for step in Step::ALL {
            sockmap.try_step(step).await.unwrap();
        }
        let status = sockmap.status();
        assert!(status.spliced > 20, "{status:?}");
        assert_eq!(status.fell_back.get("ended_early"), Some(&2), "once for each side: {status:?}");
        assert_eq!(status.fell_back.get("refused"), None, "{status:?}");
    });
}

/// And says which step it is.
fn fails(step: Step, weakness: u32) {
    inside(move || async move {
        let failed = open(weakness).try_step(step).await.expect_err("a step that cannot fail");
        assert_eq!(failed.step, step);
    });
}

#[test]
fn first_bytes_that_nobody_pushes_are_missed() {
    fails(Step::FirstBytes, weakness::NO_PUSH);
}

#[test]
fn bytes_that_overtake_others_are_noticed() {
    fails(Step::BothWays, weakness::NO_ORDER);
}

#[test]
fn overlap_that_is_not_cut_off_is_noticed() {
    fails(Step::Overlap, weakness::KEEPS_OVERLAP);
}

#[test]
fn memory_without_a_limit_is_noticed() {
    fails(Step::StalledReader, weakness::NO_LIMIT);
}

#[test]
fn memory_without_a_limit_is_noticed_both_ways() {
    fails(Step::CongestedBothWays, weakness::NO_LIMIT);
}

#[test]
fn bytes_that_overtake_what_waits_are_noticed() {
    fails(Step::StalledReader, weakness::NO_ORDER);
}

#[test]
fn a_bare_fin_that_is_sent_on_is_noticed() {
    fails(Step::HalfClose, weakness::KEEPS_EMPTY);
}

#[test]
fn an_end_before_the_last_byte_is_noticed() {
    fails(Step::End, weakness::NO_LIMIT | weakness::NO_DRAIN);
}
