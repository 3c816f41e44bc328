//! The promise under power cuts, on real file systems: `docs/durability.md` tells what each of these shows.
//!
//! `cuts` shuts an ext4 down under a working server, `replay` mounts every state that a crash could have left of a recorded
//! run, `trouble` has a disk that fails, is full, is read-only or is gone. All need root and loop devices.

#![expect(clippy::cast_possible_truncation, reason = "images of some MiB on 64 bits")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and tells its figures"
)]

mod client;
mod cuts;
mod disk;
mod ledger;
mod postgres;
mod replay;
#[path = "../shared/mod.rs"]
#[expect(dead_code, reason = "each suite uses its part of what they share")]
mod shared;
mod trouble;
mod verify;

/// The small blocks of these tests would all go through the page cache: with this, whole pages ahead of the digests go past it, so
/// that both ways are cut.
const PAST_CACHE: (&str, &str) = ("LONGSHORE_STORAGE__AHEAD_CACHE_BYTES_MAX", "0");
