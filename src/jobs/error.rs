//! Why a call about a long job is refused.

use crate::{db::DbError, domain::job_state::JobState, uploads::UploadError};

/// Why a call about a long job is refused; nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JobError {
    /// No such job that the caller may see.
    #[error("invalid field[uuid], resource[uuid:{uuid}, type:LongJobVO] not found")]
    NotFound {
        /// What was asked for.
        uuid: String,
    },
    /// No such image that the caller may see.
    #[error("invalid field[uuid], resource[uuid:{uuid}, type:ImageVO] not found")]
    ImageNotFound {
        /// What was asked for.
        uuid: String,
    },
    /// No such tag that the caller may see.
    #[error("invalid field[uuid], resource[uuid:{uuid}, type:TagVO] not found")]
    TagNotFound {
        /// What was asked for.
        uuid: String,
    },
    /// A field cannot be taken (code SYS.1007); the words name it.
    #[error("{0}")]
    Invalid(String),
    /// The job's state does not allow it (code SYS.1007).
    #[error("{words}")]
    WrongState {
        /// The state that it is in.
        state: JobState,
        /// ZStack's words where it has some.
        words: String,
    },
    /// The call does not fit this job at all (code LONG_JOB.1003).
    #[error("{0}")]
    Unsupported(String),
    /// Nothing can store the image now (code SYS.1006).
    #[error("{0}")]
    NoStorage(String),
    /// Too many unfinished uploads (code ID.1003).
    #[error("{0}")]
    Quota(String),
    /// Many others changed the job at the same time; try again.
    #[error("the job changed while the call was at work; try again")]
    Contended,
    /// The upload refused.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The records cannot be reached.
    #[error(transparent)]
    Db(#[from] DbError),
}
