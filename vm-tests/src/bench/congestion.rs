//! Congestion control is Linux's own default in all of the lab, whatever the host has chosen. A
//! namespace inherits the host's choice, and BBR is made for paths whose round trips a clock of a
//! millisecond can tell apart: between namespaces its figures are half as high and thrice as wide.

use std::{fs, path::Path};

use anyhow::Context as _;

use crate::{place::Inside, wire::sysctl};

const CUBIC: &str = "cubic";
/// What namespaces may choose from is the host's to say (ip-sysctl.rst).
const ALLOWED: &str = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";

/// Namespaces may choose it. Dropped, the host allows what it did before.
pub(crate) struct Allowed {
    before: String,
}

impl Allowed {
    pub(crate) fn allow() -> anyhow::Result<Self> {
        let path = Path::new(ALLOWED);
        let before = fs::read_to_string(path).with_context(|| format!("reading {ALLOWED}"))?;
        let before = before.trim().to_owned();
        fs::write(path, with_cubic(&before))
            .with_context(|| format!("allowing {CUBIC} in {ALLOWED}: has this kernel got it?"))?;
        Ok(Self { before })
    }
}

impl Drop for Allowed {
    fn drop(&mut self) {
        if let Err(error) = fs::write(ALLOWED, &self.before) {
            eprintln!("{ALLOWED} stays as it is: {error}");
        }
    }
}

fn with_cubic(allowed: &str) -> String {
    match allowed.split_whitespace().any(|name| name == CUBIC) {
        true => allowed.to_owned(),
        false => format!("{allowed} {CUBIC}"),
    }
}

/// From now on sockets there begin with it.
pub(crate) async fn choose(inside: &Inside) -> anyhow::Result<()> {
    inside.run(async { sysctl("net/ipv4/tcp_congestion_control", CUBIC) }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_allowed_stays_so() {
        assert_eq!(with_cubic("reno bbr"), "reno bbr cubic");
        assert_eq!(with_cubic("reno cubic"), "reno cubic");
    }
}
