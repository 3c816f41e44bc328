//! What is kept of the way that jobs and images have come.

use super::{JobError, Jobs, control::not_found};
use crate::domain::{
    account::Caller,
    history::StateChange,
    ids::{ImageUuid, JobUuid},
    image::{ImageRecord, ImageStatus},
};

impl Jobs {
    /// The states that a job has been in, the oldest first; the last is the one that it is in. `NotFound` for whom the job does not
    /// exist.
    pub async fn history(
        &self,
        caller: Caller,
        uuid: JobUuid,
    ) -> Result<Vec<StateChange>, JobError> {
        let history = self.parts.db.job_history(uuid, caller.scope()).await?;
        history.ok_or_else(|| not_found(uuid))
    }

    /// An image whose content is known: Ready, or deleted and still kept. `ImageNotFound` until then, and for whom it does not
    /// exist.
    pub async fn inspected_image(
        &self,
        caller: Caller,
        uuid: ImageUuid,
    ) -> Result<ImageRecord, JobError> {
        let image = self.parts.db.image(uuid, caller.scope()).await?;
        image
            .filter(|image| image.status != ImageStatus::Downloading)
            .ok_or_else(|| JobError::ImageNotFound { uuid: uuid.to_string() })
    }
}
