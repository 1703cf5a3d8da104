//! A moment in the life of the demo, for tests of what is shown.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use proxy_user::status::{
    BackendState, BackendStatus, DatapathStatus, DnsStatus, Event, ListenerStatus, ProbeStatus,
    RouteStatus, Status,
};

use crate::{counts::Counts, demo::model::Model, plan::ENDPOINT, rotation::RotationReport};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("in range")
}

/// 100 s after the start, 7 s before the fourth rotation.
pub(crate) fn model() -> Model {
    let mut model = Model::new(at(0), Duration::from_secs(10), at(10));
    for _ in 0..3 {
        model.rotated(at(97), Ok(report()), Some(at(107)));
    }
    model.reported(Ok(status()));
    model.counted(at(99), Counts::default());
    model.counted(at(100), counts());
    model
}

pub(crate) fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        started_at: at(0),
        ready: true,
        reason: None,
        datapath: datapath(),
        routes: vec![RouteStatus {
            endpoint: format!("{ENDPOINT}:443"),
            listen: ([0, 0, 0, 0], 443).into(),
            server_names: vec![],
            dns: dns(),
            generation: 7,
            backends: vec![
                backend(1, [10, 0, 21, 13], BackendState::Live),
                backend(2, [10, 0, 22, 14], BackendState::Live),
                backend(3, [10, 0, 23, 15], BackendState::Live),
                backend(4, [10, 0, 21, 10], BackendState::Draining),
            ],
        }],
        listener: ListenerStatus::default(),
        reasons: [("no_backend".to_owned(), 2)].into(),
        events: events(),
    }
}

fn datapath() -> DatapathStatus {
    DatapathStatus {
        name: "packet".into(),
        reason: "nothing to read from the client".into(),
        hook: Some("tcx".into()),
        interface: Some("eth0".into()),
        flow_entries: 24,
        flow_capacity: 131_072,
        flow_events_lost: 0,
        mss_clamped: 0,
        sockmap: None,
        handover: None,
        resets: BTreeMap::new(),
    }
}

fn dns() -> DnsStatus {
    DnsStatus {
        resolvers: vec!["10.0.0.2:53".into()],
        addresses: [[10, 0, 21, 13], [10, 0, 22, 14], [10, 0, 23, 15]].map(Into::into).into(),
        ttl_seconds: Some(2),
        next_in_ms: Some(1300),
        answers: 49,
        failures: 0,
        ..DnsStatus::default()
    }
}

fn backend(id: u16, address: [u8; 4], state: BackendState) -> BackendStatus {
    BackendStatus {
        id,
        address: (address, 443).into(),
        state,
        resolved: state == BackendState::Live,
        own_zone: false,
        probe: ProbeStatus { last_ms: Some(0.4), passed: 50, ..ProbeStatus::default() },
        open: 4,
        opened: 120,
        bytes_to_backend: 400_000,
        bytes_to_client: 2_000_000,
        packets_to_backend: 900,
        packets_to_client: 1800,
    }
}

fn events() -> Vec<Event> {
    let oldest = (0, "lifecycle", "the oldest event".to_owned());
    let answers = (90..96).map(|second| (second, "dns", "answer: 10.0.21.13 …".to_owned()));
    let newest = (98, "dns", "answer: 10.0.21.13 10.0.22.14 10.0.23.15".to_owned());
    std::iter::once(oldest)
        .chain(answers)
        .chain([newest])
        .map(|(second, kind, message)| Event { at: at(second), kind: kind.into(), message })
        .collect()
}

fn report() -> RotationReport {
    RotationReport {
        old: vec![([10, 0, 21, 10], 443).into()],
        new: vec![([10, 0, 21, 13], 443).into()],
        created: Duration::from_millis(90),
        moved: Some(Duration::from_millis(1900)),
        drained: Duration::from_millis(200),
    }
}

fn counts() -> Counts {
    Counts {
        requests: 4211,
        watches: 3,
        watches_reopened: 9,
        bytes: 41_300_000,
        p50: Duration::from_micros(1200),
        p99: Duration::from_micros(8400),
        ..Counts::default()
    }
}
