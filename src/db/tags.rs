//! Tags.

use std::fmt::Write as _;

use async_trait::async_trait;

use crate::domain::{
    account::Scope,
    clock::EpochMs,
    ids::{AccountUuid, ImageUuid, JobUuid, TagUuid},
    job::{LongJob, Stage},
    query::{Page, Query},
    tag::{InvalidTag, Resource, Steering, TagKind, TagRecord, hex},
    upload::UploadRecord,
};

use super::{
    DbError, Result,
    dialect::{Dialect, Link, SqlText, Value},
    query::{self, SYSTEM_TAGS, USER_TAGS},
    rows::{self, RowOf},
    sql::SqlDatabase,
    statements as st,
    values::{big, values},
    write::Write,
};

/// A tag to be given to a job or an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTag {
    /// Its identifier.
    pub uuid: TagUuid,
    /// On what.
    pub resource: Resource,
    /// For whom.
    pub kind: TagKind,
    /// The text.
    pub tag: String,
    /// Tags of this kind that the resource may have; one more is [`TagCreated::TooMany`].
    pub tags_max: u64,
    /// Now.
    pub now_ms: EpochMs,
}

/// Outcome of giving a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum TagCreated {
    /// It is there now.
    Recorded(TagRecord),
    /// The resource had it already; this is the one.
    AlreadyThere(TagRecord),
    /// There is no such resource that the caller may see.
    NoResource,
    /// The resource has as many tags as it may have.
    TooMany,
    /// It says something about an upload that is past heeding it.
    TooLate(Box<LongJob>),
    /// It contradicts what was said before.
    Contradicts(InvalidTag),
}

/// Outcome of deleting a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum TagDeleted {
    /// It was there and is gone.
    Gone(TagRecord),
    /// There is no such tag that the caller may see.
    Missing,
    /// The upload of this job goes by it, and has to be left to.
    Heeded(TagRecord),
}

/// Tags of jobs and images.
///
/// A job and its image have the tags of the submit call each for itself: a tag that is given to one of them later, or taken from it,
/// leaves the other alone. Tags go with their resource.
///
/// Four system tags of a *job* steer its upload (`uploadImage::`, `imageSize::`, `imageMd5::`, `imageSha256::`); on an image they
/// are text like all others. What they say is written into the upload in the same step: once `uploadImage::X` is there the upload
/// is found as X, once it is gone the upload is not; a digest that was accepted is compared before the image is Ready, and no
/// digest is accepted once the verification has begun. What was said first stands until its tag is deleted, and a length for
/// good.
#[async_trait]
pub trait TagRepository: Send + Sync + 'static {
    /// Tags of a kind that match a query, as [`super::JobRepository::jobs`]. Fields: `uuid`, `resourceUuid`, `resourceType`, `tag`,
    /// `type`, `createDate`, `lastOpDate`, `accountUuid`.
    async fn tags(&self, kind: TagKind, query: &Query, scope: Scope) -> Result<Page<TagRecord>>;
    /// Gives a tag. The same tag again is the one that is there, whatever has become of the job since.
    async fn create_tag(&self, new: NewTag, scope: Scope) -> Result<TagCreated>;
    /// Deletes a tag. What it said about an upload is taken back with it, where that can be: not a length, and no digest once the
    /// verification has begun, as long as the job has not ended.
    async fn delete_tag(&self, uuid: TagUuid, scope: Scope) -> Result<TagDeleted>;
}

#[async_trait]
impl<D: Dialect> TagRepository for SqlDatabase<D> {
    async fn tags(&self, kind: TagKind, query: &Query, scope: Scope) -> Result<Page<TagRecord>> {
        let of = match kind {
            TagKind::System => &SYSTEM_TAGS,
            TagKind::User => &USER_TAGS,
        };
        query::page(self, of, query, scope, rows::tag).await
    }

    async fn create_tag(&self, new: NewTag, scope: Scope) -> Result<TagCreated> {
        self.write(CreateTag { new, scope }).await
    }

    async fn delete_tag(&self, uuid: TagUuid, scope: Scope) -> Result<TagDeleted> {
        self.write(DeleteTag { uuid, scope }).await
    }
}

/// Columns of a tag, its position with them.
const TAG_COLUMNS: usize = 8;
/// Tags of one statement: SQLite takes 32,766 values in one, PostgreSQL 65,535.
const TAGS_AT_ONCE_MAX: usize = 1000;

/// The name of a kind in rows.
pub(super) const fn kind_name(kind: TagKind) -> &'static str {
    match kind {
        TagKind::System => "system",
        TagKind::User => "user",
    }
}

/// Gives a resource these tags, in order, and takes all others.
pub(super) async fn put_tags<D: Dialect>(
    link: &mut Link<'_, D>,
    account: AccountUuid,
    resource: Resource,
    system: &[String],
    user: &[String],
    now_ms: EpochMs,
) -> Result<()> {
    delete_tags(link, resource).await?;
    link.execute_all(tag_inserts(account, &[resource], system, user, now_ms)).await.map(drop)
}

/// The statements that give these tags, in order, to resources that have none. One for many: each costs a way to the database and back.
pub(super) fn tag_inserts(
    account: AccountUuid,
    resources: &[Resource],
    system: &[String],
    user: &[String],
    now_ms: EpochMs,
) -> Vec<(SqlText, Vec<Value>)> {
    let kinds = [(TagKind::System, system), (TagKind::User, user)];
    let mut rows = Vec::with_capacity(resources.len() * (system.len() + user.len()));
    for resource in resources.iter().copied() {
        for (kind, tags) in kinds {
            for (position, tag) in (0_i64..).zip(tags) {
                let (uuid, tag) = (TagUuid::ordered(now_ms), tag.clone());
                let tag = TagRecord { uuid, account, resource, kind, tag, created_ms: now_ms };
                rows.push(tag_values(&tag).into_iter().chain([position.into()]));
            }
        }
    }
    let mut statements = Vec::new();
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(TAGS_AT_ONCE_MAX));
        let sql = SqlText::Built(inserting(rows.len()));
        statements.push((sql, rows.into_iter().flatten().collect()));
        rows = rest;
    }
    statements
}

/// The statement that inserts so many tags.
fn inserting(tags: usize) -> String {
    let mut sql = st::TAGS_INSERT.to_owned();
    for row in 0..tags {
        let columns = (1..=TAG_COLUMNS).map(|column| format!("${}", row * TAG_COLUMNS + column));
        let columns = columns.collect::<Vec<_>>().join(", ");
        // Writing to a String does not fail.
        let _ = write!(sql, "{}({columns})", if row == 0 { "" } else { ", " });
    }
    sql
}

/// Takes all tags of a resource.
pub(super) async fn delete_tags<D: Dialect>(
    link: &mut Link<'_, D>,
    resource: Resource,
) -> Result<()> {
    let of = values![resource.uuid(), resource.type_name()];
    link.execute(st::TAGS_DELETE, of).await.map(drop)
}

fn tag_values(tag: &TagRecord) -> Vec<Value> {
    values![
        tag.uuid,
        tag.account,
        tag.resource.uuid(),
        tag.resource.type_name(),
        kind_name(tag.kind),
        &tag.tag,
        tag.created_ms,
    ]
}

struct CreateTag {
    new: NewTag,
    scope: Scope,
}

impl Write for CreateTag {
    type Answer = TagCreated;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<TagCreated> {
        let new = &self.new;
        let (account, job) = match new.resource {
            Resource::Job(uuid) => match locked_job(link, uuid, self.scope).await? {
                Some((job, upload)) => (job.account, Some((job, upload))),
                None => return Ok(TagCreated::NoResource),
            },
            Resource::Image(uuid) => match locked_image(link, uuid, self.scope).await? {
                Some(account) => (account, None),
                None => return Ok(TagCreated::NoResource),
            },
        };
        let there = same_tags(link, new.resource, new.kind, &new.tag).await?;
        if let Some(there) = there.into_iter().next() {
            return Ok(TagCreated::AlreadyThere(there));
        }
        let kind = kind_name(new.kind);
        let of = values![new.resource.uuid(), new.resource.type_name(), kind];
        if link.number(SqlText::Fixed(st::TAGS_COUNT), of).await? >= new.tags_max {
            return Ok(TagCreated::TooMany);
        }
        if let (Some((job, mut upload)), Some(steering)) = (job, steering(new.kind, &new.tag)?) {
            if !steering.is_heeded(job.state, job.stage) {
                return Ok(TagCreated::TooLate(Box::new(job)));
            }
            if let Err(error) = steering.apply(&mut upload) {
                return Ok(TagCreated::Contradicts(error));
            }
            steer(link, &upload).await?;
        }
        let tag = TagRecord {
            uuid: new.uuid,
            account,
            resource: new.resource,
            kind: new.kind,
            tag: new.tag.clone(),
            created_ms: new.now_ms,
        };
        link.execute(st::TAG_APPEND, tag_values(&tag)).await?;
        Ok(TagCreated::Recorded(tag))
    }
}

struct DeleteTag {
    uuid: TagUuid,
    scope: Scope,
}

impl Write for DeleteTag {
    type Answer = TagDeleted;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<TagDeleted> {
        let Some(row) = link.one(st::TAG_BY_UUID, values![self.uuid, self.scope]).await? else {
            return Ok(TagDeleted::Missing);
        };
        let tag = rows::tag(&row)?;
        if let (Resource::Job(job), Some(steering)) = (tag.resource, steering(tag.kind, &tag.tag)?)
            && let Some((job, mut upload)) = locked_job(link, job, self.scope).await?
            // A submit call may give the same tag twice: the other one goes on saying it.
            && same_tags(link, tag.resource, tag.kind, &tag.tag).await?.len() == 1
        {
            let is_kept = match steering {
                Steering::ImageId(_) => false,
                Steering::SizeBytes(_) => true,
                Steering::Md5(_) | Steering::Sha256(_) => job.stage != Stage::Receiving,
            };
            if is_kept && !job.state.is_final() {
                return Ok(TagDeleted::Heeded(tag));
            }
            if steering.withdraw(&mut upload) {
                steer(link, &upload).await?;
            }
        }
        link.execute(st::TAG_DELETE, values![self.uuid]).await?;
        Ok(TagDeleted::Gone(tag))
    }
}

/// What a tag of a job says about its upload. One that cannot be read says nothing: it was given before there were rules.
fn steering(kind: TagKind, tag: &str) -> Result<Option<Steering>> {
    match kind {
        TagKind::User => Ok(None),
        TagKind::System => Steering::read(tag).or_else(|error| match error {
            InvalidTag::Nul => Err(DbError::bad_value("tag", tag)),
            InvalidTag::ImageId(_)
            | InvalidTag::Size(_)
            | InvalidTag::Digest { .. }
            | InvalidTag::Contradiction(_)
            | InvalidTag::Reserved
            | InvalidTag::TooMuch => Ok(None),
        }),
    }
}

/// The job and its upload, locked until the transaction ends: neither a move nor another tag comes in between.
async fn locked_job<D: Dialect>(
    link: &mut Link<'_, D>,
    uuid: JobUuid,
    scope: Scope,
) -> Result<Option<(LongJob, UploadRecord)>> {
    if link.execute(st::JOB_LOCK, values![uuid, scope]).await? == 0 {
        return Ok(None);
    }
    let row = link.one(st::JOB_AND_UPLOAD, values![uuid]).await?;
    row.map(|row| rows::job_and_upload(&row)).transpose()
}

async fn locked_image<D: Dialect>(
    link: &mut Link<'_, D>,
    uuid: ImageUuid,
    scope: Scope,
) -> Result<Option<AccountUuid>> {
    let row = link.one(st::IMAGE_LOCK, values![uuid, scope]).await?;
    row.map(|row| RowOf::new(&row, "image", "uuid").parsed("account_uuid")).transpose()
}

async fn same_tags<D: Dialect>(
    link: &mut Link<'_, D>,
    resource: Resource,
    kind: TagKind,
    tag: &str,
) -> Result<Vec<TagRecord>> {
    let of = values![resource.uuid(), resource.type_name(), kind_name(kind), tag];
    let rows = link.all(SqlText::Fixed(st::TAGS_SAME), of).await?;
    rows.iter().map(rows::tag).collect()
}

/// Writes down what the tags of its job say about an upload.
async fn steer<D: Dialect>(link: &mut Link<'_, D>, upload: &UploadRecord) -> Result<()> {
    let length = upload.declared_length.map(|length| big("imageSize", length)).transpose()?;
    let said = values![
        upload.uuid,
        upload.image_id.as_ref().map(crate::domain::image_id::ImageId::as_str),
        upload.expected.md5.map(|md5| hex(&md5)),
        upload.expected.sha256.map(|sha256| hex(&sha256)),
        length,
    ];
    link.execute(st::UPLOAD_STEER, said).await.map(drop)
}
