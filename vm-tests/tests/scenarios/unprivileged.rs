//! The same lab on loopback, as a user without root has it.

use vm_tests::Mix;

use crate::setting::{options, start};

#[tokio::test]
async fn a_rotation_on_loopback_fails_no_request() {
    let mut options = options();
    options.privileged = false;
    let mut lab = start("loopback", options).await;
    let load = lab.load(Mix::default()).expect("a load");
    let report = lab.rotate().await.expect("a rotation");
    assert!(report.moved.is_some(), "{report:?}");
    let counts = load.stop().await.expect("every request ended");
    assert_eq!(counts.failures, 0, "{:#?}", counts.last_errors);
    assert_eq!(lab.status().await.datapath.name, "relay");
    lab.done().await;
}
