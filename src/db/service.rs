//! Calls and their progress; the service's own records.

use async_trait::async_trait;

use crate::domain::{
    account::{Scope, StorageRecord},
    clock::EpochMs,
    ids::ApiId,
    job::TaskProgress,
    query::{Page, Query},
};

use super::{
    ApiJobRepository, ApiJobResult, DbError, Result, ServiceRepository, StorageNow,
    dialect::{Dialect, Link, SqlText},
    query::{self, STORAGES},
    rows::{self, RowOf},
    sql::SqlDatabase,
    statements as st,
    values::values,
    write::Write,
};

#[async_trait]
impl<D: Dialect> ApiJobRepository for SqlDatabase<D> {
    async fn begin_api_job(&self, id: ApiId, now_ms: EpochMs) -> Result<bool> {
        self.write(BeginApiJob { id, now_ms }).await
    }

    async fn finish_api_job(&self, id: ApiId, result: ApiJobResult, now_ms: EpochMs) -> Result<()> {
        self.write(FinishApiJob { id, result, now_ms }).await
    }

    async fn api_job(&self, id: ApiId) -> Result<Option<Option<ApiJobResult>>> {
        self.read_one(st::API_JOB_BY_ID, values![id], rows::api_job).await
    }

    async fn prune_api_jobs(&self, before_ms: EpochMs) -> Result<u64> {
        self.write(PruneApiJobs { before_ms }).await
    }

    async fn save_progress(&self, progress: TaskProgress) -> Result<()> {
        self.write(progress).await
    }

    async fn progress(&self, id: ApiId) -> Result<Option<TaskProgress>> {
        self.read_one(st::PROGRESS_BY_ID, values![id], rows::progress).await
    }
}

#[async_trait]
impl<D: Dialect> ServiceRepository for SqlDatabase<D> {
    async fn bind_storage(&self, storage: StorageRecord) -> Result<StorageRecord> {
        self.write(storage).await
    }

    async fn storages(&self, query: &Query, now: StorageNow) -> Result<Page<StorageRecord>> {
        // A disk of more than 2^63 bytes is shown as that.
        let bytes = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let now = values![now.url, bytes(now.total_bytes), bytes(now.free_bytes)];
        query::page_over(self, &STORAGES, now, query, Scope::All, rows::storage).await
    }

    async fn ping(&self) -> Result<()> {
        self.write(Ping).await?;
        self.read_number(SqlText::Fixed(st::PING_READ), Vec::new()).await.map(drop)
    }

    async fn setting(&self, name: &str, first_value: &str) -> Result<String> {
        self.write(Setting { name: name.to_owned(), first_value: first_value.to_owned() }).await
    }
}

struct BeginApiJob {
    id: ApiId,
    now_ms: EpochMs,
}

impl Write for BeginApiJob {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        Ok(link.execute(st::API_JOB_BEGIN, values![self.id, self.now_ms]).await? > 0)
    }
}

struct FinishApiJob {
    id: ApiId,
    result: ApiJobResult,
    now_ms: EpochMs,
}

impl Write for FinishApiJob {
    type Answer = ();

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<()> {
        let values = values![self.id, self.result.success, &self.result.body, self.now_ms];
        link.execute(st::API_JOB_FINISH, values).await.map(drop)
    }
}

struct PruneApiJobs {
    before_ms: EpochMs,
}

impl Write for PruneApiJobs {
    type Answer = u64;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<u64> {
        link.execute(st::API_JOBS_PRUNE, values![self.before_ms]).await
    }
}

impl Write for TaskProgress {
    type Answer = ();

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<()> {
        let values = values![self.api_id, &self.task_name, self.percent, self.time_ms];
        link.execute(st::PROGRESS_SAVE, values).await.map(drop)
    }
}

impl Write for StorageRecord {
    type Answer = Self;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<Self> {
        let first = values![self.uuid, &self.name, self.created_ms];
        link.execute(st::STORAGE_INSERT, first).await?;
        let row = link.one(st::STORAGE, Vec::new()).await?;
        rows::storage(&row.ok_or_else(|| vanished("storage"))?)
    }
}

struct Setting {
    name: String,
    first_value: String,
}

impl Write for Setting {
    type Answer = String;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<String> {
        link.execute(st::SETTING_INSERT, values![&self.name, &self.first_value]).await?;
        let row = link.one(st::SETTING, values![&self.name]).await?;
        RowOf::new(&row.ok_or_else(|| vanished("setting"))?, "setting", "name").text("value")
    }
}

fn vanished(table: &str) -> DbError {
    DbError::Refused { message: format!("a row of {table} that is never deleted is gone") }
}

struct Ping;

impl Write for Ping {
    type Answer = ();

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<()> {
        link.execute(st::PING_WRITE, Vec::new()).await.map(drop)
    }
}
