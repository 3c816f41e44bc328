//! What an image is, judged by its bytes while they flow.
//!
//! An [`Inspector`] is fed bytes, best in order from the first on, and says as soon as it is proven why an image is not to be taken:
//! because it is something else than it was said to be, names other files on the machine that opens it, is several formats at once,
//! is cut off, or has a header that no program writes.
//!
//! # Guarantees
//! * Nothing is opened, executed or followed: a few parts at fixed places are looked at, or at places that a header names.
//! * It holds at most [`HELD_BYTES_MAX`] bytes, whatever the bytes say, and never panics.
//! * The verdict depends on the bytes alone, not on how they were split or in which order they came.
//! * Bytes that passed before it was known that they matter are named by [`Inspector::wanted`] and can be fed again.
//! * [`Inspector::save`] gives its state in at most [`SAVED_BYTES_MAX`] bytes; what was collected but not yet judged is not in it and is
//!   wanted again.
//!
//! The caller sees to it that what it feeds are the bytes that are stored. Whoever opens an image with another program names the
//! format to it (`-f`) and limits what that program may do: this looks at headers, not at everything behind them.

mod descriptor;
mod facts;
mod fields;
mod finding;
mod format;
mod inspector;
mod iso;
mod luks;
mod partitions;
mod qcow2;
mod region;
mod rules;
mod saved;
mod sector;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;

#[cfg(test)]
mod tests;

pub use finding::{Finding, Kind, Level};
pub use format::{Format, Formats, PartitionTable};
pub use inspector::{HELD_BYTES_MAX, Inspector, Report};
pub use rules::Rules;
pub use saved::SAVED_BYTES_MAX;
