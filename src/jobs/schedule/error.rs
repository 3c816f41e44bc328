//! Why a call about what is scheduled is refused.

use crate::db::DbError;

/// Why a call about what is scheduled is refused; nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ScheduleError {
    /// The caller is no admin. Told before anything is looked at, so that nobody learns what there is.
    #[error("only an admin may change or run what is scheduled; nothing was changed")]
    NotAdmin,
    /// No such thing.
    #[error("invalid field[uuid], resource[uuid:{uuid}, type:{kind}] not found")]
    NotFound {
        /// What was asked for.
        uuid: String,
        /// ZStack's name of its kind.
        kind: &'static str,
    },
    /// A field cannot be taken; the words name it.
    #[error("{0}")]
    Invalid(String),
    /// There are as many as there may be.
    #[error("there are {max} {what} already, which is as many as there may be; delete one first")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: u64,
    },
    /// The job runs at this moment.
    #[error(
        "the job[uuid:{uuid}] is at work; look at its history, and run it again when it has ended"
    )]
    Busy {
        /// The job.
        uuid: String,
    },
    /// A fire or another change came between.
    #[error("it fired or was changed while the call was at work; nothing was changed: try again")]
    Contended,
    /// The records cannot be reached.
    #[error(transparent)]
    Db(#[from] DbError),
}
