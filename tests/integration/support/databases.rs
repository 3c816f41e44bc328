//! A database of its own for every test, of either kind.

use std::{path::PathBuf, sync::Arc};

use longshore::db::{Database, DbOptions, WriteCounters, open};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;

use super::postgres;

/// An open database, empty at first; gone when dropped.
pub(crate) struct TestDb {
    pub(crate) db: Arc<dyn Database>,
    pub(crate) url: String,
    pub(crate) counters: Arc<WriteCounters>,
    dir: Option<TempDir>,
}

impl TestDb {
    /// On SQLite, in a folder of its own.
    pub(crate) async fn sqlite() -> Self {
        let (url, dir) = Self::empty_sqlite();
        Self::open(url, Some(dir)).await
    }

    /// On PostgreSQL, in a database of its own on the run's private server. Panics with words if there is no server:
    /// whoever asks for these tests has to hear that they did not run.
    pub(crate) async fn postgres() -> Self {
        let url = Self::empty_postgres().await;
        Self::open(url, None).await
    }

    /// URL of a new database without tables.
    pub(crate) async fn empty_postgres() -> String {
        // Starting a server blocks; once per run.
        let socket = tokio::task::spawn_blocking(postgres::socket_dir).await.unwrap();
        let url =
            |name: &str| format!("postgres://postgres@localhost/{name}?host={}", socket.display());
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        let mut conn = PgConnection::connect(&url("postgres")).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut conn)
            .await
            .unwrap();
        conn.close().await.unwrap();
        url(&name)
    }

    /// URL of a new file in a folder of its own.
    pub(crate) fn empty_sqlite() -> (String, TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (format!("sqlite:{}", dir.path().join("longshore.db").display()), dir)
    }

    /// The records behind a URL.
    pub(crate) async fn open(url: String, dir: Option<TempDir>) -> Self {
        let options = DbOptions::default();
        let counters = Arc::clone(&options.counters);
        let db = open(&url, &options).await.unwrap();
        Self { db, url, counters, dir }
    }

    /// The same records, opened anew.
    pub(crate) async fn reopen(self) -> Self {
        let Self { db, url, dir, .. } = self;
        drop(db);
        Self::open(url, dir).await
    }

    /// The file, on SQLite.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.path().join("longshore.db"))
    }

    /// Runs a statement behind the service's back; constraints of SQLite do not hold for it.
    pub(crate) async fn sabotage(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        if let Some(file) = self.file() {
            let options = SqliteConnectOptions::new()
                .filename(file)
                .foreign_keys(false)
                .pragma("ignore_check_constraints", "ON");
            let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::query(sql).execute(&mut conn).await.unwrap();
            conn.close().await.unwrap();
        } else {
            let mut conn = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query(sql).execute(&mut conn).await.unwrap();
            conn.close().await.unwrap();
        }
    }

    /// One column of text, read behind the service's back.
    pub(crate) async fn peek(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        if let Some(file) = self.file() {
            let options = SqliteConnectOptions::new().filename(file).read_only(true);
            let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap()
        } else {
            let mut conn = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap()
        }
    }

    /// SQLite's plan for a statement, a line each.
    pub(crate) async fn explain(&self, sql: &str) -> Vec<String> {
        use sqlx::Row;
        let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let options = SqliteConnectOptions::new().filename(self.file().unwrap());
        let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
        let rows = sqlx::query(sql).fetch_all(&mut conn).await.unwrap();
        rows.iter().map(|row| row.get("detail")).collect()
    }
}
