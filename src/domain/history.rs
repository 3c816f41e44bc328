//! What a job has been through.

use super::{clock::EpochMs, job_state::JobState};

/// A job came to a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// When.
    pub at_ms: EpochMs,
    /// The state from then on.
    pub state: JobState,
    /// Why, and by whom, in words.
    pub cause: String,
}
