//! The agent of the self-test: takes connections with a PROXY header to the one backend, and hands
//! each over at once.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use proxy_common::{
    backend::BackendId,
    config::{Events, Opens},
};
use tokio::sync::watch;

use super::{BACKEND, INTERFACE, LISTEN, PINS};
use crate::{
    backends::{Backend, Snapshot},
    config::{FlowTimeouts, HandoverAfter, Legs, MssClamp, SourcePorts},
    datapath::{
        carry::Carrier,
        handover::Handover,
        kernel::{Attachment, Hook, Kernel},
        ledger::Ledger,
        limits::Limits,
        listener::{Bound, Room},
        mover::Mover,
        preface::Wants,
        reach::Reach,
        relay::{Manner, Pipes},
        routes::{Route, Routes},
        tally::Tally,
    },
    discovery::Refresh,
    health::Suspects,
    journal::Journal,
    lifecycle::Phase,
    status::BackendState,
};

const CONNECTIONS: u32 = 64;
const SOON: Duration = Duration::from_secs(10);

/// Says on standard output when it listens, and goes on until it is killed.
pub async fn serve() -> anyhow::Result<()> {
    let bound = Bound::new(LISTEN.into(), Legs::default(), Room::HandedOver, Vec::new())?;
    let kernel = Kernel::attach(&attachment()).context("attaching")?;
    let at_once = HandoverAfter { bytes: 0, age: Duration::ZERO };
    let handover = Handover::new(&kernel, LISTEN.into(), at_once, bound.copies()?)?;
    let (_known, snapshots) = watch::channel(Arc::new(snapshot()));
    let (_phase, serving) = watch::channel(Phase::Serving);
    let listener = bound.serve(carrier(handover, snapshots), Journal::default());
    println!("listening");
    listener.run(serving).await;
    Ok(())
}

fn attachment() -> Attachment {
    Attachment {
        interface: INTERFACE.into(),
        listen: LISTEN.into(),
        hook: Hook::Auto,
        pin_dir: PINS.into(),
        connections: CONNECTIONS,
        source_ports: SourcePorts::Auto,
        timeouts: FlowTimeouts::default(),
        reset_window: Duration::ZERO,
        mss_clamp: MssClamp::default(),
        max_age: None,
        events: Events::None,
        log: false,
        opens: Opens::Listener,
        is_alone: true,
    }
}

fn snapshot() -> Snapshot {
    let backend = Backend {
        id: BackendId(0),
        address: SocketAddr::from(BACKEND),
        state: BackendState::Live,
        resolved: true,
        own_zone: false,
        segment: 0,
    };
    Snapshot {
        generation: 1,
        is_judged: true,
        backends: vec![backend],
        doomed: BTreeMap::new(),
        ..Snapshot::default()
    }
}

fn carrier(handover: Handover, snapshots: watch::Receiver<Arc<Snapshot>>) -> Carrier {
    let tally = Arc::<Tally>::default();
    let reach = Reach {
        snapshots,
        suspects: Suspects::new(Refresh::default()),
        ledger: Arc::<Ledger>::default(),
        tally: tally.clone(),
        limit: SOON,
        legs: Legs::default(),
    };
    Carrier {
        routes: Routes::All(Arc::new(Route { reach, vpces: Vec::new() })),
        wants: Wants { proxy_protocol: true, server_name: false, header_timeout: SOON },
        sources: Vec::new(),
        limits: Arc::new(Limits::new(None, CONNECTIONS.into(), None, None)),
        manner: Manner { half_closed: SOON, pipes: Pipes::new(2, tally.clone()) },
        flow_log: Events::None,
        tally,
        mover: Mover::Handover(Arc::new(handover)),
    }
}
