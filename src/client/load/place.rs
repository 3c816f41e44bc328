//! Where an upload goes: for most protocols a job has to be made first.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use reqwest::Url;
use tokio::time::Instant;

use super::{Load, Made, protocol::Place};
use crate::client::locked;
use crate::{
    client::{
        api::segment,
        error::ClientError,
        events::silent,
        is_loopback,
        records::{NewImage, UploadDetails},
        retry::patiently,
    },
    domain::image_id::ImageId,
};

/// An upload that can begin.
pub(super) struct Placed {
    pub(super) number: u64,
    pub(super) place: Place,
}

impl Load {
    /// Makes the place of upload `number`, and with it the job where the protocol needs one.
    pub(super) async fn place(&self, number: u64) -> Result<Placed, ClientError> {
        let name = format!("bench-{}-{number}", self.plan.run);
        let image_id: ImageId = name.parse().map_err(|_| ClientError::Usage {
            words: format!("[{name}] cannot be the name of an upload"),
        })?;
        locked(&self.made).insert(number, Made::new(image_id.clone()));
        if !self.plan.protocol.needs_job() {
            let id = segment(image_id.as_str());
            let place = Place {
                data: self.api.url(&format!("uploads/{id}"))?,
                state: self.api.url(&format!("imagestore/upload/uploadImage::{id}"))?,
                authorization: self.api.authorization(),
            };
            return Ok(Placed { number, place });
        }
        let begun = Instant::now();
        let found = self.job(&image_id).await?;
        self.tally.create.add(begun.elapsed());
        let data: Url = found.image_upload_url.parse().map_err(|_| ClientError::Protocol {
            words: "the server gave an upload URL that is none".to_owned(),
        })?;
        if let Some(made) = locked(&self.made).get_mut(&number) {
            made.job = Some(found.long_job_uuid);
        }
        if self.plan.loopback_only && !is_loopback(&data) {
            let host = data.host_str().unwrap_or_default();
            return Err(ClientError::Usage {
                words: format!(
                    "the server hands out upload URLs on {host} (its public_url), which is not this machine; \
                     name it with --target if the load may go there"
                ),
            });
        }
        let place = Place { state: data.clone(), data, authorization: None };
        Ok(Placed { number, place })
    }

    async fn job(&self, image_id: &ImageId) -> Result<UploadDetails, ClientError> {
        let description = Some("made by longshore bench".to_owned());
        let image = NewImage { description, ..NewImage::named(image_id.as_str()) };
        let asked = AtomicBool::new(false);
        patiently(&self.policy, &silent(), || async {
            // An answer that was lost may have been that of a job that exists.
            if asked.swap(true, Relaxed)
                && let Some(found) = self.api.upload_details(image_id).await?
            {
                return Ok(found);
            }
            self.api.submit_upload(&image, "bench.raw", image_id, self.plan.size).await?;
            let found = self.api.upload_details(image_id).await?;
            found.ok_or_else(|| ClientError::Protocol {
                words: "the job that was just made is not there any more".to_owned(),
            })
        })
        .await
    }
}
