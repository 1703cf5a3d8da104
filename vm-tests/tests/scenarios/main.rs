//! Scenarios in a small VPC out of network namespaces: they need root and the built agent.

mod setting;

mod agent_life;
mod backend_life;
mod churn;
mod crash;
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
mod mss_clamp;
mod no_live_backend;
mod path_mtu;
mod probes;
mod relay;
mod requests;
mod rotation;
mod shortage;
mod silent_eni;
mod sockmap;
mod stalled_reader;
mod syn_flood;
mod unprivileged;
