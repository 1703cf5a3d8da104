//! `/metrics`: what `/status` says, in Prometheus' text format.

use std::{collections::BTreeMap, fmt};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};

use crate::{
    backends::{Transitions, state_name},
    journal::Kind,
    status::{BackendState, BackendStatus, Status},
};

const STATES: [BackendState; 4] =
    [BackendState::Probing, BackendState::Live, BackendState::Draining, BackendState::Down];

/// One scrape.
#[derive(Debug)]
struct Scrape {
    status: Status,
    events: BTreeMap<Kind, u64>,
    transitions: Transitions,
}

type Labels = Vec<(&'static str, String)>;

pub fn render(
    status: Status,
    events: BTreeMap<Kind, u64>,
    transitions: Transitions,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { status, events, transitions }));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut out = Writer(encoder);
        self.agent(&mut out)?;
        self.dns(&mut out)?;
        self.backends(&mut out)?;
        self.datapath(&mut out)?;
        self.listener(&mut out)
    }
}

impl Scrape {
    fn agent(&self, out: &mut Writer<'_>) -> fmt::Result {
        let status = &self.status;
        out.info("enigate_build", "The agent", &label("version", &status.version))?;
        out.gauge("enigate_ready", "1 while /readyz says ok", [(vec![], status.ready.into())])?;
        let events = self.events.iter().map(|(kind, n)| (label("kind", kind.as_str()), *n));
        out.counter("enigate_events", "Events, as listed in /status", events)
    }

    fn dns(&self, out: &mut Writer<'_>) -> fmt::Result {
        let dns = &self.status.dns;
        out.counter("enigate_dns_answers", "Good answers", [(vec![], dns.answers)])?;
        out.counter("enigate_dns_failures", "Lookups that failed", [(vec![], dns.failures)])?;
        let addresses = dns.addresses.len() as u64;
        out.gauge("enigate_dns_addresses", "In the last good answer", [(vec![], addresses)])?;
        let ttl = dns.ttl_seconds.into_iter().map(|ttl| (vec![], ttl));
        out.gauge("enigate_dns_ttl_seconds", "Of the last good answer", ttl)?;
        let age = dns.age_seconds.into_iter().map(|age| (vec![], age));
        out.gauge("enigate_dns_age_seconds", "Since the resolver last gave it", age)?;
        let saved = u64::from(dns.source.as_deref() == Some("saved"));
        out.gauge("enigate_dns_saved", "1 while it is from disk", [(vec![], saved)])?;
        let refused = dns.refused.iter().map(|(why, n)| (label("reason", why), *n));
        out.counter("enigate_dns_refused", "Addresses left out of answers", refused)
    }

    fn backends(&self, out: &mut Writer<'_>) -> fmt::Result {
        let generation = self.status.generation;
        out.gauge("enigate_generation", "Of the backends' snapshot", [(vec![], generation)])?;
        let states = STATES.map(|state| {
            let count = self.status.backends.iter().filter(|backend| backend.state == state);
            (label("state", state_name(state)), count.count() as u64)
        });
        out.gauge("enigate_backends", "By state", states)?;
        let transitions = self.transitions.all().map(|(from, to, count)| {
            (vec![("from", from.to_owned()), ("to", to.to_owned())], count)
        });
        let help = "Changes of a backend's state";
        out.counter("enigate_backend_transitions", help, transitions)?;
        self.connections(out)?;
        self.traffic(out)?;
        let probes = self.each_way("result", ["passed", "failed"], |backend| {
            [backend.probe.passed, backend.probe.failed]
        });
        out.counter("enigate_backend_probes", "Probes by result", probes)?;
        let backends = self.status.backends.iter();
        let suspected = backends.map(|backend| (of(backend), backend.probe.suspected));
        let help = "Times that connections gave reason to probe sooner";
        out.counter("enigate_backend_suspected", help, suspected)
    }

    fn connections(&self, out: &mut Writer<'_>) -> fmt::Result {
        let each = |value: fn(&BackendStatus) -> u64| {
            self.status.backends.iter().map(move |backend| (of(backend), value(backend)))
        };
        let open = each(|backend| backend.open);
        out.gauge("enigate_backend_connections_open", "Connections open now", open)?;
        let opened = each(|backend| backend.opened);
        out.counter("enigate_backend_connections", "Connections opened", opened)?;
        let closed = each(|backend| backend.opened.saturating_sub(backend.open));
        out.counter("enigate_backend_connections_closed", "Connections that ended", closed)
    }

    fn traffic(&self, out: &mut Writer<'_>) -> fmt::Result {
        let ways = ["to_backend", "to_client"];
        let bytes = self.each_way("direction", ways, |backend| {
            [backend.bytes_to_backend, backend.bytes_to_client]
        });
        let help = "Of IP packets on the packet path, of payload on the relay";
        out.counter("enigate_backend_bytes", help, bytes)?;
        let packets = self.each_way("direction", ways, |backend| {
            [backend.packets_to_backend, backend.packets_to_client]
        });
        out.counter("enigate_backend_packets", "Packets on the packet path", packets)
    }

    fn datapath(&self, out: &mut Writer<'_>) -> fmt::Result {
        let datapath = &self.status.datapath;
        let or_none = |value: &Option<String>| value.clone().unwrap_or_default();
        let labels = vec![
            ("name", datapath.name.clone()),
            ("hook", or_none(&datapath.hook)),
            ("interface", or_none(&datapath.interface)),
            ("reason", datapath.reason.clone()),
        ];
        out.info("enigate_datapath", "What moves the bytes, and why", &labels)?;
        let entries = [(vec![], datapath.flow_entries)];
        out.gauge("enigate_flow_entries", "Two for each connection", entries)?;
        let capacity = [(vec![], datapath.flow_capacity)];
        out.gauge("enigate_flow_capacity", "Entries that the table has room for", capacity)?;
        let lost = [(vec![], datapath.flow_events_lost)];
        out.counter("enigate_flow_events_lost", "That could not be logged", lost)?;
        let clamped = [(vec![], datapath.mss_clamped)];
        out.counter("enigate_mss_clamped", "SYNs whose MSS was lowered", clamped)?;
        let resets = datapath.resets.iter().map(|(why, n)| (label("reason", why), *n));
        let help = "Connections of the packet path that the agent has ended";
        out.counter("enigate_connections_reset", help, resets)?;
        let reasons = self.status.reasons.iter().map(|(why, n)| (label("reason", why), *n));
        out.counter("enigate_packets_not_forwarded", "Dropped or left to the stack", reasons)
    }

    fn listener(&self, out: &mut Writer<'_>) -> fmt::Result {
        let listener = &self.status.listener;
        let accepted = [(vec![], listener.accepted)];
        out.counter("enigate_listener_accepted", "Connections accepted", accepted)?;
        let relayed = [(vec![], listener.relayed)];
        out.counter("enigate_listener_relayed", "Connections that reached a backend", relayed)?;
        out.gauge("enigate_listener_open", "Connections open now", [(vec![], listener.open)])?;
        let failures = listener.failures.iter().map(|(why, n)| (label("reason", why), *n));
        out.counter("enigate_listener_failures", "Refused or broken, by reason", failures)
    }

    fn each_way<'a>(
        &'a self,
        key: &'static str,
        ways: [&'static str; 2],
        values: fn(&BackendStatus) -> [u64; 2],
    ) -> impl Iterator<Item = (Labels, u64)> + 'a {
        self.status.backends.iter().flat_map(move |backend| {
            ways.into_iter().zip(values(backend)).map(|(way, value)| {
                let mut labels = of(backend);
                labels.push((key, way.into()));
                (labels, value)
            })
        })
    }
}

fn label(key: &'static str, value: &str) -> Labels {
    vec![(key, value.into())]
}

fn of(backend: &BackendStatus) -> Labels {
    label("backend", &backend.address.to_string())
}

struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn counter(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        self.each(name, help, MetricType::Counter, values, |metric, value| {
            metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
        })
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        self.each(name, help, MetricType::Gauge, values, |metric, value| {
            metric.encode_gauge(&value)
        })
    }

    fn each(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: impl IntoIterator<Item = (Labels, u64)>,
        encode: fn(&mut MetricEncoder<'_>, u64) -> fmt::Result,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            match labels.is_empty() {
                true => encode(&mut metric, value)?,
                false => encode(&mut metric.encode_family(&labels)?, value)?,
            }
        }
        Ok(())
    }

    fn info(&mut self, name: &str, help: &str, labels: &Labels) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(labels)
    }
}
