//! The port through which bytes wake jobs: `jobs` implements it, so that no arrow points back from bytes to jobs.

use async_trait::async_trait;

use super::{Refusal, UploadError};
use crate::domain::{
    job::{Reason, Run},
    job_state::JobState,
};

/// How an upload ended, as far as the request that sent its last byte is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The image is Ready.
    Ready {
        /// Lower-case hex.
        md5: Option<String>,
        /// Lower-case hex.
        sha256: Option<String>,
    },
    /// The content is not what it has to be: the job failed, the bytes are gone. In words for a person.
    Refused {
        /// What is wrong with it, what to do.
        detail: String,
        /// What of it.
        reason: Reason,
    },
    /// The upload has come to nothing, whatever its content: the storage lost it, or its job has ended or runs again. The bytes
    /// are gone. In words for a person.
    Failed {
        /// What happened, what to do.
        detail: String,
    },
    /// It waits, or was canceled.
    Stopped {
        /// The state it is in.
        state: JobState,
    },
}

/// What bytes tell a run of a job. News about a run that is over changes nothing: bytes of it are `Gone`.
#[async_trait]
pub trait JobSignals: Send + Sync + 'static {
    /// A request with bytes is there: wakes the job if bytes may do that. `NotTaking` if they may not.
    async fn bytes_arrived(&self, run: Run) -> Result<(), UploadError>;

    /// Every byte of the upload is stored: the job finishes it. Returns at once; the verdict comes through the receiver,
    /// `None` until then. May be called any number of times.
    fn complete(&self, run: Run) -> tokio::sync::watch::Receiver<Option<Verdict>>;

    /// What has come of the upload proves that its image will not be taken: the job fails and the bytes are removed.
    async fn refused(&self, run: Run, refusal: Refusal) -> Result<(), UploadError>;

    /// The store failed under the upload in a way that can heal: the job is suspended with that reason.
    async fn storage_failed(&self, run: Run, full: bool, words: String);

    /// The store has lost the upload, or cannot read it any more: the job fails, unless its bytes have become its image.
    async fn storage_lost(&self, run: Run, words: String);
}
