//! Tags of jobs and images. What the four tags mean that steer an upload stands at [`crate::db::TagRepository`].

use super::{JobError, Jobs, control::not_found};
use crate::{
    db::{NewTag, TagCreated, TagDeleted},
    domain::{
        account::{Caller, Scope},
        ids::{JobUuid, TagUuid, UploadUuid},
        job::{LongJob, Stage},
        job_state::JobState,
        query::{Condition, Operator, Page, Query},
        tag::{
            InvalidTag, Resource, Steering, TAG_BYTES_MAX, TAGS_OF_RESOURCE_MAX, TagKind,
            TagRecord, not_reserved,
        },
    },
    uploads::{Found, JobSignals, StoreError, UploadError},
};

impl Jobs {
    /// Tags of this kind that match.
    pub async fn query_tags(
        &self,
        caller: Caller,
        kind: TagKind,
        query: &Query,
    ) -> Result<Page<TagRecord>, JobError> {
        Ok(self.parts.db.tags(kind, query, caller.scope()).await?)
    }

    /// Gives a tag to a job or an image of the caller. The same tag again is the one that is there.
    ///
    /// On a job `uploadImage::<IMAGE_ID>` names its upload, as long as the job has not ended; `imageSize::`, `imageMd5::` and
    /// `imageSha256::` declare what is expected, as long as bytes are received. Each is refused if it contradicts what was
    /// declared before, and a digest also if nothing computes it. `imageDamaged::` is the service's own. Every other text is kept and
    /// shown.
    pub async fn create_tag(
        &self,
        caller: Caller,
        resource: Resource,
        kind: TagKind,
        tag: String,
    ) -> Result<TagRecord, JobError> {
        if tag.is_empty() || tag.len() > TAG_BYTES_MAX || tag.contains('\0') {
            return Err(JobError::Invalid(format!(
                "field[tag] is not a text of 1 to {TAG_BYTES_MAX} bytes without NUL characters"
            )));
        }
        if kind == TagKind::System {
            not_reserved(&tag).map_err(|error| JobError::Invalid(error.to_string()))?;
        }
        let steering = match (resource, kind) {
            (Resource::Job(_), TagKind::System) => {
                Steering::read(&tag).map_err(|error| JobError::Invalid(error.to_string()))?
            }
            (Resource::Image(_), _) | (Resource::Job(_), TagKind::User) => None,
        };
        self.whole(move |jobs| async move {
            match (resource, steering) {
                (Resource::Job(job), Some(steering)) => {
                    let _alone = jobs.lock(job).await;
                    jobs.prepare_steering(caller, job, &steering).await?;
                    let tag = jobs.record_tag(caller, resource, kind, tag).await?;
                    jobs.heed(job).await?;
                    Ok(tag)
                }
                (_, _) => jobs.record_tag(caller, resource, kind, tag).await,
            }
        })
        .await
    }

    /// What has to be true, or done in the store, before a tag may say it.
    async fn prepare_steering(
        &self,
        caller: Caller,
        uuid: JobUuid,
        steering: &Steering,
    ) -> Result<(), JobError> {
        let job = self.parts.db.job(uuid, caller.scope()).await?;
        let job = job.ok_or_else(|| not_found(uuid))?;
        if !steering.is_heeded(job.state, job.stage) {
            // Told by whoever records it, unless the tag is there already.
            return Ok(());
        }
        let Some(upload) = self.upload_of(&job).await? else { return Ok(()) };
        let unknown = match steering {
            Steering::ImageId(_) => false,
            Steering::SizeBytes(length) => {
                return self.declare(&job, upload.uuid, *length).await;
            }
            // Fixed when the upload was made, whatever is configured now.
            Steering::Md5(_) => !self.parts.uploads.digests(upload.uuid).await?.md5,
            Steering::Sha256(_) => !self.parts.uploads.digests(upload.uuid).await?.sha256,
        };
        if unknown {
            return Err(JobError::Invalid(format!(
                "system tag {}: this service does not compute that digest unless it is asked when the job is submitted",
                steering.name()
            )));
        }
        Ok(())
    }

    /// Fixes the length in the store first: that is where the truth is.
    async fn declare(
        &self,
        job: &LongJob,
        upload: UploadUuid,
        length: u64,
    ) -> Result<(), JobError> {
        let declared = match self.parts.uploads.open(upload).await? {
            Found::Open(live) => {
                if live.record().declared_length.is_none() {
                    // First: what the store has fixed nobody takes back when there is no room for the tag.
                    self.check_tag_room(Resource::Job(job.uuid)).await?;
                }
                self.parts.uploads.declare(&live, length).await
            }
            Found::Published(_) => return Ok(()),
        };
        match declared {
            Ok(()) => Ok(()),
            Err(UploadError::Store(StoreError::LengthConflict { declared, .. })) => {
                Err(JobError::Invalid(format!(
                    "system tag imageSize: the long job[uuid:{}] has a length of {declared} bytes already, or more bytes than that",
                    job.uuid
                )))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn check_tag_room(&self, resource: Resource) -> Result<(), JobError> {
        let query = Query { count: true, ..tags_on(resource) };
        let there = self.parts.db.tags(TagKind::System, &query, Scope::All).await?.total;
        if there.is_some_and(|there| there >= TAGS_OF_RESOURCE_MAX) {
            return Err(too_many(resource));
        }
        Ok(())
    }

    /// What tags have said is learnt where the upload is in memory. All bytes may have been there before their number was
    /// declared: no further one will come to ask.
    async fn heed(&self, job: JobUuid) -> Result<(), JobError> {
        let Some(job) = self.parts.db.job(job, Scope::All).await? else { return Ok(()) };
        let Some(upload) = self.upload_of(&job).await? else { return Ok(()) };
        self.parts.uploads.learn_said(upload.uuid).await?;
        if job.state == JobState::Running
            && job.stage == Stage::Receiving
            && upload.declared_length.is_some()
            // What is wrong with the store is told by whoever writes; the tag is recorded.
            && matches!(self.parts.uploads.is_complete(upload.uuid).await, Ok(true))
        {
            drop(self.complete(upload.run()));
        }
        Ok(())
    }

    async fn record_tag(
        &self,
        caller: Caller,
        resource: Resource,
        kind: TagKind,
        tag: String,
    ) -> Result<TagRecord, JobError> {
        let new = NewTag {
            uuid: TagUuid::random(),
            resource,
            kind,
            tag,
            tags_max: TAGS_OF_RESOURCE_MAX,
            now_ms: self.parts.clock.now_ms(),
        };
        match self.parts.db.create_tag(new, caller.scope()).await? {
            TagCreated::Recorded(tag) | TagCreated::AlreadyThere(tag) => Ok(tag),
            TagCreated::NoResource => Err(match resource {
                Resource::Job(uuid) => not_found(uuid),
                Resource::Image(uuid) => JobError::ImageNotFound { uuid: uuid.to_string() },
            }),
            TagCreated::TooMany => Err(too_many(resource)),
            TagCreated::TooLate(job) => Err(JobError::WrongState {
                state: job.state,
                words: format!(
                    "the long job[uuid:{}] is {} (stage {}): it is too late for this tag; give it when the job is submitted",
                    job.uuid,
                    job.state.name(),
                    job.stage.name()
                ),
            }),
            TagCreated::Contradicts(error) => Err(JobError::Invalid(format!(
                "{error}; delete the tag that says otherwise first, if it can be deleted"
            ))),
        }
    }

    /// Deletes a tag of the caller's, and takes back what it said about an upload. A length, and a digest that is being
    /// compared, cannot be taken back while the job lasts. That an image is damaged, only the service takes back.
    pub async fn delete_tag(&self, caller: Caller, uuid: TagUuid) -> Result<(), JobError> {
        let tags = self.parts.db.tags(TagKind::System, &one(uuid), caller.scope()).await?;
        if tags.rows.iter().any(|tag| not_reserved(&tag.tag) == Err(InvalidTag::Reserved)) {
            return Err(JobError::Invalid(
                "the service itself takes this tag away, when it has read the image again and found it sound: restore its file, and let a job of type[verifyImage] read it"
                    .to_owned(),
            ));
        }
        match self.parts.db.delete_tag(uuid, caller.scope()).await? {
            TagDeleted::Gone(tag) => match tag.resource {
                Resource::Job(job) => self.heed(job).await,
                Resource::Image(_) => Ok(()),
            },
            TagDeleted::Missing => Err(JobError::TagNotFound { uuid: uuid.to_string() }),
            TagDeleted::Heeded(tag) => Err(JobError::Invalid(format!(
                "the upload of the long job[uuid:{}] goes by this tag: it can be deleted when the job has ended",
                tag.resource.uuid()
            ))),
        }
    }
}

/// The tags on a job or an image; not those on one of the other kind that has the same uuid.
pub(super) fn tags_on(resource: Resource) -> Query {
    let equal = |field: &str, value: String| Condition {
        field: field.to_owned(),
        operator: Operator::Equal,
        value,
    };
    let conditions = vec![
        equal("resourceUuid", resource.uuid()),
        equal("resourceType", resource.type_name().to_owned()),
    ];
    Query { conditions, ..Query::default() }
}

fn one(uuid: TagUuid) -> Query {
    let condition =
        Condition { field: "uuid".to_owned(), operator: Operator::Equal, value: uuid.to_string() };
    Query { conditions: vec![condition], ..Query::default() }
}

fn too_many(resource: Resource) -> JobError {
    JobError::Quota(format!(
        "resource[uuid:{}] has {TAGS_OF_RESOURCE_MAX} tags already; delete one first",
        resource.uuid()
    ))
}
