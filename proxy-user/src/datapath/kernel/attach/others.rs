//! Programs of others on the interface: they stay, and are named.

use std::collections::BTreeSet;

use aya::programs::{ProgramInfo, SchedClassifier, TcAttachType, loaded_programs};
use tracing::{info, warn};

/// Says who else sits at TCX, and what that means for the packet path.
pub fn tell_at_tcx(interface: &str, ours: u32) {
    let programs = match SchedClassifier::query_tcx(interface, TcAttachType::Ingress) {
        Ok((_revision, programs)) => programs,
        Err(error) => {
            return warn!("hook: tcx: cannot ask who else sits on {interface}: {error}");
        }
    };
    let Some(place) = programs.iter().position(|program| program.id() == ours) else { return };
    let (before, after) = (&programs[..place], &programs[place + 1..]);
    if !before.is_empty() {
        warn!(
            "hook: tcx: {} runs on {interface} before the packet path, which gets only what is \
             passed on by TC_ACT_UNSPEC; to be first, it takes `enigate detach` and a new start",
            list(before.iter().map(named))
        );
    }
    if !after.is_empty() {
        info!(
            "hook: tcx: {} runs on {interface} after the packet path, and sees what that does not \
             forward",
            list(after.iter().map(named))
        );
    }
}

/// Id and name of each.
pub fn describe(ids: &BTreeSet<u32>) -> String {
    let loaded: Vec<_> = loaded_programs().flatten().collect();
    list(ids.iter().map(|id| {
        let program = loaded.iter().find(|program| program.id() == *id);
        program.map_or_else(|| format!("program {id}"), named)
    }))
}

fn named(program: &ProgramInfo) -> String {
    let name = String::from_utf8_lossy(program.name());
    format!("program {} ({name})", program.id())
}

fn list(programs: impl Iterator<Item = String>) -> String {
    programs.collect::<Vec<_>>().join(", ")
}
