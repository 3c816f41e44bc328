//! What a refusal of the store means to a client.

use longshore_storage::StoreError;

use super::{Live, UploadError, Uploads};
use crate::{
    db::DbError,
    domain::{
        account::Scope,
        job_state::JobState,
        upload::{UploadFate, UploadRecord},
    },
};

/// When a slice that was ended by a suspension which is over already should come again.
const RESUMED_RETRY_MS: u64 = 100;

impl Uploads {
    /// Makes of a store's refusal what the client has to know: the job's state rather than the store's.
    pub(super) async fn explain(&self, live: &Live, error: UploadError) -> UploadError {
        let record = live.record();
        match &error {
            UploadError::Store(StoreError::Revoked { .. }) => {
                match self.db.job(record.job, Scope::All).await {
                    // It runs again, and this upload is not part of that.
                    Ok(Some(job)) if job.upload != record.uuid => {
                        UploadError::Gone { fate: UploadFate::Discarded }
                    }
                    // Resumed meanwhile: it takes bytes, only not those that were on their way.
                    Ok(Some(job)) if job.state == JobState::Running => {
                        StoreError::Busy { key: live.owned.key, retry_after_ms: RESUMED_RETRY_MS }
                            .into()
                    }
                    Ok(Some(job)) => UploadError::NotTaking { state: job.state },
                    Ok(None) => UploadError::NotFound,
                    Err(error) => error.into(),
                }
            }
            UploadError::Store(
                lost @ (StoreError::NotFound { .. } | StoreError::Damaged { .. }),
            ) => {
                let words = lost.to_string();
                match self.explain_lost(&record, words).await {
                    Ok(explained) => explained.unwrap_or(error),
                    Err(error) => error.into(),
                }
            }
            UploadError::Store(failed @ (StoreError::NoSpace | StoreError::Io { .. })) => {
                let full = matches!(failed, StoreError::NoSpace);
                if let Ok(signals) = self.signals() {
                    signals.storage_failed(record.run(), full, failed.to_string()).await;
                }
                error
            }
            _ => error,
        }
    }

    /// The store does not know the upload: because it has ended, or because it is lost; then its job is told.
    async fn explain_lost(
        &self,
        record: &UploadRecord,
        words: String,
    ) -> Result<Option<UploadError>, DbError> {
        let fate = async || Ok(self.db.upload(record.uuid).await?.map(|now| now.fate));
        let ended = |fate| match fate {
            None => Some(UploadError::NotFound),
            Some(UploadFate::Open | UploadFate::Published) => None,
            Some(fate @ (UploadFate::Discarded | UploadFate::Expired)) => {
                Some(UploadError::Gone { fate })
            }
        };
        let before = fate().await?;
        if before != Some(UploadFate::Open) {
            return Ok(ended(before));
        }
        let job = self.db.job(record.job, Scope::All).await?;
        if let Some(job) =
            job.filter(|job| job.run() == record.run() && job.state == JobState::Canceling)
        {
            return Ok(Some(UploadError::NotTaking { state: job.state }));
        }
        if let Ok(signals) = self.signals() {
            signals.storage_lost(record.run(), words).await;
        }
        Ok(ended(fate().await?))
    }
}
