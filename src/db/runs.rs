//! Another run of a job that is over.

use crate::domain::{
    image::ImageRecord,
    job::{LongJob, Run},
    tag::Resource,
    upload::UploadRecord,
};

use super::{
    Result,
    dialect::{Dialect, Link, SqlText},
    images::image_values,
    jobs::{reason, result_values, upload_values},
    rows::RowOf,
    statements as st,
    tags::put_tags,
    values::values,
    write::Write,
};

/// Another run of a final job; begun whole or not at all.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// The job as it is before.
    pub before: LongJob,
    /// The job as it is from now on, not final. Its generation is of no account.
    pub job: LongJob,
    /// Its image, `Downloading`.
    pub image: ImageRecord,
    /// Its upload.
    pub upload: UploadRecord,
    /// What becomes of its tags. The image gets the same.
    pub tags: RunTags,
    /// As in [`NewUploadJob`](super::NewUploadJob).
    pub open_uploads_max: u64,
    /// Why it runs again, in words, for its history.
    pub cause: String,
}

/// What becomes of the tags of a job that runs again.
#[derive(Debug, Clone)]
pub enum RunTags {
    /// They stay.
    Keep,
    /// They are replaced by these, in order.
    Replace {
        /// System tags.
        system: Vec<String>,
        /// User tags.
        user: Vec<String>,
    },
}

/// Outcome of beginning another run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum RunBegun {
    /// It has begun; this is the job's generation from now on. The upload of the run before has ended, unless it is the one of an
    /// image that this run does not make.
    Begun(i64),
    /// Somebody else moved the job first, or it is not final; nothing was changed.
    Stale,
    /// There is no such job.
    Missing,
    /// There is an image with this uuid, or an earlier run with this upload; nothing was changed.
    Duplicate,
    /// The account has as many unfinished uploads as it may have; nothing was changed.
    TooManyOpenUploads,
}

impl NewRun {
    async fn replace_job<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<Option<i64>> {
        let job = &self.job;
        let [kind, detail, cause] = result_values(job.result.as_ref());
        let change = values![
            self.before.uuid,
            self.before.generation,
            &job.name,
            &job.description,
            job.api_id,
            &job.job_data,
            job.state.name(),
            reason(job.state),
            job.stage.name(),
            job.stage_percent,
            &job.waits_for,
            kind,
            detail,
            cause,
            self.image.uuid,
            self.upload.uuid,
            job.node,
            job.created_ms,
            job.last_op_ms,
            job.finished_ms,
            &self.cause,
        ];
        let row = link.one(st::JOB_RUN_AGAIN, change).await?;
        row.map(|row| RowOf::new(&row, "long_job", "uuid").int("generation")).transpose()
    }

    async fn tag<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<()> {
        let (account, now_ms) = (self.job.account, self.job.created_ms);
        let (job, image) = (Resource::Job(self.job.uuid), Resource::Image(self.image.uuid));
        match &self.tags {
            RunTags::Replace { system, user } => {
                put_tags(link, account, job, system, user, now_ms).await?;
                put_tags(link, account, image, system, user, now_ms).await
            }
            RunTags::Keep => {
                let (mut system, mut user) = (Vec::new(), Vec::new());
                let of_job = SqlText::Fixed(st::TAGS_OF_JOB);
                for row in link.all(of_job, values![self.job.uuid]).await? {
                    let row = RowOf::new(&row, "tag", "tag");
                    let list = if row.text("kind")? == "system" { &mut system } else { &mut user };
                    list.push(row.text("tag")?);
                }
                put_tags(link, account, image, &system, &user, now_ms).await
            }
        }
    }
}

impl Write for NewRun {
    type Answer = RunBegun;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<RunBegun> {
        link.execute(st::TURN_TAKE, values![self.job.account]).await?;
        let count = SqlText::Fixed(st::OPEN_UPLOADS_COUNT);
        let open = link.number(count, values![self.job.account]).await?;
        let Some(generation) = self.replace_job(link).await? else {
            let exists = SqlText::Fixed(st::JOB_EXISTS);
            let exists = link.number(exists, values![self.job.uuid]).await?;
            return Ok(if exists == 0 { RunBegun::Missing } else { RunBegun::Stale });
        };
        if link.execute(st::IMAGE_INSERT, image_values(&self.image)?).await? == 0
            || link.execute(st::UPLOAD_INSERT, upload_values(&self.upload)?).await? == 0
        {
            return Ok(RunBegun::Duplicate);
        }
        if open >= self.open_uploads_max {
            return Ok(RunBegun::TooManyOpenUploads);
        }
        let Run { upload: ended, .. } = self.before.run();
        link.execute(st::UPLOAD_SUPERSEDE, values![ended, self.image.uuid]).await?;
        link.execute(st::PROGRESS_DELETE, values![self.before.api_id]).await?;
        self.tag(link).await?;
        Ok(RunBegun::Begun(generation))
    }

    fn keeps(answer: &RunBegun) -> bool {
        match answer {
            RunBegun::Begun(_) => true,
            RunBegun::Stale
            | RunBegun::Missing
            | RunBegun::Duplicate
            | RunBegun::TooManyOpenUploads => false,
        }
    }
}
