//! Scenarios in a small VPC out of network namespaces: they need root and the built agent.

mod relayed;
mod setting;

mod agent_life;
mod backend_life;
mod churn;
mod conversations;
mod crash;
mod crowd;
mod discovery;
mod discovery_lies;
mod endings;
mod families;
mod flow_log;
mod foreign_programs;
mod hook_changes;
mod hooks;
mod idle_clients;
mod kubectl;
mod limits;
mod mss_clamp;
mod no_live_backend;
mod path_mtu;
mod probes;
mod relay;
mod requests;
mod retries;
mod rotation;
mod shortage;
mod silent_eni;
mod slow_reader;
mod sockmap;
mod stalled_reader;
mod syn_flood;
mod unprivileged;
