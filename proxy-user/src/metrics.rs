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
    status::{BackendState, BackendStatus, ConsumerStatus, DnsStatus, RouteStatus, Status},
};

const STATES: [BackendState; 4] =
    [BackendState::Probing, BackendState::Live, BackendState::Draining, BackendState::Down];

/// One scrape.
#[derive(Debug)]
struct Scrape {
    status: Status,
    events: BTreeMap<Kind, u64>,
    /// By endpoint.
    transitions: BTreeMap<String, Transitions>,
}

type Labels = Vec<(&'static str, String)>;

pub fn render(
    status: Status,
    events: BTreeMap<Kind, u64>,
    transitions: BTreeMap<String, Transitions>,
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
        self.listener(&mut out)?;
        self.consumers(&mut out)
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
        let each = |value: fn(&DnsStatus) -> u64| self.by_endpoint(move |it| Some(value(&it.dns)));
        out.counter("enigate_dns_answers", "Good answers", each(|dns| dns.answers))?;
        out.counter("enigate_dns_failures", "Lookups that failed", each(|dns| dns.failures))?;
        let addresses = each(|dns| dns.addresses.len() as u64);
        out.gauge("enigate_dns_addresses", "In the last good answer", addresses)?;
        let ttl = self.by_endpoint(|route| route.dns.ttl_seconds);
        out.gauge("enigate_dns_ttl_seconds", "Of the last good answer", ttl)?;
        let age = self.by_endpoint(|route| route.dns.age_seconds);
        out.gauge("enigate_dns_age_seconds", "Since the resolver last gave it", age)?;
        let saved = each(|dns| u64::from(dns.source.as_deref() == Some("saved")));
        out.gauge("enigate_dns_saved", "1 while it is from disk", saved)?;
        let refused = self.status.routes.iter().flat_map(|route| {
            let of_route = |(why, n): (&String, &u64)| (and(of(route), "reason", why), *n);
            route.dns.refused.iter().map(of_route)
        });
        out.counter("enigate_dns_refused", "Addresses left out of answers", refused)
    }

    fn backends(&self, out: &mut Writer<'_>) -> fmt::Result {
        let generation = self.by_endpoint(|route| Some(route.generation));
        out.gauge("enigate_generation", "Of the backends' snapshot", generation)?;
        let states = self.status.routes.iter().flat_map(|route| {
            STATES.map(|state| {
                let count = route.backends.iter().filter(|backend| backend.state == state).count();
                (and(of(route), "state", state_name(state)), count as u64)
            })
        });
        out.gauge("enigate_backends", "By state", states)?;
        let transitions = self.transitions.iter().flat_map(|(endpoint, transitions)| {
            transitions.all().map(move |(from, to, count)| {
                (and(and(label("endpoint", endpoint), "from", from), "to", to), count)
            })
        });
        let help = "Changes of a backend's state";
        out.counter("enigate_backend_transitions", help, transitions)?;
        self.connections(out)?;
        self.traffic(out)?;
        let probes = self.each_way("result", ["passed", "failed"], |backend| {
            [backend.probe.passed, backend.probe.failed]
        });
        out.counter("enigate_backend_probes", "Probes by result", probes)?;
        let suspected = self.each(|backend| backend.probe.suspected);
        let help = "Times that connections gave reason to probe sooner";
        out.counter("enigate_backend_suspected", help, suspected)
    }

    fn connections(&self, out: &mut Writer<'_>) -> fmt::Result {
        let open = self.each(|backend| backend.open);
        out.gauge("enigate_backend_connections_open", "Connections open now", open)?;
        let opened = self.each(|backend| backend.opened);
        out.counter("enigate_backend_connections", "Connections opened", opened)?;
        let closed = self.each(|backend| backend.opened.saturating_sub(backend.open));
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
        out.counter("enigate_listener_failures", "Refused or broken, by reason", failures)?;
        self.sockmap(out)?;
        self.handover(out)
    }

    fn handover(&self, out: &mut Writer<'_>) -> fmt::Result {
        let Some(handover) = &self.status.datapath.handover else { return Ok(()) };
        let plain = |value| [(vec![], value)];
        let help = "Connections accepted here that the program carries";
        out.gauge("enigate_handover_open", help, plain(handover.open))?;
        let help = "Relayed connections that may still be handed over";
        out.gauge("enigate_handover_pending", help, plain(handover.pending))?;
        let help = "Connections handed over";
        out.counter("enigate_handover_connections", help, plain(handover.handed_over))?;
        let help = "Times that a connection was offered to the program";
        out.counter("enigate_handover_armed", help, plain(handover.armed))?;
        let help = "Packets of the agent's sockets kept from the wire after their handover";
        out.counter("enigate_handover_guarded", help, plain(handover.guarded))?;
        let relayed = handover.relayed.iter().map(|(why, n)| (label("reason", why), *n));
        out.counter("enigate_handover_relayed", "Relayed to their end, by reason", relayed)
    }

    fn sockmap(&self, out: &mut Writer<'_>) -> fmt::Result {
        let Some(sockmap) = &self.status.datapath.sockmap else { return Ok(()) };
        out.gauge("enigate_sockmap_open", "Connections in the map", [(vec![], sockmap.open)])?;
        let spliced = [(vec![], sockmap.spliced)];
        out.counter("enigate_sockmap_spliced", "Connections put into the map", spliced)?;
        let fell_back = sockmap.fell_back.iter().map(|(why, n)| (label("reason", why), *n));
        out.counter("enigate_sockmap_fell_back", "Left to user space for good", fell_back)
    }

    fn consumers(&self, out: &mut Writer<'_>) -> fmt::Result {
        let each = |value: fn(&ConsumerStatus) -> u64| {
            let consumers = self.status.listener.consumers.iter();
            consumers.map(move |(vpce, consumer)| (label("vpce", vpce), value(consumer)))
        };
        let help = "Connections open now, by the consumer's VPC endpoint";
        out.gauge("enigate_consumer_connections_open", help, each(|consumer| consumer.open))?;
        let help = "Connections that reached a backend, by the consumer's VPC endpoint";
        out.counter("enigate_consumer_connections", help, each(|consumer| consumer.opened))?;
        let ways = ["to_backend", "to_client"];
        let bytes = self.status.listener.consumers.iter().flat_map(|(vpce, consumer)| {
            let values = [consumer.bytes_to_backend, consumer.bytes_to_client];
            let of_way = |(way, n): (&str, u64)| (and(label("vpce", vpce), "direction", way), n);
            ways.into_iter().zip(values).map(of_way).collect::<Vec<_>>()
        });
        out.counter("enigate_consumer_bytes", "Of payload, by the consumer's VPC endpoint", bytes)
    }

    fn by_endpoint(
        &self,
        value: impl Fn(&RouteStatus) -> Option<u64>,
    ) -> impl Iterator<Item = (Labels, u64)> {
        self.status.routes.iter().filter_map(move |route| Some((of(route), value(route)?)))
    }

    fn each(&self, value: fn(&BackendStatus) -> u64) -> impl Iterator<Item = (Labels, u64)> {
        self.each_backend().map(move |(labels, backend)| (labels, value(backend)))
    }

    fn each_way<'a>(
        &'a self,
        key: &'static str,
        ways: [&'static str; 2],
        values: fn(&BackendStatus) -> [u64; 2],
    ) -> impl Iterator<Item = (Labels, u64)> + 'a {
        self.each_backend().flat_map(move |(labels, backend)| {
            let of_way = move |(way, value)| (and(labels.clone(), key, way), value);
            ways.into_iter().zip(values(backend)).map(of_way)
        })
    }

    fn each_backend(&self) -> impl Iterator<Item = (Labels, &BackendStatus)> {
        self.status.routes.iter().flat_map(|route| {
            let labels = |backend: &BackendStatus| and(of(route), "backend", &backend.address);
            route.backends.iter().map(move |backend| (labels(backend), backend))
        })
    }
}

fn label(key: &'static str, value: &str) -> Labels {
    vec![(key, value.into())]
}

fn and(mut labels: Labels, key: &'static str, value: &(impl ToString + ?Sized)) -> Labels {
    labels.push((key, value.to_string()));
    labels
}

fn of(route: &RouteStatus) -> Labels {
    label("endpoint", &route.endpoint)
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
