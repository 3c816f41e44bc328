//! The offset-tracked store: bytes of uploads on their way to become images. No HTTP, no SQL, no job words.
//!
//! # Invariants
//! Every backend keeps these; the conformance suite shows each.
//!
//! * **I1 durable**: what is acknowledged is on stable storage; the digest state of a checkpoint belongs exactly to its hashed offset.
//! * **I2 monotone**: the acknowledged offset never falls, also across a crash, until the upload is discarded.
//! * **I3 immutable**: acknowledged bytes are never overwritten.
//! * **I4 fenced**: a process whose owner epoch is old changes nothing and is told [`StoreError::Fenced`].
//! * **I5** publishing is atomic and idempotent: the image is there whole under its name, or not at all.
//! * **I6** discarding is idempotent and leaves nothing behind.
//! * **I7** a staging entry that no record knows is set aside, never deleted, at recovery.
//! * **I8** every operation ends: each wait has a bound, and whoever waits is told why it ended.

pub mod checkpoint;
pub mod claims;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod digest;
mod error;
pub mod extents;
pub mod inspect;
pub mod kill;
mod limits;
pub mod local;
pub mod memory;
mod store;

pub use error::{Result, StoreError};
pub use limits::{Durability, Limits};
pub use store::{
    Acknowledged, Chunk, Claimed, Ended, Finished, ImageKey, ImageStore, Owned, RangeWriter, Space,
    Statistics, StoreRecovery, UploadKey, UploadPhase, UploadSpec, UploadState, UploadStore,
    WholeImages,
};
