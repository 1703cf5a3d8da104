//! The enigate agent as a library, so that the lab and the tests run the very same thing.

mod admin;
pub mod agent;
pub mod backends;
mod carriers;
pub mod cli;
pub mod client;
mod cluster;
pub mod config;
mod control;
pub mod datapath;
pub mod discovery;
pub mod doctor;
pub mod environment;
mod files;
pub mod health;
pub mod journal;
mod lifecycle;
mod listeners;
pub mod logging;
mod metrics;
mod report;
pub mod status;
mod succession;
pub mod table;
mod tcp;
mod zone;
