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

/// A connection's record goes before its entries.
pub async fn nothing_is_left(lab: &mut Scenario) {
    let over = |status: &Status| handover(status).open == 0 && status.listener.open == 0;
    lab.until("none is open", SOON, over).await;
    within("the table is empty", SOON, lab.until_table_is_empty()).await.expect("the table");
    let (tracks, arms) = (lab.tracks().expect("records"), lab.arms().expect("what is added"));
    let first = (tracks.first(), arms.first());
    assert_eq!((tracks.len(), arms.len()), (0, 0), "records, and added; of each {first:#?}");
}

/// Of so many segments with data one may be stale.
const STALE_AMONG: u64 = 2_000;

/// No end has sent more than the other takes, and timestamps go on where our sockets' ended. What
/// those had on its way when the program took over may be overtaken, and is thrown away as stale: a
/// duplicate, or an older acknowledgement. If timestamps went back, whatever follows would be.
pub async fn all_is_in_order(lab: &Scenario) {
    // Older kernels do not count it.
    let ends_drop = lab.tcp_ext_of_ends("BeyondWindow").await.expect("counters").unwrap_or(0);
    let agent_drops = lab.tcp_ext_of_proxy("BeyondWindow").await.expect("counters").unwrap_or(0);
    assert_eq!((ends_drop, agent_drops), (0, 0), "beyond a window, at the ends and at the agent");
    let stale = ends(lab, "PAWSEstab").await;
    let sent = ends(lab, "TCPOrigDataSent").await;
    println!("{stale} were stale of {sent} segments");
    assert!(stale * STALE_AMONG <= sent, "{stale} were stale of {sent} segments");
}

async fn ends(lab: &Scenario, name: &str) -> u64 {
    lab.tcp_ext_of_ends(name).await.expect("counters").expect("every kernel has this one")
}
