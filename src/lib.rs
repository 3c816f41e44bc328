//! Longshore: a resumable upload service for virtual-machine images. ARCHITECTURE.md is the map.

pub mod accounts;
pub mod cli;
pub mod client;
pub mod config;
pub mod db;
pub mod domain;
pub mod http;
pub mod jobs;
pub mod shutdown;
pub mod telemetry;
pub mod uploads;
pub mod wire;
