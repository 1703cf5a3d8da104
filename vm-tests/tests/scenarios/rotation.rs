//! EKS replaces all ENIs while clients go on.

use std::{collections::BTreeSet, time::Duration};

use vm_tests::Mix;

use crate::setting::{lab, within};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn two_rotations_under_load_fail_no_request() {
    let mut lab = lab("rotation", |_| {}).await;
    let load = lab.load(Mix::default()).expect("a load");
    for _ in 0..2 {
        let before = load.counts();
        let report = lab.rotate().await.expect("a rotation");
        assert!(report.moved.is_some(), "the agent did not move in time: {report:?}");
        let counts = load.counts();
        assert_eq!(counts.failures, 0, "{:#?}", counts.last_errors);
        assert!(counts.connections > before.connections, "no new connection meanwhile");
        let answered: BTreeSet<_> = counts.by_eni.keys().cloned().collect();
        for eni in &report.new {
            assert!(answered.contains(&eni.ip().to_string()), "{eni} answered nothing");
        }
    }
    // Three of them, and two rotations.
    within("the watches go on", SOON, load.until_reopened(6)).await.expect("a load");
    let counts = load.stop().await.expect("every request ended");
    assert_eq!(counts.failures, 0, "{:#?}", counts.last_errors);
    assert_eq!(lab.status().await.listener.accepted, 0, "the kernel carried all of it");
    lab.done().await;
}
