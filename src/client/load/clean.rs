//! Removes what a run has made.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use futures::{StreamExt, stream};

use super::Load;
use crate::client::locked;
use crate::{
    client::{
        api::JobAction,
        error::{ClientError, ErrorKind},
        events::silent,
        retry::patiently,
    },
    domain::image_id::ImageId,
    wire::native::UploadState,
};

/// Deletions at once.
const AT_ONCE: usize = 16;

/// What one upload has left on the server.
#[derive(Debug, Clone)]
pub(super) struct Made {
    image_id: ImageId,
    /// Its job, as soon as it is known.
    pub(super) job: Option<String>,
    /// Its image, once it is Ready.
    image: Option<String>,
}

impl Made {
    pub(super) const fn new(image_id: ImageId) -> Self {
        Self { image_id, job: None, image: None }
    }

    /// It has become an image.
    pub(super) fn ready(&mut self, state: UploadState) {
        self.job = Some(state.job_uuid);
        self.image = Some(state.image_uuid);
    }
}

impl Load {
    /// Removes everything, unless it is to be kept. Returns how many uploads are still there.
    pub(super) async fn clean(&self) -> u64 {
        let numbers: Vec<u64> = locked(&self.made).keys().copied().collect();
        // A server that is away is waited for once, not once for each upload.
        let away = AtomicBool::new(false);
        stream::iter(numbers)
            .for_each_concurrent(AT_ONCE, |number| {
                let away = &away;
                async move {
                    if !away.load(Relaxed) && !self.discard(number).await {
                        away.store(true, Relaxed);
                    }
                }
            })
            .await;
        locked(&self.made).len() as u64
    }

    /// Removes what one upload has made, unless it is to be kept; what cannot be removed stays in the list.
    /// Returns whether the server answers at all.
    pub(super) async fn discard(&self, number: u64) -> bool {
        if self.plan.keep {
            return true;
        }
        let Some(made) = locked(&self.made).get(&number).cloned() else { return true };
        match self.remove(&made).await {
            Ok(()) => {
                locked(&self.made).remove(&number);
                true
            }
            Err(error) => {
                self.tally.error("deleting", &error.to_string());
                error.kind() != ErrorKind::Resumable
            }
        }
    }

    async fn remove(&self, made: &Made) -> Result<(), ClientError> {
        let events = silent();
        let (api, policy) = (&self.api, &self.policy);
        let job = if let Some(image) = &made.image {
            patiently(policy, &events, || api.expunge_image(image)).await?;
            made.job.clone()
        } else {
            let known = made.job.clone();
            let found = match known {
                Some(job) => Some(job),
                None => patiently(policy, &events, || api.upload_details(&made.image_id))
                    .await?
                    .map(|found| found.long_job_uuid),
            };
            if let Some(job) = &found {
                // It may have ended by itself in between: then only its record is left.
                match patiently(policy, &events, || api.act(job, JobAction::Cancel)).await {
                    Ok(()) | Err(ClientError::Refused { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            found
        };
        match job {
            Some(job) => patiently(policy, &events, || api.delete_job(&job)).await,
            None => Ok(()),
        }
    }
}
