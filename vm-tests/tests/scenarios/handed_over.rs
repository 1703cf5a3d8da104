//! How scenarios of the handover end: all is whole, nothing is left, and the kernel has seen nothing
//! out of order.

use std::time::Duration;

use proxy_user::status::Status;
use tokio::time::sleep;
use vm_tests::{Banters, Eni, Heard};

use crate::{
    handover::handover,
    setting::{Scenario, within},
};

const SOON: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

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
    // A record that was begun before its connection was in the table is swept by itself.
    within("no record is left", SOON, async {
        while !lab.tracks().expect("records").is_empty() {
            sleep(POLL).await;
        }
    })
    .await;
    assert_eq!(lab.arms().expect("what the agent has added"), []);
}

/// Nothing was thrown away for its timestamp, but for the last packets of the agent's own sockets,
/// which another processor's may overtake as the connection is handed over. They are few; an end
/// whose clock was taken for another's would lose packet after packet.
///
/// Packets beyond a window are thrown away and sent again. There should be none; a few are met on a
/// busy host, and it is not known who sends them. An end that was promised too much would send them
/// all the time.
pub async fn all_is_in_order(lab: &Scenario) {
    let Heard { whole, torn } = heard(lab);
    let connections = whole + torn + lab.enis().iter().map(Eni::connections).sum::<u64>();
    // Older kernels do not count the first.
    let beyond = lab.tcp_ext("BeyondWindow").await.expect("counters").unwrap_or_default();
    let stale = lab.tcp_ext("PAWSEstab").await.expect("counters").expect("counted everywhere");
    println!("of {connections} connections: {beyond} beyond a window, {stale} stale by timestamp");
    assert!(beyond <= connections, "{beyond} packets went beyond a window");
    assert!(stale <= connections.div_ceil(10), "{stale} packets were stale by their timestamps");
}
