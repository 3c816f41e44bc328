//! Opening a database by its URL.

use std::{path::Path, sync::Arc};

use sqlx::{
    SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::{Database, DbError, Result, postgres, sqlite, write::WriteCounters};

/// Limits of a database connection.
#[derive(Debug, Clone)]
pub struct DbOptions {
    /// Connections that read, SQLite.
    pub readers_max: u32,
    /// Connections altogether, PostgreSQL.
    pub connections_max: u32,
    /// Writes that wait for the writer, SQLite; the next caller waits for a place.
    pub queue_max: usize,
    /// Writes that one commit takes, SQLite.
    pub batch_max: usize,
    /// Longest wait for a connection, a place in the queue, a lock or a statement, milliseconds; then `Unavailable`.
    pub wait_ms: u64,
    /// Counts what is written.
    pub counters: Arc<WriteCounters>,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            readers_max: 4,
            connections_max: 16,
            queue_max: 1024,
            batch_max: 256,
            wait_ms: 10_000,
            counters: Arc::default(),
        }
    }
}

/// Opens `sqlite:<path>` or `postgres://...` and brings its tables up to date. The directory of an SQLite file has to exist; the
/// file is created with mode 0600.
///
/// Fails with `Schema` if the URL names no such database, or if the records were written by a newer version, which is left as it
/// is; with `Unavailable` if nobody answers. Needs a tokio runtime that lives as long as the database.
pub async fn open(url: &str, options: &DbOptions) -> Result<Arc<dyn Database>> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path == ":memory:" {
            return Err(DbError::Schema {
                message: "the SQLite URL names no file; write sqlite:/path/to/longshore.db"
                    .to_owned(),
            });
        }
        return Ok(Arc::new(sqlite::open(Path::new(path), options).await?));
    }
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        return Ok(Arc::new(postgres::open(url, options).await?));
    }
    Err(DbError::Schema {
        message: "the database URL has to begin with sqlite: or postgres:".to_owned(),
    })
}

/// Number, name and text of every migration of one database.
type Migrations = [(i64, &'static str, &'static str)];

macro_rules! migrations {
    ($folder:literal: $($number:literal $name:literal),*) => {
        &[$((
            $number,
            $name,
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/migrations/", $folder, "/", $name, ".sql"
            )),
        )),*]
    };
}

pub(super) const SQLITE: &Migrations = migrations!("sqlite":
    1 "0001_records",
    2 "0002_tag_uuids",
    3 "0003_access_keys",
    4 "0004_scale_indexes",
    5 "0005_client_metadata",
    6 "0006_scheduler",
    7 "0007_partial_uploads",
    8 "0008_inspection_and_history"
);
pub(super) const POSTGRES: &Migrations = migrations!("postgres":
    1 "0001_records",
    2 "0002_tag_uuids",
    3 "0003_access_keys",
    4 "0004_scale_indexes",
    5 "0005_client_metadata",
    6 "0006_scheduler",
    7 "0007_partial_uploads",
    8 "0008_inspection_and_history"
);

/// Runs what is missing, each in a transaction of its own.
pub(super) fn migrator(migrations: &'static Migrations) -> Migrator {
    let listed = migrations.iter().map(|&(number, name, text)| {
        Migration::new(number, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    Migrator::with_migrations(listed.collect())
}

/// What a person can do about tables that do not fit.
pub(super) fn migrate_error(error: &MigrateError) -> DbError {
    let message = match error {
        MigrateError::VersionMissing(number) => format!(
            "the database was written by a newer version of longshore (its migration {number} is \
             unknown here); nothing was changed. Start that version, or restore a backup made \
             before the upgrade"
        ),
        MigrateError::VersionMismatch(number) | MigrateError::Dirty(number) => format!(
            "the tables of the database are not those that migration {number} of this version \
             makes; nothing was changed. Start the version that wrote them, or restore a backup"
        ),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            let error = DbError::from_sqlx(error);
            if error.retryable() {
                return error;
            }
            format!("the tables could not be brought up to date: {error}")
        }
        // A foreign enum that grows.
        other => format!("the tables could not be brought up to date: {other}"),
    };
    DbError::Schema { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that nobody listed would never run.
    #[test]
    fn every_migration_is_listed_in_order_and_has_its_pair() {
        let names = |list: &Migrations| list.iter().map(|m| (m.0, m.1)).collect::<Vec<_>>();
        assert_eq!(names(SQLITE), names(POSTGRES));
        for folder in ["sqlite", "postgres"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
            let mut files = std::fs::read_dir(folder)
                .unwrap()
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect::<Vec<_>>();
            files.sort();
            let listed = SQLITE.iter().map(|m| format!("{}.sql", m.1)).collect::<Vec<_>>();
            assert_eq!(files, listed);
        }
        for (number, (listed, name, _)) in (1_i64..).zip(SQLITE) {
            assert_eq!(*listed, number, "{name}");
            assert!(name.starts_with(&format!("{number:04}_")), "{name}");
        }
    }
}
