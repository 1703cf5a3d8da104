//! The enigate agent as a library, so that the lab and the tests run the very same thing.

pub mod config;
pub mod datapath;
pub mod status;
