//! The first request for an `IMAGE_ID` makes its job; those that come at the same time join it.

use super::{JobError, JobView, Jobs, NewJob};
use crate::domain::{account::Caller, image_id::ImageId, upload::UploadRecord};

/// What a request for an `IMAGE_ID` found.
#[derive(Debug, Clone)]
#[must_use]
pub enum Joined {
    /// A live job had it already: its upload.
    Live(Box<UploadRecord>),
    /// None had: this one was made for it.
    Made(Box<JobView>),
}

impl Jobs {
    /// The live upload of an `IMAGE_ID` of the caller's own account, the one furthest along, or a new job for it. Of any number that
    /// ask at the same time one makes the job.
    pub async fn join_or_submit(
        &self,
        caller: Caller,
        image_id: ImageId,
        new: NewJob,
    ) -> Result<Joined, JobError> {
        self.whole(move |jobs| async move {
            let _alone = jobs.joining.lock((caller.account, image_id.clone())).await;
            // Its own: an admin sees what is everybody's, and a file of the same name of somebody else is another file.
            let own = Caller { admin: false, ..caller };
            if let Some(live) = jobs.live_upload(own, &image_id).await?
                && let Some(record) = jobs.parts.db.upload(live).await?
            {
                return Ok(Joined::Live(Box::new(record)));
            }
            Ok(Joined::Made(Box::new(jobs.submit_whole(caller, new).await?)))
        })
        .await
    }
}
