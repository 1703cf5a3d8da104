//! The packet path's hold on the kernel: what is loaded, attached and pinned, and its typed maps.
//!
//! Maps and link are pinned, so that flows outlive the agent and the next one takes them over;
//! dropping a [`Kernel`] detaches nothing.

mod attach;
mod detach;
pub mod grace;
mod host;
mod load;
mod pins;
mod ports;
pub mod records;
pub mod reset;
pub mod scan;
pub mod sweep;
mod sys;
pub mod table;
mod tables;

use std::{
    collections::BTreeMap, io, net::SocketAddr, num::NonZeroU16, path::PathBuf, time::Duration,
};

use anyhow::Context as _;
use proxy_common::{
    addr::Addr,
    backend::{BackendId, MAX_BACKENDS},
    config::{Events, MAX_LOCALS, Opens, PortRange},
    counter::Counter,
    event::FlowEvent,
    reason::Reason,
};
use tracing::{info, warn};

use self::{
    attach::Attached,
    pins::Pins,
    ports::Reserved,
    records::Records,
    reset::{Doomed, Ender, Resets, Round},
    scan::Scan,
    sweep::{Step, Sweep},
    tables::{Setting, Tables},
};
pub use self::{
    detach::detach,
    load::object,
    pins::{BPFFS, is_on_bpffs},
    ports::{Sources, choose as source_ports},
    sweep::now,
};
use super::age::MaxAge;
use crate::{
    backends::Legacy,
    config::{FlowTimeouts, MssClamp, SourcePorts},
};

/// Where and how the packet path sits.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub interface: String,
    pub listen: SocketAddr,
    pub hook: Hook,
    /// Folder on bpffs that holds pinned maps and links.
    pub pin_dir: PathBuf,
    /// Connections that the flow table has room for.
    pub connections: u32,
    pub source_ports: SourcePorts,
    pub timeouts: FlowTimeouts,
    /// Over how long the connections of a backend are reset that is down or has drained.
    pub reset_window: Duration,
    pub mss_clamp: MssClamp,
    /// About how old connections may become.
    pub max_age: Option<Duration>,
    /// Of which connections the programs tell.
    pub events: Events,
    /// aya-log's messages from the program go to tracing.
    pub log: bool,
    /// With the listener, what it accepts can be handed over.
    pub opens: Opens,
    /// No other agent carries connections that are on record here.
    pub is_alone: bool,
}

/// `SO_MARK` of the sockets of connections that are on record: the guard at egress knows them by it.
pub const MARK: u32 = 0xe916;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// TCX where the kernel has it, else clsact.
    Auto,
    Tcx,
    Clsact,
    /// In the driver, with TC behind it; TC alone where the driver refuses.
    Xdp,
    XdpGeneric,
}

/// A backend as the program knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub id: u16,
    pub address: SocketAddr,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendCounters {
    pub open: u64,
    pub opened: u64,
    pub bytes_to_backend: u64,
    pub bytes_to_client: u64,
    pub packets_to_backend: u64,
    pub packets_to_client: u64,
}

pub struct Kernel {
    tables: Tables,
    attached: Attached,
    inherited: Vec<(Target, Legacy)>,
    sweep: Sweep,
    /// Of those that the sweep has found too old.
    ender: Ender,
    reset: Option<Round>,
    reset_window: Duration,
    /// Whose counters each id's are.
    owners: BTreeMap<BackendId, SocketAddr>,
    locals: [Addr; MAX_LOCALS],
    sources: PortRange,
}

impl Kernel {
    /// Loads, takes over what an earlier agent pinned, attaches. On error nothing stays attached
    /// that was not attached before.
    pub fn attach(attachment: &Attachment) -> anyhow::Result<Self> {
        let is_first = !attachment.pin_dir.exists();
        Self::take_over(attachment).inspect_err(|_| {
            if is_first && let Err(error) = detach::clear(&attachment.pin_dir) {
                warn!("what the attempt has left: {error:#}");
            }
        })
    }

    fn take_over(attachment: &Attachment) -> anyhow::Result<Self> {
        let interface = host::Interface::find(&attachment.interface, attachment.listen)?;
        let sources = source_ports(attachment.source_ports)?;
        let pins = Pins::prepare(&attachment.pin_dir)?;
        let mut ebpf = load::load(&pins, attachment)?;
        let mut tables = Tables::take(&mut ebpf)?;
        let mut reserved = Reserved::take(&mut ebpf)?;
        if attachment.log {
            load::forward_logs(&mut ebpf).context("cannot read the program's log")?;
        }
        if let Some(earlier) = tables.interface()?.filter(|index| *index != interface.index) {
            attach::leave(&pins, earlier);
        }
        if attachment.is_alone {
            match tables.forget_relayed()? {
                0 => {}
                left => info!("{left} connections of an agent that has died are forgotten"),
            }
        }
        let inherited = tables.inherited()?;
        let owners = inherited.iter().map(|(known, _)| (BackendId(known.id), known.address));
        let setting = Setting {
            listen: attachment.listen.port(),
            sources: sources.range,
            mss_clamp: attachment.mss_clamp.get().map_or(0, NonZeroU16::get),
            events: events(attachment),
            opens: attachment.opens,
            mark: if attachment.opens == Opens::Listener { MARK } else { 0 },
        };
        let (hook, opens) = (attachment.hook, attachment.opens);
        let attach = || attach::attach(&mut ebpf, &pins, &interface, hook, opens);
        let attach = || tables.configured_while(&interface, &setting, attach);
        let (locals, attached) = reserved.reserved_while(&sources, attach)?;
        let max_age = attachment.max_age.map(MaxAge::new);
        Ok(Self {
            tables,
            attached,
            sweep: Sweep::new(attachment.timeouts, max_age),
            ender: Ender::default(),
            reset: None,
            reset_window: attachment.reset_window,
            owners: owners.collect(),
            inherited,
            locals,
            sources: sources.range,
        })
    }

    /// `tcx`, `clsact`, `xdp` or `xdp-generic`, as it came out.
    pub fn hook(&self) -> &'static str {
        self.attached.as_str()
    }

    /// Backends that an earlier agent left in the pinned maps, so that their ids stay theirs.
    pub fn inherited(&self) -> &[(Target, Legacy)] {
        &self.inherited
    }

    /// Puts these backends in force for new connections, all at once. Beyond [`MAX_BACKENDS`] the
    /// others are left out.
    pub fn publish(&mut self, generation: u64, live: &[Target]) -> anyhow::Result<()> {
        for target in live.iter().take(MAX_BACKENDS) {
            let id = BackendId(target.id);
            if self.owners.insert(id, target.address) != Some(target.address) {
                self.tables.reset_counters(id)?;
            }
        }
        self.tables.publish(generation, live)
    }

    pub fn counters(&self, id: u16) -> anyhow::Result<BackendCounters> {
        self.tables.counters(BackendId(id))
    }

    /// Packets dropped or left to the stack, by the reason's name; those that there were.
    pub fn reasons(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut reasons = BTreeMap::new();
        for reason in Reason::ALL {
            let count = self.tables.reason(*reason)?;
            if count > 0 {
                reasons.insert(reason.as_str().to_owned(), count);
            }
        }
        Ok(reasons)
    }

    pub fn counter(&self, counter: Counter) -> anyhow::Result<u64> {
        self.tables.counter(counter)
    }

    /// What the programs have told since the last look, of at most so many connections.
    pub fn events(&mut self, most: usize) -> Vec<FlowEvent> {
        self.tables.events(most)
    }

    pub const fn records(&self) -> &Records {
        self.tables.records()
    }

    /// Source ports towards the backends.
    pub const fn sources(&self) -> PortRange {
        self.sources
    }

    /// The addresses that events refer to by number.
    pub const fn locals(&self) -> [Addr; MAX_LOCALS] {
        self.locals
    }

    /// Deletes finished and idle flows from the next part of the table, and resets old ones.
    pub fn sweep(&mut self) -> anyhow::Result<Step> {
        self.tables.sweep(&mut self.sweep, &mut self.ender)
    }

    /// The connections of these backends are to be reset, by [`Kernel::reset`].
    pub fn bury(&mut self, mut doomed: Doomed) -> anyhow::Result<()> {
        let earlier = self.reset.take();
        doomed.extend(earlier.iter().flat_map(Round::doomed));
        let mut open = 0;
        for (id, address) in &self.owners {
            if doomed.contains_key(address) {
                open += self.tables.counters(*id)?.open;
            }
        }
        let round = Round::new(doomed, open, self.reset_window);
        self.reset = Some(match earlier {
            Some(earlier) => round.instead_of(earlier),
            None => round,
        });
        Ok(())
    }

    /// Resets a few more connections of doomed backends.
    pub fn reset(&mut self) -> anyhow::Result<(Resets, Vec<FlowEvent>)> {
        let Some(mut round) = self.reset.take() else {
            return Ok((Resets { is_over: true, ..Resets::default() }, Vec::new()));
        };
        let (resets, ended) = self.tables.reset(&mut round)?;
        self.reset = (!resets.is_over).then_some(round);
        Ok((resets, ended))
    }

    /// Entries that are in the flow table. It reads them all.
    pub fn entries(&self) -> io::Result<u64> {
        Scan::count(&self.records().flows)
    }

    /// Entries that the flow table has room for, two for each connection.
    pub fn capacity(&self) -> u64 {
        self.tables.capacity()
    }
}

/// The end of what was handed over is heard of, whoever wants to read of it.
fn events(attachment: &Attachment) -> Events {
    match (attachment.opens, attachment.events) {
        (Opens::Listener, Events::None) => Events::Closed,
        (_, events) => events,
    }
}
