//! From a request for an image to a job that takes bytes.

use super::{JobError, JobView, Jobs, NewJob};
use crate::{
    db::{Created, NewUploadJob},
    domain::{
        account::Caller,
        add_image::AddImageRequest,
        clock::EpochMs,
        ids::{ImageUuid, JobUuid, UploadUuid},
        image::{ImageRecord, ImageStatus},
        job::{ADD_IMAGE_JOB, JobResult, LongJob, Stage},
        job_state::JobState,
        tag::{Declared, read_tags},
        text::shown,
        upload::{ExpectedDigests, UploadFate, UploadRecord},
    },
    uploads::{DigestChoice, UploadError},
};

/// The identifiers of one new job.
#[derive(Clone, Copy)]
struct Named {
    job: JobUuid,
    image: ImageUuid,
    upload: UploadUuid,
}

impl Jobs {
    /// Records a job, its image and its upload, and starts it: the answer is Running and has its upload. Everything is there
    /// when this returns, durable, or nothing is.
    pub async fn submit(&self, caller: Caller, new: NewJob) -> Result<JobView, JobError> {
        self.whole(move |jobs| async move { jobs.submit_whole(caller, new).await }).await
    }

    async fn submit_whole(&self, caller: Caller, new: NewJob) -> Result<JobView, JobError> {
        let invalid = |error: &dyn std::fmt::Display| JobError::Invalid(error.to_string());
        let mut request = new.image.clone().checked().map_err(|error| invalid(&error))?;
        let declared = read_tags(&new.system_tags).map_err(|error| invalid(&error))?;
        check_texts(&new)?;
        self.check_storage(&mut request)?;
        let length = agree("imageSize", new.length, declared.size_bytes)?;
        let expected = ExpectedDigests {
            md5: agree("imageMd5", new.expected.md5, declared.md5)?,
            sha256: agree("imageSha256", new.expected.sha256, declared.sha256)?,
        };

        let named = Named {
            job: new.uuid.unwrap_or_else(JobUuid::random),
            image: image_uuid(&request)?,
            upload: UploadUuid::random(),
        };
        request.resource_uuid = Some(named.image.to_string());
        let now_ms = self.parts.clock.now_ms();
        let image = self.image_record(caller, named, &request, now_ms);
        let upload = self.upload_record(caller, named, &new, declared, length, expected, now_ms);
        let job = self.job_record(caller, named, &new, &request, now_ms)?;

        // Whoever finds the record before this has ended, and cancels it, waits until it is in memory to be taken out.
        let _alone = self.lock(named.job).await;
        let digests = following(self.parts.digests, &expected);
        self.parts.uploads.prepare(&upload, digests).await?;
        let created = self.record(new, job.clone(), image.clone(), upload.clone()).await;
        if let Err(error) = created {
            self.parts.uploads.abandon(&upload).await;
            return Err(error);
        }
        self.parts.uploads.begin(upload.clone());
        tracing::info!(job = %job.uuid, image = %image.uuid, upload = %upload.uuid, length, "upload job submitted");
        Ok(JobView { job, image: Some(image), upload: Some(upload) })
    }

    async fn record(
        &self,
        new: NewJob,
        job: LongJob,
        image: ImageRecord,
        upload: UploadRecord,
    ) -> Result<(), JobError> {
        let open_uploads_max = self.parts.limits.open_uploads_max;
        let (job_uuid, image_uuid) = (job.uuid, image.uuid);
        let NewJob { system_tags, user_tags, .. } = new;
        let new = NewUploadJob { job, image, upload, system_tags, user_tags, open_uploads_max };
        match self.parts.db.create_upload_job(new).await? {
            Created::Recorded => Ok(()),
            Created::Duplicate => Err(JobError::Invalid(format!(
                "resourceUuid: a long job[uuid:{job_uuid}] or an image[uuid:{image_uuid}] exists already"
            ))),
            Created::TooManyOpenUploads => {
                Err(UploadError::TooManyOpen { max: open_uploads_max }.into())
            }
        }
    }

    /// The one storage, whether it was named or not.
    fn check_storage(&self, request: &mut AddImageRequest) -> Result<(), JobError> {
        let ours = self.parts.storage.uuid.to_string();
        let named = request.backup_storage_uuids.take().unwrap_or_default();
        if !named.is_empty() && !named.contains(&ours) {
            return Err(JobError::NoStorage(format!(
                "no backup storage specified in uuids[{}] is available, this service has [{ours}]",
                named.iter().take(8).map(|uuid| shown(uuid)).collect::<Vec<_>>().join(", ")
            )));
        }
        request.backup_storage_uuids = Some(vec![ours]);
        Ok(())
    }

    fn image_record(
        &self,
        caller: Caller,
        named: Named,
        request: &AddImageRequest,
        now_ms: EpochMs,
    ) -> ImageRecord {
        ImageRecord {
            uuid: named.image,
            account: caller.account,
            name: request.name.clone().unwrap_or_default(),
            description: request.description.clone(),
            enabled: true,
            status: ImageStatus::Downloading,
            size: 0,
            actual_size: 0,
            md5: None,
            sha256: None,
            url: request.url.clone().unwrap_or_default(),
            media_type: request.media(),
            guest_os_type: request.guest_os_type.clone(),
            platform: request.platform.clone().unwrap_or_default(),
            architecture: request.architecture.clone(),
            format: request.format.clone().unwrap_or_default(),
            system: request.system.unwrap_or(false),
            virtio: request.virtio.unwrap_or(true),
            storage: self.parts.storage.uuid,
            created_ms: now_ms,
            last_op_ms: now_ms,
            deleted_ms: None,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one row, each argument a different source")]
    fn upload_record(
        &self,
        caller: Caller,
        named: Named,
        new: &NewJob,
        declared: Declared,
        declared_length: Option<u64>,
        expected: ExpectedDigests,
        now_ms: EpochMs,
    ) -> UploadRecord {
        UploadRecord {
            uuid: named.upload,
            job: named.job,
            image: named.image,
            account: caller.account,
            image_id: declared.image_id,
            completion: new.completion,
            declared_length,
            expected,
            offset_cached: 0,
            stored_cached: 0,
            fate: UploadFate::Open,
            url_generation: 1,
            owner: Some(self.parts.node),
            owner_epoch: 1,
            lease_until_ms: now_ms + super::millis(self.parts.uploads.limits().lease),
            created_ms: now_ms,
            last_byte_ms: None,
        }
    }

    fn job_record(
        &self,
        caller: Caller,
        named: Named,
        new: &NewJob,
        request: &AddImageRequest,
        now_ms: EpochMs,
    ) -> Result<LongJob, JobError> {
        let job_data = serde_json::to_string(request)
            .map_err(|error| JobError::Invalid(format!("jobData: {error}")))?;
        Ok(LongJob {
            uuid: named.job,
            account: caller.account,
            name: new.name.clone().unwrap_or_else(|| ADD_IMAGE_JOB.to_owned()),
            description: new.description.clone(),
            api_id: new.api_id,
            job_name: ADD_IMAGE_JOB.to_owned(),
            job_data,
            state: JobState::Running,
            generation: 1,
            stage: Stage::Receiving,
            stage_percent: 0,
            waits_for: Some("the first bytes".to_owned()),
            result: Some(JobResult::Event),
            image: named.image,
            node: Some(self.parts.node),
            created_ms: now_ms,
            last_op_ms: now_ms,
            finished_ms: None,
        })
    }
}

fn image_uuid(request: &AddImageRequest) -> Result<ImageUuid, JobError> {
    match request.resource_uuid.as_deref() {
        None => Ok(ImageUuid::random()),
        Some(given) => {
            given.parse().map_err(|error| JobError::Invalid(format!("resourceUuid: {error}")))
        }
    }
}

/// The name and description of a job, as ZStack bounds them.
fn check_texts(new: &NewJob) -> Result<(), JobError> {
    super::control::check_text("name", new.name.as_deref(), 255)?;
    super::control::check_text("description", new.description.as_deref(), 2048)
}

/// The configured digests, and those that were declared: what a client declares is compared, whatever is configured.
fn following(configured: DigestChoice, expected: &ExpectedDigests) -> DigestChoice {
    DigestChoice {
        md5: configured.md5 || expected.md5.is_some(),
        sha256: configured.sha256 || expected.sha256.is_some(),
    }
}

/// Two ways to declare the same thing must not disagree.
fn agree<T: PartialEq>(
    what: &str,
    one: Option<T>,
    other: Option<T>,
) -> Result<Option<T>, JobError> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => {
            Err(JobError::Invalid(format!("{what} is declared twice with different values")))
        }
        (one, other) => Ok(one.or(other)),
    }
}
