//! A small VPC in which the real agent runs: network namespaces as root, plain loopback without.
//!
//! ```text
//!  client 10.0.0.20 ──┐                    ┌── ENI 10.0.21.x
//!                     ├── router ──────────┼── ENI 10.0.22.x
//!  proxy 10.0.10.10 ──┘   resolver         └── ENI 10.0.23.x
//!                         10.0.0.2
//! ```
//!
//! Each host has the same digits over IPv6: 10.0.21.10 is fd00:0:0:21::10 too.

mod admin;
mod agent;
mod apiserver;
mod banter;
mod client;
mod control_plane;
mod counts;
mod echo;
mod eni;
mod flood;
mod foreign;
mod held;
mod kubectl;
mod lab;
mod launch;
mod links;
mod load;
mod netns;
mod network;
mod nlb;
mod offloads;
mod options;
mod pki;
mod place;
mod plan;
mod pods;
mod programs;
mod resolver;
mod rotation;
mod routes;
mod service;
mod state;
mod talk;
mod tool;
mod transfer;
mod unbound;
mod wire;
mod worker;
mod zone;

pub mod bench;
pub mod demo;
pub mod guest;

pub use admin::Admin;
pub use agent::{Agent, Exit, Retired};
pub use banter::{Banter, Banters, Broken};
pub use client::{Client, Reply};
pub use counts::Counts;
pub use echo::RESET_ME;
pub use eni::{Eni, Subnet};
pub use foreign::{Foreign, NAME as FOREIGN, Spot};
pub use held::{Held, Pulse};
pub use lab::{Cluster, Lab, Options};
pub use links::XdpMode;
pub use load::{Load, Mix};
pub use nlb::Nlb;
pub use plan::ENDPOINT;
pub use programs::{Programs, has_tcx};
pub use rotation::{RotationReport, Step};
pub use service::{Heard, Service};
pub use talk::Topic;
pub use tool::has_nftables;
pub use transfer::Transfer;
pub use unbound::has_unbound;
pub use zone::{Lie, Zone};
