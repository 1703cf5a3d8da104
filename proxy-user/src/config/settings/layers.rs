//! One layer of settings over another.

use super::Settings;

impl Settings {
    /// These settings where they are given, the lower layer's where not.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        Self {
            endpoint: self.endpoint.or(lower.endpoint),
            listen: self.listen.or(lower.listen),
            datapath: self.datapath.or(lower.datapath),
            handover_after: self.handover_after.or(lower.handover_after),
            hook: self.hook.or(lower.hook),
            interface: self.interface.or(lower.interface),
            resolver: first(self.resolver, lower.resolver),
            min_ttl: self.min_ttl.or(lower.min_ttl),
            max_ttl: self.max_ttl.or(lower.max_ttl),
            state_dir: self.state_dir.or(lower.state_dir),
            health: self.health.or(lower.health),
            ca: self.ca.or(lower.ca),
            health_interval: self.health_interval.or(lower.health_interval),
            health_timeout: self.health_timeout.or(lower.health_timeout),
            fall: self.fall.or(lower.fall),
            rise: self.rise.or(lower.rise),
            absent_grace: self.absent_grace.or(lower.absent_grace),
            drain: self.drain.or(lower.drain),
            max_age: self.max_age.or(lower.max_age),
            prefer_zone: self.prefer_zone.or(lower.prefer_zone),
            proxy_protocol: self.proxy_protocol.or(lower.proxy_protocol),
            header_timeout: self.header_timeout.or(lower.header_timeout),
            allow_source: first(self.allow_source, lower.allow_source),
            allow_vpce: first(self.allow_vpce, lower.allow_vpce),
            sni: first(self.sni, lower.sni),
            max_connections: self.max_connections.or(lower.max_connections),
            max_connections_per_source: self
                .max_connections_per_source
                .or(lower.max_connections_per_source),
            max_connections_per_vpce: self
                .max_connections_per_vpce
                .or(lower.max_connections_per_vpce),
            connect_timeout: self.connect_timeout.or(lower.connect_timeout),
            keepalive: self.keepalive.or(lower.keepalive),
            user_timeout: self.user_timeout.or(lower.user_timeout),
            half_close_timeout: self.half_close_timeout.or(lower.half_close_timeout),
            table_size: self.table_size.or(lower.table_size),
            source_ports: self.source_ports.or(lower.source_ports),
            timeout_syn: self.timeout_syn.or(lower.timeout_syn),
            timeout_idle: self.timeout_idle.or(lower.timeout_idle),
            timeout_closing: self.timeout_closing.or(lower.timeout_closing),
            reset_window: self.reset_window.or(lower.reset_window),
            mss_clamp: self.mss_clamp.or(lower.mss_clamp),
            pin_dir: self.pin_dir.or(lower.pin_dir),
            admin: self.admin.or(lower.admin),
            log_format: self.log_format.or(lower.log_format),
            log_level: self.log_level.or(lower.log_level),
            flow_log: self.flow_log.or(lower.flow_log),
            ebpf_log: self.ebpf_log.or(lower.ebpf_log),
            drain_accept: self.drain_accept.or(lower.drain_accept),
            drain_deadline: self.drain_deadline.or(lower.drain_deadline),
            route: first(self.route, lower.route),
        }
    }
}

/// A list is given as a whole.
fn first<T>(given: Vec<T>, lower: Vec<T>) -> Vec<T> {
    if given.is_empty() { lower } else { given }
}
