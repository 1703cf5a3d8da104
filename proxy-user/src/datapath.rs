//! Chooses what moves the bytes, and says why.

mod account;
pub mod age;
pub mod carry;
pub mod flow_log;
pub mod flows;
pub mod handover;
pub mod interface;
pub mod kernel;
pub mod ledger;
pub mod limits;
pub mod listener;
pub mod mover;
mod pattern;
mod pick;
pub mod preface;
pub mod reach;
pub mod reaper;
pub mod relay;
pub mod requirements;
pub mod routes;
mod socket;
pub mod sockmap;
pub mod tally;

use std::{os::fd::OwnedFd, sync::Arc};

use anyhow::Context as _;
use proxy_common::config::Opens;
use tokio::task::spawn_blocking;
use tracing::info;

use self::{
    handover::{Handover, self_test},
    kernel::{Attachment, Hook, Kernel},
    mover::Mover,
    sockmap::Sockmap,
};
use crate::config::{Config, DatapathChoice, HookChoice, InterfaceName, PacketConfig, Refusal};

pub struct Datapath {
    pub reason: String,
    /// `None`: the listener takes everything, and keeps it.
    pub packet: Option<Packet>,
    /// For what the listener takes.
    pub mover: Mover,
}

/// The agent's surroundings, as it starts.
pub struct Place {
    /// Copies of the sockets that clients connect to.
    pub listening: Vec<OwnedFd>,
    /// No earlier agent makes room for this one.
    pub is_alone: bool,
}

pub struct Packet {
    pub kernel: Kernel,
    pub interface: String,
}

impl Datapath {
    pub fn name(&self) -> &'static str {
        match (&self.packet, &self.mover) {
            (Some(_), Mover::Relay) => "packet",
            (_, mover) => mover.name(),
        }
    }

    pub async fn open(config: &Config, place: Place) -> anyhow::Result<Self> {
        interface::must_be_there(config)?;
        if config.packet.fresh {
            start_afresh(&config.packet)?;
        }
        match config.datapath {
            DatapathChoice::Relay => Self::relay(config, "asked for by --datapath relay"),
            DatapathChoice::Packet => {
                let plan = plan(config, Opens::Program, place.is_alone)?;
                Self::packet(plan, "asked for by --datapath packet").await
            }
            DatapathChoice::Handover => {
                tested_handover().await?;
                let reason = "asked for by --datapath handover, and its self-test has passed";
                Self::handover(config, place, reason).await
            }
            DatapathChoice::Sockmap => {
                must_not_be_passed_by(config)?;
                let mover = Mover::Sockmap(tested_sockmap(config).await?);
                let reason = "asked for by --datapath sockmap, and its self-test has passed";
                Ok(Self { reason: reason.into(), packet: None, mover })
            }
            DatapathChoice::Auto => match config.needs_the_listener() {
                Some(what) => Self::behind_the_listener(config, place, what).await,
                None => Self::best(config, place).await,
            },
        }
    }

    /// `what`: why user space must look at connections first.
    async fn behind_the_listener(
        config: &Config,
        place: Place,
        what: &str,
    ) -> anyhow::Result<Self> {
        if !config.may_hand_over() {
            return Self::relay(config, what);
        }
        if let Err(refused) = tested_handover().await {
            return Self::relay(config, format!("{what}; no handover: {}", refused.wrong));
        }
        let is_takeover = config.packet.pin_dir.exists();
        let reason = format!("{what}, and the self-test of the handover has passed");
        match Self::handover(config, place, &reason).await {
            Err(error) if !is_takeover => {
                Self::relay(config, format!("{what}; no handover: {error:#}"))
            }
            result => result,
        }
    }

    async fn best(config: &Config, place: Place) -> anyhow::Result<Self> {
        let attachment = match plan(config, Opens::Program, place.is_alone) {
            Ok(attachment) => attachment,
            Err(refusal) => return Self::relay(config, format!("no packet path: {refusal}")),
        };
        // An earlier agent's program goes on forwarding: a relay beside it would see nothing.
        let is_takeover = attachment.pin_dir.exists();
        match Self::packet(attachment, "this host can carry the packet path").await {
            Err(error) if !is_takeover => Self::relay(config, format!("no packet path: {error:#}")),
            result => result,
        }
    }

    fn relay(config: &Config, reason: impl Into<String>) -> anyhow::Result<Self> {
        must_not_be_passed_by(config)?;
        Ok(Self { reason: reason.into(), packet: None, mover: Mover::Relay })
    }

    async fn packet(attachment: Attachment, reason: &str) -> anyhow::Result<Self> {
        let packet = Some(attach(attachment).await?);
        Ok(Self { reason: reason.into(), packet, mover: Mover::Relay })
    }

    async fn handover(config: &Config, place: Place, reason: &str) -> anyhow::Result<Self> {
        let Place { listening, is_alone } = place;
        let attachment = plan(config, Opens::Listener, is_alone)?;
        let listen = attachment.listen;
        let packet = attach(attachment).await?;
        let handover = Handover::new(&packet.kernel, listen, config.handover_after, listening)
            .context("the handover cannot be prepared")?;
        let mover = Mover::Handover(Arc::new(handover));
        Ok(Self { reason: reason.into(), packet: Some(packet), mover })
    }
}

async fn attach(attachment: Attachment) -> anyhow::Result<Packet> {
    let interface = attachment.interface.clone();
    let kernel = spawn_blocking(move || Kernel::attach(&attachment))
        .await
        .context("attaching the packet path")??;
    Ok(Packet { kernel, interface })
}

/// An earlier agent's program would take connections past a listener that is to look at them.
pub fn must_not_be_passed_by(config: &Config) -> Result<(), Refusal> {
    match config.needs_the_listener() {
        Some(what) if config.packet.pin_dir.exists() => {
            let pins = config.packet.pin_dir.display();
            let wrong = format!(
                "{what}, and the packet path of an earlier agent, in {pins}, would lead connections \
                 past it; run `enigate detach`, or give --fresh: both end the connections there"
            );
            Err(Refusal::new("datapath", config.datapath, wrong))
        }
        _ => Ok(()),
    }
}

/// Made and tried out on loopback, so that a kernel which cannot be trusted with it is refused.
pub async fn tested_sockmap(config: &Config) -> Result<Arc<Sockmap>, Refusal> {
    let refused = |wrong: String| {
        let wrong = format!("{wrong}; use --datapath relay or packet");
        Refusal::new("datapath", DatapathChoice::Sockmap, wrong)
    };
    let missing = requirements::missing();
    if !missing.is_empty() {
        return Err(refused(missing.join("; ")));
    }
    let sockmap = Sockmap::open(config.packet.connections);
    let sockmap = Arc::new(sockmap.map_err(|error| refused(format!("{error:#}")))?);
    match sockmap.self_test().await {
        Ok(()) => Ok(sockmap),
        Err(failed) => Err(refused(failed.to_string())),
    }
}

/// Tried out in namespaces of its own, so that a kernel which cannot be trusted with it is refused.
pub async fn tested_handover() -> Result<(), Refusal> {
    let refused = |wrong: String| {
        let wrong = format!("{wrong}; use --datapath relay or packet");
        Refusal::new("datapath", DatapathChoice::Handover, wrong)
    };
    let missing = requirements::missing();
    if !missing.is_empty() {
        return Err(refused(missing.join("; ")));
    }
    self_test::run().await.map_err(|failed| refused(failed.to_string()))
}

fn start_afresh(packet: &PacketConfig) -> anyhow::Result<()> {
    let interface = packet.interface.as_ref().map(InterfaceName::as_str);
    let removed = kernel::detach(&packet.pin_dir, interface).context("--fresh")?;
    removed.iter().for_each(|what| info!("--fresh: removed {what}"));
    Ok(())
}

/// How the packet path would be attached here, or why it cannot be.
pub fn plan(config: &Config, opens: Opens, is_alone: bool) -> Result<Attachment, Refusal> {
    let missing = requirements::missing();
    if !missing.is_empty() {
        let wrong = format!("{}; provide it, or use --datapath relay", missing.join("; "));
        return Err(Refusal::new("datapath", "packet", wrong));
    }
    // The packet path has one route: several need the listener.
    let listen = config.routes[0].listen;
    Ok(Attachment {
        interface: interface::choose(config.packet.interface.as_ref(), listen)?,
        listen,
        hook: hook(config.packet.hook),
        pin_dir: config.packet.pin_dir.clone(),
        connections: config.packet.connections,
        source_ports: config.packet.source_ports,
        timeouts: config.packet.timeouts,
        reset_window: config.packet.reset_window,
        mss_clamp: config.packet.mss_clamp,
        max_age: config.life.max_age,
        events: config.log.flows,
        log: config.log.ebpf,
        opens,
        is_alone,
    })
}

fn hook(choice: HookChoice) -> Hook {
    match choice {
        HookChoice::Auto => Hook::Auto,
        HookChoice::Tcx => Hook::Tcx,
        HookChoice::Clsact => Hook::Clsact,
        HookChoice::Xdp => Hook::Xdp,
        HookChoice::XdpGeneric => Hook::XdpGeneric,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PinDir, ProxyProtocol, Settings};

    #[tokio::test]
    async fn a_listener_that_must_look_at_connections_is_not_passed_by() {
        let pins = tempfile::tempdir().unwrap();
        let pin_dir: PinDir = pins.path().to_str().unwrap().parse().unwrap();
        let given = |proxy_protocol| Settings {
            endpoint: Some("api.example".parse().unwrap()),
            datapath: Some(DatapathChoice::Relay),
            pin_dir: Some(pin_dir.clone()),
            proxy_protocol,
            ..Settings::default()
        };
        let open = async |given| {
            let place = Place { listening: Vec::new(), is_alone: true };
            Datapath::open(&Config::load(given, None).unwrap(), place).await
        };
        let refused = open(given(Some(ProxyProtocol::V2))).await.err().expect("refused");
        assert!(refused.to_string().contains("`enigate detach`"), "{refused}");
        assert_eq!(open(given(None)).await.unwrap().name(), "relay", "it hides nothing");
        drop(pins);
        assert_eq!(open(given(Some(ProxyProtocol::V2))).await.unwrap().name(), "relay");
    }
}
