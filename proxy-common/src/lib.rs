//! What the agent and the eBPF programs share, byte for byte.
//!
//! Everything here lies in a BPF map or is a key of one: the layout is part of what a restarted or
//! upgraded agent takes over, so a change of any size or meaning takes a new [`LAYOUT`].

#![no_std]

pub mod addr;
pub mod backend;
pub mod config;
pub mod counter;
pub mod event;
pub mod flow;
pub mod reason;
pub mod reserved;
pub mod splice;
pub mod stamp;
pub mod track;

/// Version of all map layouts together. Pinned maps of another version are never touched.
pub const LAYOUT: u32 = 4;
