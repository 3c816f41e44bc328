//! Longshore: a resumable upload service for virtual-machine images. ARCHITECTURE.md is the map.

pub mod cli;
pub mod client;
pub mod db;
pub mod domain;
pub mod wire;
