//! Ourselves, on each data path.

use std::path::Path;

use super::Contender;
use crate::{
    admin::Admin,
    agent::Agent,
    bench::{LAB, site::Site},
    launch::{self, Datapath, Launch},
    state,
};

/// Beside those that say where the lab's parts are.
pub(super) fn flags(contender: Contender) -> Vec<String> {
    let words: &[&str] = match contender {
        Contender::Tcx => &["--datapath", "packet", "--hook", "tcx"],
        Contender::Clsact => &["--datapath", "packet", "--hook", "clsact"],
        Contender::Xdp => &["--datapath", "packet", "--hook", "xdp"],
        Contender::XdpGeneric => &["--datapath", "packet", "--hook", "xdp-generic"],
        Contender::Handover => &["--datapath", "handover"],
        Contender::Sockmap => &["--datapath", "sockmap"],
        _ => &["--datapath", "relay"],
    };
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Returns when it says that it is ready.
pub(super) async fn start(
    contender: Contender,
    site: &Site,
    binary: &Path,
) -> anyhow::Result<Agent> {
    let pins = state::pins(LAB);
    let (datapath, flags) = match contender {
        Contender::Relay => (Datapath::Relay, Vec::new()),
        _ => (Datapath::Free { pins: &pins }, flags(contender)),
    };
    let launch = Launch {
        lab: LAB.to_owned(),
        binary: binary.to_owned(),
        arguments: launch::arguments(site.plan(), &datapath, &site.folder().join("answers"), None),
        files: None,
        flags,
        log: site.folder().join("agent.log"),
    };
    let admin = Admin::new(site.proxy().clone(), site.plan().admin)?;
    Agent::start(launch, site.proxy().clone(), admin).await
}
