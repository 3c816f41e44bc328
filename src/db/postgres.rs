//! PostgreSQL: a transaction for every write, run again when it lost a race.

use std::{sync::Arc, time::Duration};

use sqlx::{
    Connection, PgConnection, Pool, Postgres,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{sleep, timeout};

use super::{
    DbError, Result,
    dialect::{Link, STATEMENTS_MAX, Writer, is_lost_race},
    open::{DbOptions, migrate_error},
    sql::SqlDatabase,
    write::{Write, WriteCounters},
};

/// Runs of one write before its caller hears that the database does not answer.
const ATTEMPTS_MAX: u32 = 10;
/// Pause before the second run; doubled up to 16 times that.
const PAUSE_MS: u64 = 2;

/// Runs each write in a transaction of its own.
#[derive(Debug, Clone)]
pub(super) struct PoolWriter {
    pool: Pool<Postgres>,
    counters: Arc<WriteCounters>,
}

impl Writer for PoolWriter {
    async fn write<W: Write>(&self, write: W) -> Result<W::Answer> {
        let mut attempt = 1;
        loop {
            match self.attempt(&write).await {
                Err(Failure::LostRace(error)) if attempt >= ATTEMPTS_MAX => return Err(error),
                Err(Failure::LostRace(_)) => {
                    sleep(Duration::from_millis(PAUSE_MS << (attempt - 1).min(4))).await;
                    attempt += 1;
                }
                Err(Failure::Other(error)) => return Err(error),
                Ok(answer) => return Ok(answer),
            }
        }
    }
}

enum Failure {
    LostRace(DbError),
    Other(DbError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let lost = is_lost_race(&error);
        let error = DbError::from_sqlx(&error);
        if lost { Self::LostRace(error) } else { Self::Other(error) }
    }
}

impl PoolWriter {
    async fn attempt<W: Write>(&self, write: &W) -> std::result::Result<W::Answer, Failure> {
        let mut transaction = self.pool.begin().await?;
        let mut link = Link::<Postgres>::new(&mut transaction);
        let run = write.run(&mut link).await;
        let lost_race = link.lost_race();
        let answer = match run {
            Ok(answer) => answer,
            Err(error) => {
                // Dropping it would undo it as well; here its locks go before the caller goes on.
                let _ = transaction.rollback().await;
                return Err(if lost_race {
                    Failure::LostRace(error)
                } else {
                    Failure::Other(error)
                });
            }
        };
        if W::keeps(&answer) {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        self.counters.committed(1);
        Ok(answer)
    }
}

/// Connects, brings the tables up to date, and answers the database.
pub(super) async fn open(url: &str, options: &DbOptions) -> Result<SqlDatabase<Postgres>> {
    // The driver's words about a malformed URL could repeat the password in it.
    let connect: PgConnectOptions = url.parse().map_err(|_| DbError::Schema {
        message: "the PostgreSQL URL cannot be read; write \
                  postgres://user:password@host:5432/database"
            .to_owned(),
    })?;
    let wait_max = Duration::from_millis(options.wait_ms);
    // Its own connection, without a limit on statements: a migration of a large table takes its time.
    let mut conn = match timeout(wait_max, PgConnection::connect_with(&connect)).await {
        Ok(conn) => conn.map_err(|e| DbError::from_sqlx(&e))?,
        Err(_) => return Err(DbError::unavailable("nobody answers at its address")),
    };
    let migrator = super::open::migrator(super::open::POSTGRES);
    migrator.run(&mut conn).await.map_err(|e| migrate_error(&e))?;
    conn.close().await.map_err(|e| DbError::from_sqlx(&e))?;

    let wait = options.wait_ms.to_string();
    let connect = connect
        .options([
            ("statement_timeout", wait.as_str()),
            // A plan that fits any value fits `state=Running`, a few rows, as badly as `state=Succeeded`, nearly all.
            ("plan_cache_mode", "force_custom_plan"),
            // Compiling a statement that answers in a millisecond takes longer than that.
            ("jit", "off"),
        ])
        .statement_cache_capacity(STATEMENTS_MAX);
    let pool = PgPoolOptions::new()
        .max_connections(options.connections_max)
        .acquire_timeout(wait_max)
        .connect_lazy_with(connect);
    let writer = PoolWriter { pool: pool.clone(), counters: Arc::clone(&options.counters) };
    Ok(SqlDatabase::new(pool, writer))
}
