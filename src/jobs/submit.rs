//! From a request for an image to a job that takes bytes.

use super::{JobError, JobView, Jobs, NewJob, partials::part_taken, rerun::Again};
use crate::{
    db::{Created, NewUploadJob},
    domain::{
        account::Caller,
        add_image::AddImageRequest,
        clock::EpochMs,
        ids::{AccountUuid, ImageUuid, JobUuid, UploadUuid},
        image::{ImageRecord, ImageStatus},
        image_id::ImageId,
        job::{ADD_IMAGE_JOB, JobResult, LongJob, Stage},
        job_state::JobState,
        tag::read_tags,
        text::shown,
        upload::{Completion, ExpectedDigests, UploadFate, UploadKind, UploadRecord},
    },
    uploads::{DigestChoice, UploadError},
};

/// The identifiers of one run of a job.
#[derive(Clone, Copy)]
pub(super) struct Named {
    pub(super) account: AccountUuid,
    pub(super) job: JobUuid,
    pub(super) image: ImageUuid,
    pub(super) upload: UploadUuid,
}

impl Named {
    /// Those of a new job.
    pub(super) fn new(account: AccountUuid, new: &NewJob, plan: &Plan, now_ms: EpochMs) -> Self {
        Self {
            account,
            job: new.uuid.unwrap_or_else(|| JobUuid::ordered(now_ms)),
            image: plan.image,
            upload: UploadUuid::ordered(now_ms),
        }
    }
}

/// What a run is to make: checked, with defaults filled in.
pub(super) struct Plan {
    pub(super) request: AddImageRequest,
    pub(super) image: ImageUuid,
    image_id: Option<ImageId>,
    completion: Completion,
    length: Option<u64>,
    expected: ExpectedDigests,
    client_metadata: Option<String>,
}

/// The records of one run.
pub(super) struct Records {
    pub(super) job: LongJob,
    pub(super) image: ImageRecord,
    pub(super) upload: UploadRecord,
}

impl Jobs {
    /// Records a job, its image and its upload, and starts it: the answer is Running and has its upload. Everything is there
    /// when this returns, durable, or nothing is. A uuid of a job of the caller's that is over lets that one run again
    /// (zstack.md 2.4), as [`rerun`](Self::rerun) does; of one that is not over it is `WrongState`.
    pub async fn submit(&self, caller: Caller, new: NewJob) -> Result<JobView, JobError> {
        self.whole(move |jobs| async move { jobs.submit_whole(caller, new).await }).await
    }

    pub(super) async fn submit_whole(
        &self,
        caller: Caller,
        new: NewJob,
    ) -> Result<JobView, JobError> {
        let plan = self.plan(&new)?;
        let named = Named::new(caller.account, &new, &plan, self.parts.clock.now_ms());
        // Whoever finds the record before this has ended, and cancels it, waits until it is in memory to be taken out.
        let _alone = self.lock(named.job).await;
        if new.uuid.is_some()
            && let Some(before) = self.parts.db.job(named.job, caller.scope()).await?
        {
            let again = Again::Submitted { new: Box::new(new), plan: Box::new(plan) };
            return self.run_again(before, again).await;
        }
        let records = self.records(named, &new, &plan)?;
        self.enrol(new, &plan, &records).await?;
        Ok(self.begun(records))
    }

    /// Makes an upload and writes it down with its job and its image: all three are there, or nothing is.
    async fn enrol(&self, new: NewJob, plan: &Plan, records: &Records) -> Result<(), JobError> {
        self.parts.uploads.prepare(&records.upload, self.following(plan)).await?;
        let recorded = self.record(new, records).await;
        if recorded.is_err() {
            self.parts.uploads.abandon(&records.upload).await;
        }
        recorded
    }

    /// [`submit`](Self::submit) of a new job for an upload that is joined from these parts, which have been checked. They are taken in
    /// the same step in which it is recorded.
    pub(super) async fn submit_parts(
        &self,
        caller: Caller,
        new: NewJob,
        parts: Vec<UploadUuid>,
    ) -> Result<Records, JobError> {
        let plan = self.plan(&new)?;
        let named = Named::new(caller.account, &new, &plan, self.parts.clock.now_ms());
        let _alone = self.lock(named.job).await;
        let Records { job, image, upload } = self.records(named, &new, &plan)?;
        let records = Records {
            image,
            // The last byte came before the job, and no other will: its silence is work.
            upload: UploadRecord {
                kind: UploadKind::Joined,
                parts,
                last_byte_ms: Some(job.created_ms),
                ..upload
            },
            job: LongJob { stage: Stage::Joining, waits_for: None, ..job },
        };
        self.enrol(new, &plan, &records).await?;
        self.begin(&records);
        Ok(records)
    }

    /// Checks everything that can be checked before anything is made.
    pub(super) fn plan(&self, new: &NewJob) -> Result<Plan, JobError> {
        let invalid = |error: &dyn std::fmt::Display| JobError::Invalid(error.to_string());
        let mut request = new.image.clone().checked().map_err(|error| invalid(&error))?;
        let declared = read_tags(&new.system_tags).map_err(|error| invalid(&error))?;
        check_texts(new)?;
        self.check_storage(&mut request)?;
        let expected = ExpectedDigests {
            md5: agree("imageMd5", new.expected.md5, declared.md5)?,
            sha256: agree("imageSha256", new.expected.sha256, declared.sha256)?,
        };
        let image = image_uuid(&request, self.parts.clock.now_ms())?;
        request.resource_uuid = Some(image.to_string());
        Ok(Plan {
            request,
            image,
            image_id: declared.image_id,
            completion: new.completion,
            length: agree("imageSize", new.length, declared.size_bytes)?,
            expected,
            client_metadata: new.client_metadata.clone(),
        })
    }

    /// The records of a run that begins now.
    pub(super) fn records(
        &self,
        named: Named,
        new: &NewJob,
        plan: &Plan,
    ) -> Result<Records, JobError> {
        let now_ms = self.parts.clock.now_ms();
        Ok(Records {
            job: self.job_record(named, new, &plan.request, now_ms)?,
            image: self.image_record(named, &plan.request, now_ms),
            upload: self.upload_record(named, plan, now_ms),
        })
    }

    /// The run is recorded: it takes bytes.
    pub(super) fn begun(&self, records: Records) -> JobView {
        self.begin(&records);
        let Records { job, image, upload } = records;
        JobView { job, image: Some(image), upload: Some(upload) }
    }

    fn begin(&self, Records { job, image, upload }: &Records) {
        self.parts.uploads.begin(upload.clone());
        tracing::info!(job = %job.uuid, image = %image.uuid, upload = %upload.uuid, kind = ?upload.kind, parts = upload.parts.len(), length = upload.declared_length, "upload job submitted");
    }

    /// The configured digests, and those that were declared: what a client declares is compared, whatever is configured.
    pub(super) fn following(&self, plan: &Plan) -> DigestChoice {
        let configured = self.parts.digests;
        DigestChoice {
            md5: configured.md5 || plan.expected.md5.is_some(),
            sha256: configured.sha256 || plan.expected.sha256.is_some(),
        }
    }

    async fn record(&self, new: NewJob, records: &Records) -> Result<(), JobError> {
        let open_uploads_max = self.parts.limits.open_uploads_max;
        let (job_uuid, image_uuid) = (records.job.uuid, records.image.uuid);
        let NewJob { system_tags, user_tags, .. } = new;
        let (job, image) = (records.job.clone(), records.image.clone());
        let upload = records.upload.clone();
        let parts = &records.upload.parts;
        let cause = match parts.len() {
            0 => "submitted".to_owned(),
            parts => format!("submitted, to be joined of {parts} parts"),
        };
        let new =
            NewUploadJob { job, image, upload, system_tags, user_tags, open_uploads_max, cause };
        match self.parts.db.create_upload_job(new).await? {
            Created::Recorded => {
                self.news.job(&records.job);
                Ok(())
            }
            Created::Duplicate => Err(taken(job_uuid, image_uuid)),
            Created::PartTaken(part) => Err(part_taken(parts, part)),
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
        named: Named,
        request: &AddImageRequest,
        now_ms: EpochMs,
    ) -> ImageRecord {
        ImageRecord {
            uuid: named.image,
            account: named.account,
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
            inspection: None,
        }
    }

    fn upload_record(&self, named: Named, plan: &Plan, now_ms: EpochMs) -> UploadRecord {
        UploadRecord {
            uuid: named.upload,
            kind: UploadKind::Whole,
            job: named.job,
            image: named.image,
            account: named.account,
            image_id: plan.image_id.clone(),
            completion: plan.completion,
            declared_length: plan.length,
            expected: plan.expected,
            offset_cached: 0,
            stored_cached: 0,
            fate: UploadFate::Open,
            url_generation: UploadRecord::FIRST_URL_GENERATION,
            owner: Some(self.parts.node),
            owner_epoch: 1,
            lease_until_ms: now_ms + super::millis(self.parts.uploads.limits().lease),
            created_ms: now_ms,
            last_byte_ms: None,
            client_metadata: plan.client_metadata.clone(),
            parts: Vec::new(),
            taken_by: None,
        }
    }

    fn job_record(
        &self,
        named: Named,
        new: &NewJob,
        request: &AddImageRequest,
        now_ms: EpochMs,
    ) -> Result<LongJob, JobError> {
        let job_data = serde_json::to_string(request)
            .map_err(|error| JobError::Invalid(format!("jobData: {error}")))?;
        Ok(LongJob {
            uuid: named.job,
            account: named.account,
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
            upload: named.upload,
            node: Some(self.parts.node),
            created_ms: now_ms,
            last_op_ms: now_ms,
            finished_ms: None,
        })
    }
}

fn image_uuid(request: &AddImageRequest, now_ms: EpochMs) -> Result<ImageUuid, JobError> {
    match request.resource_uuid.as_deref() {
        None => Ok(ImageUuid::ordered(now_ms)),
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

/// Says nothing about whose they are.
pub(super) fn taken(job: JobUuid, image: ImageUuid) -> JobError {
    JobError::Invalid(format!(
        "resourceUuid: a long job[uuid:{job}] or an image[uuid:{image}] exists already"
    ))
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
