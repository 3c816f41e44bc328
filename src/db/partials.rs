//! Partial uploads: bytes without a job, until they are parts of an upload that has one.

use async_trait::async_trait;

use crate::domain::{
    clock::EpochMs,
    ids::UploadUuid,
    upload::{UploadFate, UploadRecord},
};

use super::{
    Created, DbError, Result,
    dialect::{Dialect, Link, SqlText},
    jobs::upload_values,
    rows::{self, RowOf},
    sql::SqlDatabase,
    statements as st,
    values::{rows_max, values},
    write::Write,
};

/// A page of open partial uploads.
#[derive(Debug, Clone, Default)]
pub struct PartialsPage {
    /// Those that can be read, in order of uuid.
    pub uploads: Vec<UploadRecord>,
    /// Of those that cannot: which row it is, and what is wrong with it.
    pub unreadable: Vec<DbError>,
    /// Key of the last row, to go on after; `None` on an empty page, the end.
    pub last: Option<String>,
}

/// Partial uploads. All else about them is as with any other upload ([`UploadRepository`](super::UploadRepository)).
#[async_trait]
pub trait PartialRepository: Send + Sync + 'static {
    /// Records a partial upload. It counts among the account's unfinished uploads until an upload takes it.
    async fn create_partial(&self, record: UploadRecord, open_uploads_max: u64) -> Result<Created>;
    /// Ends an open partial upload with this fate; `also_taken`: even where it is a part of an upload. Answers whether it did.
    async fn end_partial(
        &self,
        uuid: UploadUuid,
        fate: UploadFate,
        also_taken: bool,
    ) -> Result<bool>;
    /// Open partial uploads, also those that are a part of an upload, in order of uuid: at most `limit` after `after`.
    /// A row that cannot be read keeps no other from being answered.
    async fn partials(&self, after: Option<&str>, limit: u64) -> Result<PartialsPage>;
    /// Deletes the records of partial uploads that ended before `before_ms`; answers how many.
    async fn forget_partials(&self, before_ms: EpochMs) -> Result<u64>;
}

#[async_trait]
impl<D: Dialect> PartialRepository for SqlDatabase<D> {
    async fn create_partial(&self, record: UploadRecord, open_uploads_max: u64) -> Result<Created> {
        self.write(NewPartial { record, open_uploads_max }).await
    }

    async fn end_partial(
        &self,
        uuid: UploadUuid,
        fate: UploadFate,
        also_taken: bool,
    ) -> Result<bool> {
        self.write(EndPartial { uuid, fate, also_taken }).await
    }

    async fn partials(&self, after: Option<&str>, limit: u64) -> Result<PartialsPage> {
        let values = values![after.unwrap_or_default(), rows_max(limit)];
        let read = |row: &D::Row| {
            let key = RowOf::new(row, "upload", "u_uuid").text("u_uuid")?;
            Ok((key, rows::upload(row)))
        };
        let mut page = PartialsPage::default();
        for (key, read) in self.read_all(SqlText::Fixed(st::PARTIALS), values, read).await? {
            page.last = Some(key);
            match read {
                Ok(upload) => page.uploads.push(upload),
                Err(error) => page.unreadable.push(error),
            }
        }
        Ok(page)
    }

    async fn forget_partials(&self, before_ms: EpochMs) -> Result<u64> {
        self.write(ForgetPartials(before_ms)).await
    }
}

struct NewPartial {
    record: UploadRecord,
    open_uploads_max: u64,
}

impl Write for NewPartial {
    type Answer = Created;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<Created> {
        let account = self.record.account;
        link.execute(st::TURN_TAKE, values![account]).await?;
        let count = SqlText::Fixed(st::OPEN_UPLOADS_COUNT);
        let open = link.number(count, values![account]).await?;
        if open >= self.open_uploads_max {
            return Ok(Created::TooManyOpenUploads);
        }
        let inserted = link.execute(st::UPLOAD_INSERT, upload_values(&self.record)?).await?;
        Ok(if inserted == 0 { Created::Duplicate } else { Created::Recorded })
    }

    fn keeps(answer: &Created) -> bool {
        match answer {
            Created::Recorded => true,
            Created::Duplicate | Created::TooManyOpenUploads | Created::PartTaken(_) => false,
        }
    }
}

struct EndPartial {
    uuid: UploadUuid,
    fate: UploadFate,
    also_taken: bool,
}

impl Write for EndPartial {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        let end = values![self.uuid, self.fate.name(), self.also_taken];
        Ok(link.execute(st::PARTIAL_END, end).await? > 0)
    }
}

struct ForgetPartials(EpochMs);

impl Write for ForgetPartials {
    type Answer = u64;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<u64> {
        link.execute(st::PARTIALS_FORGET, values![self.0]).await
    }
}
