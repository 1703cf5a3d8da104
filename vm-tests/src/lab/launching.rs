//! How a lab starts its agent, and unbound where it has that.

use super::{ANSWERS, AUTHORITY, Options};
use crate::{
    control_plane::ControlPlane,
    launch::{self, Datapath, Launch},
    plan::Plan,
    state::{self, State},
    unbound::Unbound,
};

/// What the agent is told in a file.
const CONFIG: &str = "enigate.toml";

pub(super) fn launch(
    name: &str,
    options: &Options,
    plan: &Plan,
    state: &State,
) -> anyhow::Result<Launch> {
    let pins = state::pins(name);
    let datapath =
        if options.privileged { Datapath::Free { pins: &pins } } else { Datapath::Relay };
    let config = options.agent_config.as_ref().map(|text| {
        state.write(CONFIG, text)?;
        anyhow::Ok(state.file(CONFIG))
    });
    let config = config.transpose()?;
    let mut arguments = launch::arguments(plan, &datapath, &state.file(ANSWERS), config.as_deref());
    if options.with_authority {
        arguments.extend(["--ca".to_owned(), state.file(AUTHORITY).display().to_string()]);
    }
    Ok(Launch {
        lab: name.to_owned(),
        binary: options.agent.clone(),
        arguments,
        flags: options.agent_flags.clone(),
        log: state.file("agent.log"),
        files: options.agent_files,
    })
}

pub(super) async fn unbound(
    launch: &Launch,
    plan: &Plan,
    plane: &ControlPlane,
    state: &State,
) -> anyhow::Result<Unbound> {
    let (inside, config) = (plane.network.router(), state.file("unbound.conf"));
    Unbound::start(inside, launch, config, plan.resolver, plan.zone_server).await
}
