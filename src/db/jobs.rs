//! Long jobs.

use async_trait::async_trait;

use crate::domain::{
    account::Scope,
    clock::EpochMs,
    history::StateChange,
    ids::{ImageUuid, JobUuid},
    image_id::ImageId,
    job::{JobResult, LongJob, Reason},
    job_state::{JobState, SuspendReason},
    query::{Page, Query},
    tag::{Resource, hex},
    upload::{UploadFate, UploadKind, UploadRecord},
};

use super::{
    Applied, Created, DbError, Deleted, ImageChange, JobRepository, MoveJob, NewRun, NewUploadJob,
    Result, RunBegun, RunTags, TakeOver, TakenOver, UnfinishedPage,
    dialect::{Dialect, Link, SqlText, Value},
    images::image_values,
    query::{self, JOBS},
    rows::{self, RowOf},
    sql::SqlDatabase,
    statements as st,
    tags::{delete_tags, tag_inserts},
    values::{big, rows_max, values},
    write::Write,
};

/// Jobs that one `IMAGE_ID` is answered with.
const LIVE_JOBS_MAX: u64 = 100;

#[async_trait]
impl<D: Dialect> JobRepository for SqlDatabase<D> {
    async fn create_upload_job(&self, new: NewUploadJob) -> Result<Created> {
        check_job(&new.job)?;
        check_tags(&new.system_tags, &new.user_tags)?;
        self.write(new).await
    }

    async fn job(&self, uuid: JobUuid, scope: Scope) -> Result<Option<LongJob>> {
        self.read_one(st::JOB_BY_UUID, values![uuid, scope], rows::job).await
    }

    async fn jobs(&self, query: &Query, scope: Scope) -> Result<Page<LongJob>> {
        query::page(self, &JOBS, query, scope, rows::job).await
    }

    async fn job_history(&self, uuid: JobUuid, scope: Scope) -> Result<Option<Vec<StateChange>>> {
        self.history_of(uuid, scope).await
    }

    async fn newest_change_ms(&self) -> Result<Option<EpochMs>> {
        let jobs = self.read_number(SqlText::Fixed(st::JOBS_NEWEST), Vec::new()).await?;
        let images = self.read_number(SqlText::Fixed(st::IMAGES_NEWEST), Vec::new()).await?;
        Ok(EpochMs::try_from(jobs.max(images)).ok().filter(|&newest_ms| newest_ms > 0))
    }

    async fn move_job(&self, change: MoveJob) -> Result<Applied> {
        self.write(change).await
    }

    async fn begin_run(&self, run: NewRun) -> Result<RunBegun> {
        check_job(&run.job)?;
        if let RunTags::Replace { system, user } = &run.tags {
            check_tags(system, user)?;
        }
        self.write(run).await
    }

    async fn rename_job(
        &self,
        uuid: JobUuid,
        scope: Scope,
        name: Option<String>,
        description: Option<String>,
        now_ms: EpochMs,
    ) -> Result<Option<LongJob>> {
        check_text("name", name.as_ref())?;
        check_text("description", description.as_ref())?;
        self.write(RenameJob { uuid, scope, name, description, now_ms }).await
    }

    async fn delete_job(&self, uuid: JobUuid, scope: Scope) -> Result<Deleted> {
        self.write(DeleteJob { uuid, scope }).await
    }

    async fn live_jobs_of(
        &self,
        image_id: &ImageId,
        scope: Scope,
    ) -> Result<Vec<(LongJob, UploadRecord)>> {
        let values = values![image_id.as_str(), scope, rows_max(LIVE_JOBS_MAX)];
        self.read_all(SqlText::Fixed(st::JOBS_LIVE_OF), values, rows::job_and_upload).await
    }

    async fn unfinished_jobs(&self, after: Option<&str>, limit: u64) -> Result<UnfinishedPage> {
        let values = values![after.unwrap_or_default(), rows_max(limit)];
        let read = |row: &D::Row| {
            let key = RowOf::new(row, "long_job", "uuid").text("uuid")?;
            Ok((key, rows::job_and_upload(row)))
        };
        let sql = SqlText::Fixed(st::JOBS_UNFINISHED);
        let mut page = UnfinishedPage::default();
        for (key, read) in self.read_all(sql, values, read).await? {
            page.last = Some(key.clone());
            match read {
                Ok(row) => page.jobs.push(row),
                Err(error) => page.unreadable.push((key, error)),
            }
        }
        Ok(page)
    }

    async fn take_over(&self, takeover: TakeOver) -> Result<TakenOver> {
        self.write(takeover).await
    }
}

fn check_job(job: &LongJob) -> Result<()> {
    check_text("name", Some(&job.name))?;
    check_text("description", job.description.as_ref())?;
    check_text("jobData", Some(&job.job_data))
}

fn check_tags(system: &[String], user: &[String]) -> Result<()> {
    system.iter().try_for_each(|tag| check_text("systemTags", Some(tag)))?;
    user.iter().try_for_each(|tag| check_text("userTags", Some(tag)))
}

/// U+0000 is refused with the field's own name, before the statement would refuse it without.
fn check_text(field: &'static str, text: Option<&String>) -> Result<()> {
    match text {
        Some(text) if text.contains('\0') => Err(DbError::bad_value(field, text)),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn reason(state: JobState) -> Value {
    state.suspend_reason().map(SuspendReason::name).into()
}

/// `result_kind`, `result_detail`, `result_cause`.
pub(super) fn result_values(result: Option<&JobResult>) -> [Value; 3] {
    match result {
        None => [Value::Text(None), Value::Text(None), Value::Text(None)],
        Some(JobResult::Event) => ["event".into(), Value::Text(None), Value::Text(None)],
        Some(JobResult::Error { detail, cause, reason }) => {
            let cause = format!("{}{cause}", mark(*reason));
            ["error".into(), detail.into(), cause.into()]
        }
    }
}

/// How `result_cause` begins for a reason: the rows have no column of its own, and one would be empty in nearly all. The separator
/// occurs in no sentence. What has no mark is not the file's fault, as in rows that an older version wrote.
const fn mark(reason: Reason) -> &'static str {
    match reason {
        Reason::Content => "content\u{1f}",
        Reason::Digests => "digests\u{1f}",
        Reason::NotTheFile => "",
    }
}

/// The reason and the words of `result_cause`.
pub(super) fn reason_and_cause(text: &str) -> (Reason, String) {
    let marked = Reason::ALL.into_iter().find_map(|reason| {
        let mark = Some(mark(reason)).filter(|mark| !mark.is_empty())?;
        Some((reason, text.strip_prefix(mark)?.to_owned()))
    });
    marked.unwrap_or_else(|| (Reason::NotTheFile, text.to_owned()))
}

pub(super) fn upload_values(upload: &UploadRecord) -> Result<Vec<Value>> {
    let length = upload.declared_length.map(|n| big("declared length", n)).transpose()?;
    let parts = upload.parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    Ok(values![
        upload.uuid,
        (upload.kind != UploadKind::Partial).then_some(upload.job),
        upload.image,
        upload.account,
        upload.image_id.as_ref().map(ImageId::as_str),
        upload.completion.name(),
        length,
        upload.expected.md5.map(|md5| hex(&md5)),
        upload.expected.sha256.map(|sha256| hex(&sha256)),
        big("offset", upload.offset_cached)?,
        big("stored", upload.stored_cached)?,
        upload.fate.name(),
        upload.url_generation,
        upload.owner,
        big("owner epoch", upload.owner_epoch)?,
        upload.lease_until_ms,
        upload.created_ms,
        upload.last_byte_ms,
        upload.client_metadata.as_deref(),
        upload.kind.name(),
        Some(parts).filter(|parts| !parts.is_empty()),
    ])
}

fn job_values(new: &NewUploadJob) -> Vec<Value> {
    let job = &new.job;
    let [kind, detail, cause] = result_values(job.result.as_ref());
    values![
        job.uuid,
        job.account,
        &job.name,
        &job.description,
        job.api_id,
        &job.job_name,
        &job.job_data,
        job.state.name(),
        reason(job.state),
        job.generation,
        job.stage.name(),
        job.stage_percent,
        &job.waits_for,
        kind,
        detail,
        cause,
        job.image,
        new.upload.uuid,
        job.node,
        job.created_ms,
        job.last_op_ms,
        job.finished_ms,
        &new.cause,
    ]
}

impl Write for NewUploadJob {
    type Answer = Created;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<Created> {
        // What has ended already takes no place among the open ones, so that it needs no turn.
        if !self.job.state.is_final() {
            link.execute(st::TURN_TAKE, values![self.job.account]).await?;
        }
        let count = SqlText::Fixed(st::OPEN_UPLOADS_COUNT);
        let open = link.number(count, values![self.job.account]).await?;
        let inserts = vec![
            (SqlText::Fixed(st::JOB_INSERT), job_values(self)),
            (SqlText::Fixed(st::IMAGE_INSERT), image_values(&self.image)?),
            (SqlText::Fixed(st::UPLOAD_INSERT), upload_values(&self.upload)?),
        ];
        let rows_new = inserts.len() as u64;
        if link.execute_all(inserts).await? < rows_new {
            return Ok(Created::Duplicate);
        }
        // Counted before the insert, told after it: a repeated submit hears that it is a duplicate. Its parts give their places up.
        let parts = self.upload.parts.len() as u64;
        if open.saturating_sub(parts) >= self.open_uploads_max {
            return Ok(Created::TooManyOpenUploads);
        }
        for part in &self.upload.parts {
            let take = values![*part, self.upload.uuid, self.upload.account];
            if link.execute(st::PART_TAKE, take).await? == 0 {
                return Ok(Created::PartTaken(*part));
            }
        }
        let (system, user) = (&self.system_tags, &self.user_tags);
        let (job, image) = (Resource::Job(self.job.uuid), Resource::Image(self.image.uuid));
        let both = [job, image];
        let tags = tag_inserts(self.job.account, &both, system, user, self.job.created_ms);
        // Tags of an image that was replaced by a rerun, if any, go. Those of a job went with it.
        let none_before =
            (SqlText::Fixed(st::TAGS_DELETE), values![image.uuid(), image.type_name()]);
        link.execute_all(std::iter::once(none_before).chain(tags).collect()).await?;
        Ok(Created::Recorded)
    }

    fn keeps(answer: &Created) -> bool {
        match answer {
            Created::Recorded => true,
            Created::Duplicate | Created::TooManyOpenUploads | Created::PartTaken(_) => false,
        }
    }
}

impl Write for MoveJob {
    type Answer = Applied;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<Applied> {
        let [kind, detail, cause] = result_values(self.result.as_ref());
        let change = values![
            self.uuid,
            self.generation,
            self.state.name(),
            reason(self.state),
            self.stage.name(),
            self.stage_percent,
            &self.waits_for,
            kind,
            detail,
            cause,
            self.node,
            self.now_ms,
            self.state.is_final().then_some(self.now_ms),
            &self.cause,
        ];
        let Some(row) = link.one(st::JOB_MOVE, change).await? else {
            let exists = link.number(SqlText::Fixed(st::JOB_EXISTS), values![self.uuid]).await?;
            return Ok(if exists == 0 { Applied::Missing } else { Applied::Stale });
        };
        let row = RowOf::new(&row, "long_job", "uuid");
        let image: ImageUuid = row.parsed("image_uuid")?;
        match &self.image {
            ImageChange::Keep => {}
            ImageChange::Replace(record) => {
                if record.uuid != image {
                    return Err(DbError::Refused {
                        message: "a job moved with the image of another job".to_owned(),
                    });
                }
                link.execute(st::IMAGE_REPLACE, image_values(record)?).await?;
            }
            ImageChange::Remove => {
                link.execute(st::IMAGE_DELETE, values![image]).await?;
                delete_tags(link, Resource::Image(image)).await?;
            }
        }
        if let Some(fate) = self.fate {
            let upload = row.text("upload_uuid")?;
            link.execute(st::UPLOAD_FATE, values![upload, UploadFate::name(fate)]).await?;
        }
        if self.state.is_final() {
            link.execute(st::PROGRESS_DELETE, values![row.text("api_id")?]).await?;
        }
        Ok(Applied::Moved(row.int("generation")?))
    }
}

struct RenameJob {
    uuid: JobUuid,
    scope: Scope,
    name: Option<String>,
    description: Option<String>,
    now_ms: EpochMs,
}

impl Write for RenameJob {
    type Answer = Option<LongJob>;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<Option<LongJob>> {
        let change = values![self.uuid, self.scope, &self.name, &self.description, self.now_ms];
        link.execute(st::JOB_RENAME, change).await?;
        let row = link.one(st::JOB_BY_UUID, values![self.uuid, self.scope]).await?;
        row.map(|row| rows::job(&row)).transpose()
    }
}

struct DeleteJob {
    uuid: JobUuid,
    scope: Scope,
}

impl Write for DeleteJob {
    type Answer = Deleted;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<Deleted> {
        let Some(row) = link.one(st::JOB_DELETE, values![self.uuid, self.scope]).await? else {
            let there = link.one(st::JOB_BY_UUID, values![self.uuid, self.scope]).await?;
            return Ok(if there.is_some() { Deleted::NotFinal } else { Deleted::Missing });
        };
        let api_id = RowOf::new(&row, "long_job", "uuid").text("api_id")?;
        link.execute(st::PROGRESS_DELETE, values![api_id]).await?;
        delete_tags(link, Resource::Job(self.uuid)).await?;
        Ok(Deleted::Gone)
    }
}
