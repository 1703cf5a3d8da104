//! How scenarios of the handover end: all is whole, nothing is left, and the kernel has seen nothing
//! out of order.

use std::time::Duration;

use proxy_user::status::Status;
use vm_tests::{Banters, Eni, Heard};

use crate::{
    handover::handover,
    setting::{Scenario, within},
};

const SOON: Duration = Duration::from_secs(30);

/// At both ends.
pub async fn all_is_whole(lab: &Scenario, ended: &Banters) {
    assert_eq!(ended.broken, [], "as the client has heard it");
    let whole = ended.whole.len() as u64;
    within("the ENIs have heard it all", SOON, Eni::until_whole(lab.enis(), whole)).await;
    assert_eq!(heard(lab), Heard { whole, torn: 0 }, "as the ENIs have heard it");
}

pub fn heard(lab: &Scenario) -> Heard {
    lab.enis().iter().map(Eni::heard).fold(Heard::default(), |sum, one| Heard {
        whole: sum.whole + one.whole,
        torn: sum.torn + one.torn,
    })
}

pub async fn nothing_is_left(lab: &mut Scenario) {
    let empty = |status: &Status| status.datapath.flow_entries == 0 && handover(status).open == 0;
    lab.until("the table is empty", SOON, empty).await;
    assert_eq!(lab.tracks().expect("records"), []);
    assert_eq!(lab.arms().expect("what the agent has added"), []);
}

/// No end has sent more than the other takes, and nothing was thrown away for its timestamp.
pub async fn all_is_in_order(lab: &Scenario) {
    // Older kernels do not count the first.
    let beyond = lab.tcp_ext("BeyondWindow").await.expect("counters").unwrap_or_default();
    let stale = lab.tcp_ext("PAWSEstab").await.expect("counters");
    assert_eq!((beyond, stale), (0, Some(0)), "beyond a window, and stale by timestamp");
}
