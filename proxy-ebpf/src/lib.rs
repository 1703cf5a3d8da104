//! The packet path: what becomes of one frame.
//!
//! The core is generic over the frame ([`packet::Packet`]) and its surroundings
//! ([`environment::Environment`]), so that the host tests the very code that the kernel runs.
//! Read [`forward::forward`] first.

#![no_std]

pub mod checksum;
pub mod environment;
pub mod exits;
pub mod flip;
pub mod forward;
pub mod guard;
pub mod handover;
pub mod icmp;
pub mod life;
pub mod mss;
pub mod options;
pub mod packet;
pub mod parse;
pub mod seen;
pub mod select;
pub mod shift;
pub mod splice;
pub mod track;
pub mod translate;

#[cfg(any(test, feature = "testing"))]
pub mod fake;
