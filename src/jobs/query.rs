//! Questions about jobs, images and their progress.

use std::{collections::HashMap, time::Duration};

use super::{JobError, JobView, Jobs, UploadJobDetails, control::not_found, millis};
use crate::{
    db::StorageNow,
    domain::{
        account::{Caller, StorageRecord},
        clock::EpochMs,
        ids::{ApiId, ImageUuid, JobUuid, UploadUuid},
        image::{ImageRecord, ImageStatus},
        image_id::ImageId,
        job::{LongJob, TaskProgress},
        job_state::JobState,
        query::{Condition, Operator, Page, Query},
        upload::{UploadFate, UploadRecord},
    },
};

/// How long an open upload is kept if no byte comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeping {
    /// It is too old after this moment.
    pub(super) until_ms: EpochMs,
    /// Whether a byte has ever come.
    pub(super) has_begun: bool,
}

impl Keeping {
    /// Whether it is not kept any longer.
    pub(super) const fn is_over(self, now_ms: EpochMs) -> bool {
        self.until_ms < now_ms
    }
}

impl Jobs {
    /// How long an unfinished upload is kept after its last byte.
    pub const fn kept_for(&self) -> Duration {
        self.parts.limits.expire
    }

    /// When an unfinished upload is given up if no byte comes from now on; `None` for one that has ended.
    pub fn expires_ms(&self, upload: &UploadRecord) -> Option<EpochMs> {
        match upload.fate {
            UploadFate::Open => Some(self.keeping(upload).until_ms),
            UploadFate::Published | UploadFate::Discarded | UploadFate::Expired => None,
        }
    }

    /// For how long an open upload is kept: what clients are told, and what is done.
    pub(super) fn keeping(&self, upload: &UploadRecord) -> Keeping {
        // The record learns of a byte some time after it came.
        let touched = self.parts.uploads.touched(upload.uuid);
        let last_byte_ms = touched.and_then(|live| live.last_byte_ms()).or(upload.last_byte_ms);
        let limits = &self.parts.limits;
        let (since_ms, kept) = match last_byte_ms {
            Some(last_ms) => (last_ms, limits.expire),
            None => (upload.created_ms, limits.idle_fail),
        };
        Keeping {
            until_ms: since_ms.saturating_add(millis(kept)),
            has_begun: last_byte_ms.is_some(),
        }
    }

    /// The job with what belongs to it.
    pub async fn job(&self, caller: Caller, uuid: JobUuid) -> Result<JobView, JobError> {
        let job = self.parts.db.job(uuid, caller.scope()).await?;
        self.view(job.ok_or_else(|| not_found(uuid))?).await
    }

    /// Jobs that match.
    pub async fn query(&self, caller: Caller, query: &Query) -> Result<Page<JobView>, JobError> {
        let page = self.parts.db.jobs(query, caller.scope()).await?;
        let uuids: Vec<_> = page.rows.iter().map(|job| job.image).collect();
        let images: HashMap<_, _> = self
            .parts
            .db
            .images_by_uuid(&uuids)
            .await?
            .into_iter()
            .map(|image| (image.uuid, image))
            .collect();
        let uploads = self.uploads_of(images.values()).await?;
        // Several jobs may have tried to make one image.
        let rows = page.rows.into_iter().map(|job| {
            let image = own_image(&job, images.get(&job.image).cloned());
            let upload = uploads.get(&job.image).filter(|upload| upload.uuid == job.upload);
            JobView { image, upload: upload.cloned(), job }
        });
        Ok(Page { rows: rows.collect(), total: page.total })
    }

    /// Images that match, with the upload of those that are not Ready.
    pub async fn query_images(
        &self,
        caller: Caller,
        query: &Query,
    ) -> Result<Page<(ImageRecord, Option<UploadRecord>)>, JobError> {
        let page = self.parts.db.images(query, caller.scope()).await?;
        let mut uploads = self.uploads_of(&page.rows).await?;
        let rows = page.rows.into_iter().map(|image| {
            let upload = uploads.remove(&image.uuid);
            (image, upload)
        });
        Ok(Page { rows: rows.collect(), total: page.total })
    }

    /// The uploads of those images that are on their way, one look-up for all.
    async fn uploads_of<'i>(
        &self,
        images: impl IntoIterator<Item = &'i ImageRecord> + Send,
    ) -> Result<HashMap<ImageUuid, UploadRecord>, JobError> {
        let on_their_way = images.into_iter().filter(|image| match image.status {
            ImageStatus::Downloading => true,
            ImageStatus::Ready | ImageStatus::Deleted => false,
        });
        let uuids: Vec<_> = on_their_way.map(|image| image.uuid).collect();
        let uploads = self.parts.db.uploads_of_images(&uuids).await?;
        Ok(uploads.into_iter().map(|upload| (upload.image, upload)).collect())
    }

    /// System tags of these images or jobs: (uuid as text, tag).
    pub async fn tags(&self, resources: &[String]) -> Result<Vec<(String, String)>, JobError> {
        Ok(self.parts.db.system_tags(resources).await?)
    }

    /// The jobs that are not final and carry this `IMAGE_ID`: largest offset first, then newest; the caller's own before those that
    /// an admin sees of others. One whose bytes the store cannot find is left out, as ZStack leaves out one whose storage does not
    /// answer.
    pub async fn details(
        &self,
        caller: Caller,
        image_id: &ImageId,
    ) -> Result<Vec<UploadJobDetails>, JobError> {
        let mut found = Vec::new();
        for (job, upload) in self.parts.db.live_jobs_of(image_id, caller.scope()).await? {
            match self.parts.uploads.offset(&upload).await {
                Ok(offset) => found.push(UploadJobDetails { job, upload, offset }),
                Err(error) => {
                    tracing::warn!(job = %job.uuid, %error, "an upload is left out of the details");
                }
            }
        }
        found.sort_by_key(|details| {
            let is_own = details.job.account == caller.account;
            std::cmp::Reverse((is_own, details.offset, details.job.created_ms, details.job.uuid))
        });
        Ok(found)
    }

    /// The upload that the keyed URL means: the first that [`details`](Self::details) would list.
    pub async fn live_upload(
        &self,
        caller: Caller,
        image_id: &ImageId,
    ) -> Result<Option<UploadUuid>, JobError> {
        let details = self.details(caller, image_id).await?;
        Ok(details.first().map(|first| first.upload.uuid))
    }

    /// The newest progress of an API call that the caller may see; `None` once its job has ended.
    pub async fn progress(
        &self,
        caller: Caller,
        api_id: ApiId,
    ) -> Result<Option<TaskProgress>, JobError> {
        let mine = Query {
            conditions: vec![Condition {
                field: "apiId".to_owned(),
                operator: Operator::Equal,
                value: api_id.to_string(),
            }],
            limit: 1,
            ..Query::default()
        };
        let jobs = self.parts.db.jobs(&mine, caller.scope()).await?;
        let Some(job) = jobs.rows.first().filter(|job| !job.state.is_final()) else {
            return Ok(None);
        };
        let written = self.parts.db.progress(api_id).await?;
        Ok(Some(written.unwrap_or_else(|| TaskProgress {
            api_id,
            task_name: "uploading image".to_owned(),
            percent: 0,
            time_ms: job.last_op_ms,
        })))
    }

    /// How many jobs there are in each state, by ZStack's names.
    pub async fn count_by_state(&self) -> Result<Vec<(&'static str, u64)>, JobError> {
        let names =
            ["Waiting", "Running", "Suspended", "Canceling", "Succeeded", "Failed", "Canceled"];
        let mut counts = Vec::with_capacity(names.len());
        for name in names {
            let condition = Condition {
                field: "state".to_owned(),
                operator: Operator::Equal,
                value: name.to_owned(),
            };
            let query = Query { conditions: vec![condition], count: true, ..Query::default() };
            let page = self.parts.db.jobs(&query, crate::domain::account::Scope::All).await?;
            counts.push((name, page.total.unwrap_or(0)));
        }
        Ok(counts)
    }

    /// The one storage: its record, and its room in bytes (total, free).
    pub async fn storage(&self) -> Result<(StorageRecord, u64, u64), JobError> {
        let space = self.parts.uploads.space().await?;
        Ok((self.parts.storage.clone(), space.total_bytes, space.free_bytes))
    }

    /// The one storage if it matches, with its room in bytes (total, free). `url` is where uploads go.
    pub async fn query_storages(
        &self,
        url: String,
        query: &Query,
    ) -> Result<Page<(StorageRecord, u64, u64)>, JobError> {
        let (_, total_bytes, free_bytes) = self.storage().await?;
        let now = StorageNow { url, total_bytes, free_bytes };
        let page = self.parts.db.storages(query, now).await?;
        let rows = page.rows.into_iter().map(|storage| (storage, total_bytes, free_bytes));
        Ok(Page { rows: rows.collect(), total: page.total })
    }

    pub(super) async fn view(&self, job: LongJob) -> Result<JobView, JobError> {
        let scope = crate::domain::account::Scope::All;
        let image = own_image(&job, self.parts.db.image(job.image, scope).await?);
        let upload = self.upload_shown(&job, image.as_ref()).await?;
        Ok(JobView { job, image, upload })
    }

    /// The upload whose URL a job shows: only while its image is on its way.
    async fn upload_shown(
        &self,
        job: &LongJob,
        image: Option<&ImageRecord>,
    ) -> Result<Option<UploadRecord>, JobError> {
        match image.map(|image| image.status) {
            Some(ImageStatus::Downloading) => self.upload_of(job).await,
            Some(ImageStatus::Ready | ImageStatus::Deleted) | None => Ok(None),
        }
    }
}

/// The image under a job's uuid, if the job made it or is making it. The uuid of an image that came to nothing is free again
/// (`resourceUuid`): what is under it then is another job's, and maybe another account's.
pub(super) fn own_image(job: &LongJob, image: Option<ImageRecord>) -> Option<ImageRecord> {
    let has_none = matches!(job.state, JobState::Failed | JobState::Canceled);
    image.filter(|image| !has_none && image.account == job.account)
}
