//! The real executable as a client against the real executable as a server: what a person at a terminal lives through.
//!
//! Every test has its own folders, ports, server and session. Connections run through a [`relay`] where a test has to
//! come at a moment in the middle: it slows the bytes down and counts them, independently of both sides.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(clippy::print_stdout, reason = "the harness shows it where a test fails")]

mod admin;
mod bench;
mod changed;
mod codes;
mod commands;
mod download;
mod inspect;
mod kills;
mod recording;
mod relay;
mod resume;
mod run;
mod schedule;
mod schema;
mod secrets;
mod server;
mod setup;
mod sources;
mod stop;
mod terminal;
mod tls;
mod words;
mod world;

/// A mebibyte.
pub(crate) const MIB: u64 = 1 << 20;
