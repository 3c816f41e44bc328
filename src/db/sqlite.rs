//! SQLite: one connection writes, a few read.
//!
//! Every write is an fsync. The one writer takes whatever has queued up while the last commit synced, runs it in one
//! `BEGIN IMMEDIATE`, commits, and only then answers all of them. If one of them is not to be kept, all are undone and run again with a
//! savepoint each. One connection also means that no
//! write ever fails with "database is locked" because of another one of ours.

use std::{path::Path, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use sqlx::{
    Connection, Pool, Sqlite, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    DbError, Result,
    dialect::{Link, STATEMENTS_MAX, Writer},
    open::{DbOptions, migrate_error},
    sql::SqlDatabase,
    write::{Write, WriteCounters},
};

/// The log is copied into the file, by whoever commits then, each time it has grown by so many pages of 4 KiB. SQLite's own 1,000 are
/// some ten commits of many uploads, and each copy costs two syncs and a write for every page that changed. 32 MiB of log are read
/// in some 50 ms after a crash.
const LOG_PAGES: &str = "8192";

type Queue = mpsc::Receiver<Box<dyn Queued>>;

/// Hands writes to the one connection that writes.
#[derive(Debug, Clone)]
pub(super) struct QueueWriter {
    queue: mpsc::Sender<Box<dyn Queued>>,
    wait_max: Duration,
}

impl Writer for QueueWriter {
    async fn write<W: Write>(&self, write: W) -> Result<W::Answer> {
        let (reply, answer) = oneshot::channel();
        let ticket = Box::new(Ticket { write, outcome: None, reply });
        match self.queue.send_timeout(ticket, self.wait_max).await {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(gone())),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                Err(DbError::unavailable("too many writes are waiting"))
            }
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(gone()),
        }
    }
}

fn gone() -> DbError {
    DbError::unavailable("the writer has stopped; the service is shutting down")
}

/// A write of any kind in the queue.
trait Queued: Send {
    /// Runs it, maybe again after it was undone; answers whether what it did is kept.
    fn run<'a>(&'a mut self, conn: &'a mut SqliteConnection) -> BoxFuture<'a, bool>;
    /// Tells the caller, who may have gone away meanwhile.
    fn answer(self: Box<Self>, committed: &Result<()>);
}

impl std::fmt::Debug for dyn Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queued")
    }
}

struct Ticket<W: Write> {
    write: W,
    outcome: Option<Result<W::Answer>>,
    reply: oneshot::Sender<Result<W::Answer>>,
}

impl<W: Write> Queued for Ticket<W> {
    fn run<'a>(&'a mut self, conn: &'a mut SqliteConnection) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let outcome = self.write.run(&mut Link::<Sqlite>::new(conn)).await;
            let keep = outcome.as_ref().is_ok_and(W::keeps);
            self.outcome = Some(outcome);
            keep
        })
    }

    fn answer(self: Box<Self>, committed: &Result<()>) {
        let outcome = match (committed, self.outcome) {
            (_, Some(Err(own))) => Err(own),
            (Ok(()), Some(Ok(answer))) => Ok(answer),
            (Err(error), Some(Ok(_)) | None) => Err(error.clone()),
            (Ok(()), None) => Err(gone()),
        };
        // The caller may have been dropped; what was written stays.
        let _ = self.reply.send(outcome);
    }
}

/// Opens the file, brings its tables up to date and starts the writer, which ends when the database is dropped.
pub(super) async fn open(path: &Path, options: &DbOptions) -> Result<SqlDatabase<Sqlite>> {
    create_private(path).await?;
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", LOG_PAGES)
        .busy_timeout(Duration::from_millis(options.wait_ms))
        .statement_cache_capacity(STATEMENTS_MAX)
        .foreign_keys(true);
    let mut conn = SqliteConnection::connect_with(&connect).await.map_err(|e| open_error(&e))?;
    let migrator = super::open::migrator(super::open::SQLITE);
    migrator.run(&mut conn).await.map_err(|e| migrate_error(&e))?;

    let reads: Pool<Sqlite> = SqlitePoolOptions::new()
        .max_connections(options.readers_max)
        .acquire_timeout(Duration::from_millis(options.wait_ms))
        .connect_lazy_with(connect.clone().read_only(true));
    let (sender, queue) = mpsc::channel(options.queue_max.max(1));
    let line = Line {
        connect,
        conn: Some(conn),
        counters: Arc::clone(&options.counters),
        batch_max: options.batch_max.max(1),
    };
    tokio::spawn(line.drain(queue));
    let writer = QueueWriter { queue: sender, wait_max: Duration::from_millis(options.wait_ms) };
    Ok(SqlDatabase::new(reads, writer))
}

/// Creates the file for its owner alone; SQLite gives its `-wal` and `-shm` the same mode.
async fn create_private(path: &Path) -> Result<()> {
    let path = path.to_owned();
    let created = tokio::task::spawn_blocking(move || {
        use std::os::unix::fs::OpenOptionsExt;
        let mut file = std::fs::OpenOptions::new();
        file.create(true).append(true).mode(0o600).open(path).map(drop)
    });
    match created.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(DbError::Unavailable {
            message: format!("the database file cannot be opened: {error}"),
        }),
        Err(_) => Err(gone()),
    }
}

/// SQLite says "file is not a database" (26) of a foreign file: that does not heal by waiting.
fn open_error(error: &sqlx::Error) -> DbError {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    if code.as_deref() == Some("26") {
        return DbError::Schema {
            message: "the database file is not an SQLite database; point `database` at another \
                      file, or restore this one from a backup"
                .to_owned(),
        };
    }
    DbError::from_sqlx(error)
}

/// The writer's end of the queue.
struct Line {
    connect: SqliteConnectOptions,
    /// `None` after a failure; opened anew for the next batch.
    conn: Option<SqliteConnection>,
    counters: Arc<WriteCounters>,
    batch_max: usize,
}

impl Line {
    async fn drain(mut self, mut queue: Queue) {
        let mut batch = Vec::with_capacity(self.batch_max);
        while queue.recv_many(&mut batch, self.batch_max).await > 0 {
            let committed = self.commit(&mut batch).await;
            if let Err(error) = &committed {
                tracing::error!(writes = batch.len(), %error, "a batch of writes was not committed");
            }
            for queued in batch.drain(..) {
                queued.answer(&committed);
            }
        }
        if let Some(conn) = self.conn {
            // Checkpoints the log; the next start does it where this fails.
            let _ = conn.close().await;
        }
    }

    async fn commit(&mut self, batch: &mut [Box<dyn Queued>]) -> Result<()> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => SqliteConnection::connect_with(&self.connect)
                .await
                .map_err(|e| DbError::from_sqlx(&e))?,
        };
        match run_batch(&mut conn, batch).await {
            Ok(()) => {
                self.counters.committed(batch.len());
                self.conn = Some(conn);
                Ok(())
            }
            Err(error) => {
                // The connection is thrown away and its transaction with it: nothing of the batch is kept.
                let _ = conn.close().await;
                Err(DbError::Unavailable { message: error.to_string() })
            }
        }
    }
}

async fn run_batch(conn: &mut SqliteConnection, batch: &mut [Box<dyn Queued>]) -> sqlx::Result<()> {
    if run_all_kept(conn, batch).await? { Ok(()) } else { run_each(conn, batch).await }
}

/// Without savepoints, each of which copies every page that is changed under it: nearly always all writes are kept. `false` if one was
/// not; then all of them are undone, to be run again, unless it was the only one.
async fn run_all_kept(
    conn: &mut SqliteConnection,
    batch: &mut [Box<dyn Queued>],
) -> sqlx::Result<bool> {
    statement(conn, "BEGIN IMMEDIATE").await?;
    let is_alone = batch.len() == 1;
    for queued in batch {
        if !queued.run(conn).await {
            // Fails where SQLite has already undone it (disk full, I/O error).
            statement(conn, "ROLLBACK").await?;
            return Ok(is_alone);
        }
    }
    statement(conn, "COMMIT").await?;
    Ok(true)
}

/// With a savepoint for each.
async fn run_each(conn: &mut SqliteConnection, batch: &mut [Box<dyn Queued>]) -> sqlx::Result<()> {
    // Two statements in one text are one way to the thread of the connection and back.
    let mut next = "BEGIN IMMEDIATE; SAVEPOINT one";
    for queued in batch {
        statement(conn, next).await?;
        next = "RELEASE one; SAVEPOINT one";
        if !queued.run(conn).await {
            // Fails where SQLite has already undone the whole transaction (disk full, I/O error); then all of it is.
            statement(conn, "ROLLBACK TO one").await?;
        }
    }
    // With the savepoint that is still open.
    statement(conn, "COMMIT").await
}

async fn statement(conn: &mut SqliteConnection, sql: &'static str) -> sqlx::Result<()> {
    sqlx::query(sql).execute(conn).await.map(drop)
}
