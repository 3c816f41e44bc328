//! The records of the service, on SQLite or PostgreSQL. The only place with SQL.
//!
//! What the traits promise, both databases keep; the same tests run on both. Every write is one transaction: it is there whole
//! and durable when the method returns, or not at all. No method holds a transaction while it waits for anything but the
//! database. A lost race is an outcome, never an error and never silence.
//!
//! A method whose caller goes away does its work whole or not at all. Text with U+0000 in it is `BadValue` before it reaches the
//! database, numbers above 2^63 - 1 as well. A row that this version cannot read is `CorruptRow`. Every wait has an end
//! ([`DbOptions::wait_ms`]), and then the error is `Unavailable`.
//!
//! [`open`] gives the one implementation: statement texts in `statements.rs`, the grammar of queries in `query.rs`, what differs
//! between the databases in `dialect.rs`, how each commits in `sqlite.rs` and `postgres.rs`.

mod access_keys;
mod accounts;
mod clause;
mod dialect;
mod error;
mod history;
mod identity;
mod images;
mod jobs;
mod open;
mod partials;
#[cfg(test)]
mod plan_tests;
mod postgres;
mod query;
mod query_index;
mod query_time;
mod queryable;
mod rows;
mod runs;
mod schedule;
mod service;
mod sql;
mod sqlite;
mod statements;
mod tags;
mod takeover;
mod uploads;
mod values;
mod write;

use async_trait::async_trait;

pub use error::DbError;
pub use identity::{AccessKeyRepository, AccountRepository, SessionRepository};
pub use images::ImagesPage;
pub use open::{DbOptions, open};
pub use partials::{PartialRepository, PartialsPage};
pub use runs::{NewRun, RunBegun, RunTags};
pub use schedule::{
    BegunRun, DueFire, DueFires, FireTaken, OpenRun, RunEnd, Runner, ScheduleChange,
    ScheduleChanged, ScheduleRepository, TakeFire, Unreadables,
};
pub use tags::{NewTag, TagCreated, TagDeleted, TagRepository};
pub use write::WriteCounters;

use crate::domain::{
    account::{Scope, StorageRecord},
    add_image::InvalidField,
    clock::EpochMs,
    history::StateChange,
    ids::{ApiId, ImageUuid, JobUuid, NodeUuid, UploadUuid},
    image::ImageRecord,
    image_id::ImageId,
    job::{JobResult, LongJob, Stage, TaskProgress},
    job_state::JobState,
    query::{Page, Query},
    update_image::ImageChanges,
    upload::{UploadFate, UploadRecord},
};

/// Result of every database operation.
pub type Result<T> = std::result::Result<T, DbError>;

/// A new upload job with everything that belongs to it; recorded whole or not at all. One that has ended before it is recorded comes
/// with its Ready image.
#[derive(Debug, Clone)]
pub struct NewUploadJob {
    /// The job.
    pub job: LongJob,
    /// Its image, `Downloading`.
    pub image: ImageRecord,
    /// Its upload.
    pub upload: UploadRecord,
    /// System tags of the job, in order. They are recorded for the image as well, and go with whichever of the two goes.
    pub system_tags: Vec<String>,
    /// User tags of the job, in order; also of the image.
    pub user_tags: Vec<String>,
    /// Uploads that are not final which the account may have; one more is [`Created::TooManyOpenUploads`].
    pub open_uploads_max: u64,
    /// Why there is such a job, in words: with it its history begins.
    pub cause: String,
}

/// Outcome of recording a new upload job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Created {
    /// Recorded.
    Recorded,
    /// One of its identifiers (job, image, upload) is taken; nothing was changed. Told also where the account is full.
    Duplicate,
    /// The account has as many unfinished uploads as it may have.
    TooManyOpenUploads,
    /// A partial upload that was to be a part is one of another upload, or has ended; nothing was changed.
    PartTaken(UploadUuid),
}

/// A change of a job's state or stage, and what happens to its image and upload in the same step.
#[derive(Debug, Clone)]
pub struct MoveJob {
    /// The job.
    pub uuid: JobUuid,
    /// The generation that the decision was made on.
    pub generation: i64,
    /// Its state from now on.
    pub state: JobState,
    /// Its stage from now on.
    pub stage: Stage,
    /// Percent of the stage.
    pub stage_percent: i64,
    /// In words, what it waits for from now on.
    pub waits_for: Option<String>,
    /// A new result; `None` leaves the old one.
    pub result: Option<JobResult>,
    /// The process that runs it from now on; `None` leaves the old one.
    pub node: Option<NodeUuid>,
    /// Why it goes to `state`, in words, for its history; of no account where it is in that state already.
    pub cause: String,
    /// What becomes of the image.
    pub image: ImageChange,
    /// What becomes of the upload; `None` leaves it as it is.
    pub fate: Option<UploadFate>,
    /// Now. Also `finished_ms` where `state` is final; progress rows of a final job are deleted in the same step.
    pub now_ms: EpochMs,
}

/// What becomes of the image of a job that moves.
#[derive(Debug, Clone)]
pub enum ImageChange {
    /// Nothing.
    Keep,
    /// It is replaced as a whole by this record, and made if it is gone. A record with the uuid of another job's image is
    /// refused.
    Replace(Box<ImageRecord>),
    /// Its row goes (failed or canceled uploads leave no image).
    Remove,
}

/// Jobs that are not final, a page of them.
#[derive(Debug, Clone, Default)]
pub struct UnfinishedPage {
    /// Those that can be read, in order of uuid.
    pub jobs: Vec<(LongJob, UploadRecord)>,
    /// Those that cannot: the key of the row, and what is wrong with it.
    pub unreadable: Vec<(String, DbError)>,
    /// Key of the last row, to go on after; `None` on an empty page, the end.
    pub last: Option<String>,
}

/// What a process that starts takes over.
#[derive(Debug, Clone)]
pub struct TakeOver {
    /// Unfinished jobs with a key greater than this one ...
    pub after: String,
    /// ... and not greater than this one.
    pub through: String,
    /// Who takes them over.
    pub node: NodeUuid,
    /// Until when their leases last.
    pub until_ms: EpochMs,
    /// Jobs that are taken over go from a state to a state.
    pub moves: Vec<(JobState, JobState)>,
    /// What jobs that go wait for from now on.
    pub waits_for: String,
    /// The detail of their result; the nil uuid in it stands for the job's own.
    pub detail: String,
    /// The cause in their result, and in their history.
    pub cause: String,
    /// Now.
    pub now_ms: EpochMs,
}

/// What was taken over.
#[derive(Debug, Clone, Default)]
pub struct TakenOver {
    /// Uploads that are ours, with their fencing numbers.
    pub uploads: Vec<(UploadUuid, u64)>,
    /// Jobs that moved, with their new states.
    pub moved: Vec<(JobUuid, JobState)>,
}

/// Outcome of a compare-and-swap on a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Applied {
    /// Done; this is the generation from now on.
    Moved(i64),
    /// Somebody else moved the job first; nothing was changed. Read it again and decide anew.
    Stale,
    /// There is no such job.
    Missing,
}

/// Outcome of deleting a job's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Deleted {
    /// It was there and is gone, its tags with it.
    Gone,
    /// It is not final; nothing was changed.
    NotFinal,
    /// There is no such record that the caller may see.
    Missing,
}

/// Long jobs and their tags.
#[async_trait]
pub trait JobRepository: Send + Sync + 'static {
    /// Records a job, its image, upload and tags in one step.
    async fn create_upload_job(&self, new: NewUploadJob) -> Result<Created>;
    /// The job, if the scope may see it.
    async fn job(&self, uuid: JobUuid, scope: Scope) -> Result<Option<LongJob>>;
    /// Jobs that match a query. Fields are those of ZStack's LongJobInventory (zstack.md 2.1), `accountUuid`, `stage`,
    /// `stagePercent`, `suspendReason`, `waitsFor`, and `__systemTag__` and `__userTag__`; an unknown one is `UnknownField`.
    /// Text compares bytewise, LIKE without regard to the case of ASCII letters. NULL meets only `is null` and sorts last. A time
    /// without milliseconds means any in its second. Rows of equal order come by uuid; without a sort, by creation. At most
    /// `LIMIT_DEFAULT` rows, 500 values in a list and 2,000 in a query.
    async fn jobs(&self, query: &Query, scope: Scope) -> Result<Page<LongJob>>;
    /// The states that a job has been in, the oldest first, if the scope may see it: never empty, and the last is the state that it
    /// is in. A change is recorded in the transaction that makes it, whoever does; of more than 100 the oldest go, but for the
    /// first. Of what an earlier version did only the end is known.
    async fn job_history(&self, uuid: JobUuid, scope: Scope) -> Result<Option<Vec<StateChange>>>;
    /// When a job or an image was last changed; `None` if there is none.
    async fn newest_change_ms(&self) -> Result<Option<EpochMs>>;
    /// Moves a job by compare-and-swap on its generation, image and upload in the same step.
    async fn move_job(&self, change: MoveJob) -> Result<Applied>;
    /// Lets a final job run again: by compare-and-swap on its generation it gets a new upload, in the same step the upload of
    /// the run before ends, and the image is recorded anew. All of it or nothing.
    async fn begin_run(&self, run: NewRun) -> Result<RunBegun>;
    /// Renames a job; `None` leaves a field. Does not touch the generation. Answers the job, or `None` if there is none to see.
    async fn rename_job(
        &self,
        uuid: JobUuid,
        scope: Scope,
        name: Option<String>,
        description: Option<String>,
        now_ms: EpochMs,
    ) -> Result<Option<LongJob>>;
    /// Deletes a final job's record and its tags, upload and progress records; the image stays.
    async fn delete_job(&self, uuid: JobUuid, scope: Scope) -> Result<Deleted>;
    /// Jobs that are not final whose upload carries this `IMAGE_ID` (tag `uploadImage::<id>`), with their uploads: largest
    /// `offset_cached` first, then newest first. At most 100.
    async fn live_jobs_of(
        &self,
        image_id: &ImageId,
        scope: Scope,
    ) -> Result<Vec<(LongJob, UploadRecord)>>;
    /// All jobs that are not final, with their uploads: for recovery and supervision. Pages of at most `limit` whose key is greater
    /// than `after`, in order of uuid. A row that cannot be read keeps no other from being read: it is told beside them.
    async fn unfinished_jobs(&self, after: Option<&str>, limit: u64) -> Result<UnfinishedPage>;
    /// Takes the uploads of a range of unfinished jobs over at the start of a process, and moves their jobs, in one transaction. A
    /// lease of another node that has not ended is left alone, with its job; epochs as in
    /// [`UploadRepository::lease_upload`]. Nothing but state, result, what is waited for, node and time of the jobs changes.
    async fn take_over(&self, takeover: TakeOver) -> Result<TakenOver>;
}

/// Uploads: what the data plane has to know of each.
#[async_trait]
pub trait UploadRepository: Send + Sync + 'static {
    /// One upload, whatever has become of it.
    async fn upload(&self, uuid: UploadUuid) -> Result<Option<UploadRecord>>;
    /// The newest upload of an image.
    async fn upload_of_image(&self, image: ImageUuid) -> Result<Option<UploadRecord>>;
    /// The newest upload of each of these images, in no order; for rendering a list. Any number; one statement per 1,000.
    async fn uploads_of_images(&self, images: &[ImageUuid]) -> Result<Vec<UploadRecord>>;
    /// Writes down offsets and times for listings, all in one transaction. Rows whose upload is gone are passed over; a row
    /// whose owner epoch is higher than the given one is left alone. Also the percent of the job, where it is receiving and not
    /// final (no new generation), and its progress as `uploading image`. An offset never goes back.
    async fn touch_uploads(&self, touches: Vec<UploadTouch>) -> Result<()>;
    /// Writes down the declared length. The store decided that it may.
    async fn set_declared_length(&self, uuid: UploadUuid, length: u64) -> Result<()>;
    /// Revokes every upload URL handed out for the upload; answers the new generation.
    async fn raise_url_generation(&self, uuid: UploadUuid) -> Result<Option<i64>>;
    /// Takes or renews the lease of an upload until `until_ms`. A lease of another node that has not ended at `now_ms` is `Held`. Taking it
    /// over from another node (or after it ended) raises the epoch; renewing one's own does not.
    async fn lease_upload(
        &self,
        uuid: UploadUuid,
        node: NodeUuid,
        now_ms: EpochMs,
        until_ms: EpochMs,
    ) -> Result<Leased>;
    /// Renews the leases of all uploads that this node owns and that are open.
    async fn renew_leases(&self, node: NodeUuid, until_ms: EpochMs) -> Result<u64>;
    /// Which of these uploads have a record with fate `Open`: the others' staging entries are strays.
    async fn known_open(&self, uuids: Vec<UploadUuid>) -> Result<Vec<UploadUuid>>;
}

/// What is written down of an upload now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadTouch {
    /// The upload.
    pub uuid: UploadUuid,
    /// Fencing number of the process that says so.
    pub owner_epoch: u64,
    /// First missing byte.
    pub offset: u64,
    /// Bytes stored.
    pub stored: u64,
    /// When the last byte arrived.
    pub last_byte_ms: EpochMs,
    /// Percent of the receiving stage, also written to the job and its progress.
    pub percent: i64,
}

/// Outcome of asking for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Leased {
    /// It is ours with this epoch.
    Ours {
        /// Fencing number to give to the store.
        epoch: u64,
    },
    /// Another process holds it.
    Held,
    /// There is no such upload.
    Missing,
}

/// Outcome of changing an image's record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum ImageUpdated {
    /// It is like this now.
    Done(Box<ImageRecord>),
    /// There is no such image that the caller may see.
    Missing,
    /// The result would be no image that could have been added; nothing was changed.
    Refused(InvalidField),
}

/// Images.
#[async_trait]
pub trait ImageRepository: Send + Sync + 'static {
    /// The image, if the scope may see it.
    async fn image(&self, uuid: ImageUuid, scope: Scope) -> Result<Option<ImageRecord>>;
    /// Images that match a query, as [`JobRepository::jobs`]. Fields are those of ZStack's ImageInventory (zstack.md 3.2),
    /// `accountUuid`, `sha256Sum`, those of the image's one storage reference as `backupStorageRefs.<field>` and of the storage as
    /// `backupStorage.<field>`, and tags. Deleted images are among them. The `installPath` of an image that is being uploaded is
    /// a secret and in no row, its `exportUrl` and `backupStorage.zone` do not exist: all meet only `is null`.
    async fn images(&self, query: &Query, scope: Scope) -> Result<Page<ImageRecord>>;
    /// The images with these identifiers, in no order; for rendering a list of jobs. Any number; one statement per 1,000.
    async fn images_by_uuid(&self, uuids: &[ImageUuid]) -> Result<Vec<ImageRecord>>;
    /// Those of these identifiers that have a row, in no order, also one that cannot be read. Any number; one statement per 1,000.
    async fn known_images(&self, uuids: &[ImageUuid]) -> Result<Vec<ImageUuid>>;
    /// Ready images in order of uuid: at most `limit` after `after`. Whoever goes from page to page meets every image that is there all
    /// the time, whatever comes and goes meanwhile. A row that cannot be read keeps no other from being answered.
    async fn ready_images(&self, after: Option<&str>, limit: u64) -> Result<ImagesPage<String>>;
    /// Marks an image that is Ready as deleted. Answers whether there was one.
    async fn mark_image_deleted(
        &self,
        uuid: ImageUuid,
        scope: Scope,
        now_ms: EpochMs,
    ) -> Result<bool>;
    /// Makes a deleted image Ready again. Answers whether there was one. Whether its bytes are still there is for the caller to
    /// know.
    async fn recover_image(&self, uuid: ImageUuid, now_ms: EpochMs) -> Result<bool>;
    /// Changes fields of an image in any status. The changes are checked against the record as it is at that moment.
    async fn update_image(
        &self,
        uuid: ImageUuid,
        scope: Scope,
        changes: ImageChanges,
        now_ms: EpochMs,
    ) -> Result<ImageUpdated>;
    /// Removes the row of a deleted image for good, and its tags; the upload that it was ends as `Discarded`. Answers whether there
    /// was one: an image that is not Deleted any more stays.
    async fn remove_image(&self, uuid: ImageUuid) -> Result<bool>;
    /// Images whose status is Deleted since before `before_ms`, at most `limit`, oldest first; those behind `after`, the time of
    /// deletion and the uuid of the last one of a page before.
    async fn deleted_images(
        &self,
        after: Option<(EpochMs, ImageUuid)>,
        before_ms: EpochMs,
        limit: u64,
    ) -> Result<Vec<ImageRecord>>;
    /// System tags of jobs or images, in the order in which they were given: (resource uuid as text, tag). Those of the image
    /// where a job has the same uuid.
    async fn system_tags(&self, resources: &[String]) -> Result<Vec<(String, String)>>;
}

/// Results of asynchronous API calls, kept a while.
#[async_trait]
pub trait ApiJobRepository: Send + Sync + 'static {
    /// Records that a call is running; `false` if the id is taken.
    async fn begin_api_job(&self, id: ApiId, now_ms: EpochMs) -> Result<bool>;
    /// Records its result.
    async fn finish_api_job(&self, id: ApiId, result: ApiJobResult, now_ms: EpochMs) -> Result<()>;
    /// What is known of a call: `None` unknown, `Some(None)` running.
    async fn api_job(&self, id: ApiId) -> Result<Option<Option<ApiJobResult>>>;
    /// Removes calls that ended before `before_ms`, and those that began before it and were cut off by a restart; answers how many. Calls that run stay.
    async fn prune_api_jobs(&self, before_ms: EpochMs) -> Result<u64>;
    /// Replaces the newest progress of a call. A report older than the one there, or after the end of the call's job, changes
    /// nothing.
    async fn save_progress(&self, progress: TaskProgress) -> Result<()>;
    /// The newest progress of a call whose job has not ended.
    async fn progress(&self, id: ApiId) -> Result<Option<TaskProgress>>;
}

/// Result of an asynchronous API call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiJobResult {
    /// Whether it succeeded.
    pub success: bool,
    /// The body that the poll answers.
    pub body: String,
}

/// What a query knows of the storage besides its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageNow {
    /// Where uploads go.
    pub url: String,
    /// Room in bytes.
    pub total_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
}

/// The service's own records: which store belongs to it, which processes run.
#[async_trait]
pub trait ServiceRepository: Send + Sync + 'static {
    /// Records the storage on first use; afterwards answers the recorded one, whatever is given. The caller compares.
    async fn bind_storage(&self, storage: StorageRecord) -> Result<StorageRecord>;
    /// The one storage if it matches a query, as [`JobRepository::jobs`]. Fields are those of ZStack's BackupStorageInventory, but
    /// for `attachedZoneUuids`. What is not in rows is taken from `now`.
    async fn storages(&self, query: &Query, now: StorageNow) -> Result<Page<StorageRecord>>;
    /// Answers if the database can be read and written at this moment. Costs a commit.
    async fn ping(&self) -> Result<()>;
    /// Answers a named secret-free setting of the service, recorded on first use.
    async fn setting(&self, name: &str, first_value: &str) -> Result<String>;
}

/// Everything at once: what the use cases hold.
pub trait Database:
    JobRepository
    + UploadRepository
    + PartialRepository
    + ImageRepository
    + AccountRepository
    + SessionRepository
    + AccessKeyRepository
    + ApiJobRepository
    + ServiceRepository
    + TagRepository
    + ScheduleRepository
{
}

impl<T> Database for T where
    T: JobRepository
        + UploadRepository
        + PartialRepository
        + ImageRepository
        + AccountRepository
        + SessionRepository
        + AccessKeyRepository
        + ApiJobRepository
        + ServiceRepository
        + TagRepository
        + ScheduleRepository
{
}
