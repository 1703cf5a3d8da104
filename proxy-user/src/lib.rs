//! The enigate agent as a library, so that the lab and the tests run the very same thing.

pub mod backends;
pub mod config;
pub mod control;
pub mod datapath;
pub mod discovery;
pub mod health;
pub mod journal;
pub mod status;
