//! Another run of a job that is over: `rerunLongJob`, and a submission under the uuid of such a job. And `cleanLongJob`.
//!
//! The order is that of every change that takes bytes away from writers: the record of the end came with the job's final state;
//! then the store removes what the run before has left, and returns once every writer has drained; then the new run begins. A
//! crash between any two of these steps leaves the job final, as it was, and at most an entry in the store that no record knows.

use super::{
    JobError, JobView, Jobs, NewJob,
    control::not_found,
    moves::{asker, refusal},
    submit::{Named, Plan, Records, taken},
    tags::tags_on,
};
use crate::{
    db::{NewRun, RunBegun, RunTags},
    domain::{
        account::{Caller, Scope},
        add_image::AddImageRequest,
        ids::{AccountUuid, ApiId, ImageUuid, JobUuid, UploadUuid},
        image::ImageStatus,
        job::LongJob,
        job_state::{JobEvent, JobState, Next},
        tag::{Resource, Steering, TagKind},
        upload::{Completion, ExpectedDigests},
    },
    uploads::UploadError,
};

/// Why a job runs again.
pub(super) enum Again {
    /// `rerunLongJob`: as it was submitted, by this call of this caller.
    Rerun(ApiId, Caller),
    /// Submitted again under its uuid: everything but uuid and owner is new.
    Submitted { new: Box<NewJob>, plan: Box<Plan> },
}

impl Jobs {
    /// Lets a final job run again: same job and image, a new upload with a new URL. No byte of the run before can arrive when
    /// this returns; its URL answers that it is gone. Not final is `WrongState` with ZStack's words. An image that is Ready, or
    /// deleted and still kept, is never replaced: `Invalid`, and nothing was changed.
    pub async fn rerun(
        &self,
        caller: Caller,
        uuid: JobUuid,
        api_id: ApiId,
    ) -> Result<JobView, JobError> {
        let scope = caller.scope();
        self.whole(move |jobs| async move {
            let _alone = jobs.lock(uuid).await;
            let before = jobs.parts.db.job(uuid, scope).await?;
            let again = Again::Rerun(api_id, caller);
            jobs.run_again(before.ok_or_else(|| not_found(uuid))?, again).await
        })
        .await
    }

    /// Brings a Canceling job to Canceled, as [`cancel`](Self::cancel) does in one go; in any other state it is `Unsupported`.
    pub async fn clean(&self, caller: Caller, uuid: JobUuid) -> Result<(), JobError> {
        let scope = caller.scope();
        self.whole(move |jobs| async move {
            let job = jobs.parts.db.job(uuid, scope).await?.ok_or_else(|| not_found(uuid))?;
            if job.state != JobState::Canceling {
                let words = "not supported or state is not Canceling".to_owned();
                return Err(JobError::Unsupported(words));
            }
            jobs.clean_up(job).await
        })
        .await
    }

    /// Begins another run in place of the one that is over. The caller holds the job's lock.
    pub(super) async fn run_again(
        &self,
        before: LongJob,
        again: Again,
    ) -> Result<JobView, JobError> {
        let state = match before.state.on(JobEvent::RunAgain) {
            Ok(Next::To(state)) => state,
            Ok(Next::Stay) => before.state,
            Err(illegal) => {
                return Err(match again {
                    Again::Rerun(..) => refusal(&before, illegal.event),
                    Again::Submitted { .. } => JobError::WrongState {
                        state: before.state,
                        words: format!(
                            "resourceUuid: the long job[uuid:{}] exists already and is {}: cancel it before it is submitted again",
                            before.uuid, before.state
                        ),
                    },
                });
            }
        };
        let (new, plan, tags, cause) = match again {
            Again::Rerun(api_id, caller) => {
                let new = self.as_submitted(&before, api_id).await?;
                let plan = Box::new(self.plan(&new)?);
                let cause = format!("run again by {}", asker(caller, &before));
                (Box::new(new), plan, RunTags::Keep, cause)
            }
            Again::Submitted { new, plan } => {
                let (system, user) = (new.system_tags.clone(), new.user_tags.clone());
                let tags = RunTags::Replace { system, user };
                (new, plan, tags, "submitted again".to_owned())
            }
        };
        self.check_image_is_free(&before, plan.image).await?;
        // The end of the run before is in the records; here its last writer leaves and its bytes go, also where that failed when
        // it ended.
        if let Some(over) = self.upload_of(&before).await? {
            self.parts.uploads.discard(&over).await?;
        }
        let records = self.records_of_run(&before, &new, &plan, state, &tags)?;
        self.parts.uploads.prepare(&records.upload, self.following(&plan)).await?;
        match self.record_run(before, &records, tags, cause).await {
            Ok(generation) => {
                let job = LongJob { generation, ..records.job };
                Ok(self.begun(Records { job, ..records }))
            }
            Err(error) => {
                self.parts.uploads.abandon(&records.upload).await;
                Err(error)
            }
        }
    }

    /// The submission that a job began with, as far as records have it. A length is part of it where a tag names it; one that a
    /// slice named was the length of that run alone.
    async fn as_submitted(&self, job: &LongJob, api_id: ApiId) -> Result<NewJob, JobError> {
        let image: AddImageRequest = serde_json::from_str(&job.job_data)
            .map_err(|error| JobError::Invalid(format!("jobData: {error}")))?;
        let over = self.upload_of(job).await?;
        let (completion, expected, client_metadata) = over.map_or_else(
            || (Completion::ByLength, ExpectedDigests::default(), None),
            |over| (over.completion, over.expected, over.client_metadata),
        );
        Ok(NewJob {
            uuid: Some(job.uuid),
            name: Some(job.name.clone()),
            description: job.description.clone(),
            image: AddImageRequest { resource_uuid: Some(job.image.to_string()), ..image },
            system_tags: self.steering_tags(job.uuid).await?,
            // They stay in the records, as all other tags do.
            user_tags: Vec::new(),
            api_id,
            completion,
            expected,
            length: None,
            client_metadata,
        })
    }

    /// What tags say about the upload of a job. Of all its tags, of which it may have got more than one call may carry.
    async fn steering_tags(&self, job: JobUuid) -> Result<Vec<String>, JobError> {
        let (job, kind) = (Resource::Job(job), TagKind::System);
        let page = self.parts.db.tags(kind, &tags_on(job), Scope::All).await?;
        let mut tags: Vec<_> = page.rows.into_iter().map(|tag| tag.tag).collect();
        // One that cannot be read was given before there were rules, and says nothing.
        tags.retain(|tag| matches!(Steering::read(tag), Ok(Some(_))));
        tags.sort_unstable();
        tags.dedup();
        Ok(tags)
    }

    /// A run must not replace an image that somebody has, nor find bytes under its image's name that are not its own.
    async fn check_image_is_free(&self, job: &LongJob, image: ImageUuid) -> Result<(), JobError> {
        let Some(there) = self.parts.db.image(image, Scope::All).await? else {
            return match self.parts.uploads.image_length(image).await? {
                None => Ok(()),
                Some(_) => Err(JobError::Invalid(format!(
                    "the storage has bytes under image[uuid:{image}] that no record names: submit a new job, without resourceUuid"
                ))),
            };
        };
        if there.account != job.account {
            return Err(taken(job.uuid, image));
        }
        Err(JobError::Invalid(match there.status {
            ImageStatus::Ready => format!(
                "image[uuid:{image}] is Ready and another run would replace it: delete and expunge it first, or submit a new job"
            ),
            ImageStatus::Deleted => format!(
                "image[uuid:{image}] is deleted and can still be recovered: expunge it first, or submit a new job"
            ),
            ImageStatus::Downloading => {
                format!("image[uuid:{image}] is being uploaded by another long job")
            }
        }))
    }

    fn records_of_run(
        &self,
        before: &LongJob,
        new: &NewJob,
        plan: &Plan,
        state: JobState,
        tags: &RunTags,
    ) -> Result<Records, JobError> {
        let account: AccountUuid = before.account;
        let upload = UploadUuid::ordered(self.parts.clock.now_ms());
        let named = Named { account, job: before.uuid, image: plan.image, upload };
        let records = self.records(named, new, plan)?;
        let created_ms = match tags {
            // The same job as before: only its run is new.
            RunTags::Keep => before.created_ms,
            RunTags::Replace { .. } => records.job.created_ms,
        };
        let job = LongJob { state, created_ms, ..records.job };
        Ok(Records { job, ..records })
    }

    async fn record_run(
        &self,
        before: LongJob,
        records: &Records,
        tags: RunTags,
        cause: String,
    ) -> Result<i64, JobError> {
        let open_uploads_max = self.parts.limits.open_uploads_max;
        let (job, image) = (records.job.uuid, records.image.uuid);
        let run = NewRun {
            before,
            job: records.job.clone(),
            image: records.image.clone(),
            upload: records.upload.clone(),
            tags,
            open_uploads_max,
            cause,
        };
        match self.parts.db.begin_run(run).await? {
            RunBegun::Begun(generation) => {
                self.news.job(&records.job);
                Ok(generation)
            }
            RunBegun::Stale => Err(JobError::Contended),
            RunBegun::Missing => Err(not_found(job)),
            RunBegun::Duplicate => Err(taken(job, image)),
            RunBegun::TooManyOpenUploads => {
                Err(UploadError::TooManyOpen { max: open_uploads_max }.into())
            }
        }
    }
}
