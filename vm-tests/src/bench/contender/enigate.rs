//! Ourselves, on each data path.

use std::path::Path;

use anyhow::ensure;

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
    let agent = Agent::start(launch, site.proxy().clone(), admin).await?;
    sits_where_asked(contender, &agent).await?;
    Ok(agent)
}

/// It goes to another hook, with a warning, where it cannot have the one that it was told.
async fn sits_where_asked(contender: Contender, agent: &Agent) -> anyhow::Result<()> {
    let flags = flags(contender);
    let Some(at) = flags.iter().position(|flag| flag == "--hook") else { return Ok(()) };
    let hook = agent.status().await?.datapath.hook.unwrap_or_default();
    ensure!(hook == flags[at + 1], "asked for {}, sits at {hook}: see its log", flags[at + 1]);
    Ok(())
}
