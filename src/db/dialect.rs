//! What differs between the two databases, and nothing else: how a value is bound, how a column is read, how a write commits.
//!
//! sqlx asks every generic function for some ten bounds on its database. They are gathered here, in one macro stamped twice, so
//! that repositories need only `D: Dialect`.

use std::{fmt::Write as _, future::Future};

use futures::future::BoxFuture;
use sqlx::{
    AssertSqlSafe, Database, Postgres, Row, SqlStr, Sqlite,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{DbError, Result, write::Write};

/// A value on its way into a statement. `None` is NULL, of the right type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// TEXT
    Text(Option<String>),
    /// BIGINT
    Int(Option<i64>),
    /// BOOLEAN
    Flag(Option<bool>),
}

/// A column is missing or holds another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

/// What a column holds; `None` is NULL.
pub(super) type Read<T> = std::result::Result<Option<T>, Unreadable>;

/// A row on its way out; rows.rs turns `Unreadable` into an error that names table, key and column.
pub(super) trait Fields: Send + Sync {
    /// A TEXT column.
    fn text(&self, column: &'static str) -> Read<String>;
    /// A BIGINT column.
    fn int(&self, column: &'static str) -> Read<i64>;
    /// A BOOLEAN column.
    fn flag(&self, column: &'static str) -> Read<bool>;
}

/// One of the two databases.
pub(super) trait Dialect: Database<Row: Fields> {
    /// How its writes are committed.
    type Writer: Writer;

    /// Runs a statement; answers how many rows it touched.
    fn execute(
        conn: &mut Self::Connection,
        sql: SqlText,
        values: Vec<Value>,
    ) -> BoxFuture<'_, sqlx::Result<u64>>;

    /// Runs a statement; answers its rows.
    fn fetch(
        conn: &mut Self::Connection,
        sql: SqlText,
        values: Vec<Value>,
    ) -> BoxFuture<'_, sqlx::Result<Vec<Self::Row>>>;

    /// Runs statements one after the other; answers how many rows all of them touched.
    fn execute_all(
        conn: &mut Self::Connection,
        statements: Vec<(SqlText, Vec<Value>)>,
    ) -> BoxFuture<'_, sqlx::Result<u64>>;
}

/// Commits writes.
pub(super) trait Writer: Send + Sync + 'static {
    /// Runs `write` in a transaction; answers once that is durable, or gone without a trace.
    fn write<W: Write>(&self, write: W) -> impl Future<Output = Result<W::Answer>> + Send;
}

/// Prepared statements that one connection keeps.
pub(super) const STATEMENTS_MAX: usize = 200;
/// Longest text of a built statement that is kept prepared.
const KEPT_BYTES_MAX: usize = 2048;

/// The text of a statement.
#[derive(Debug)]
pub(super) enum SqlText {
    /// From statements.rs; prepared once per connection.
    Fixed(&'static str),
    /// Put together from whitelisted pieces; every value in it is bound. Kept prepared like the others while it is short: clients
    /// ask the same few kinds of question again and again. Each connection keeps the last [`STATEMENTS_MAX`].
    Built(String),
}

impl SqlText {
    fn into_parts(self) -> (SqlStr, bool) {
        use sqlx::SqlSafeStr;
        match self {
            Self::Fixed(text) => (text.into_sql_str(), true),
            Self::Built(text) => {
                let keep = text.len() <= KEPT_BYTES_MAX;
                (AssertSqlSafe(text).into_sql_str(), keep)
            }
        }
    }
}

/// One connection, inside a transaction or not.
pub(super) struct Link<'c, D: Dialect> {
    conn: &'c mut D::Connection,
    lost_race: bool,
}

impl<'c, D: Dialect> Link<'c, D> {
    pub(super) fn new(conn: &'c mut D::Connection) -> Self {
        Self { conn, lost_race: false }
    }

    /// Whether a statement failed because its transaction lost a race: the same transaction may succeed when run again.
    pub(super) const fn lost_race(&self) -> bool {
        self.lost_race
    }

    fn failed(&mut self, error: &sqlx::Error) -> DbError {
        self.lost_race |= is_lost_race(error);
        DbError::from_sqlx(error)
    }

    /// Runs a statement; answers how many rows it touched.
    pub(super) async fn execute(&mut self, sql: &'static str, values: Vec<Value>) -> Result<u64> {
        no_nul(&values)?;
        let done = D::execute(self.conn, SqlText::Fixed(sql), values).await;
        done.map_err(|e| self.failed(&e))
    }

    /// Runs statements one after the other, to the end or the first error; answers how many rows all of them touched. On SQLite they
    /// are one way to the thread of the connection and back, which costs more than most of them.
    pub(super) async fn execute_all(
        &mut self,
        statements: Vec<(SqlText, Vec<Value>)>,
    ) -> Result<u64> {
        statements.iter().try_for_each(|(_, values)| no_nul(values))?;
        let done = D::execute_all(self.conn, statements).await;
        done.map_err(|e| self.failed(&e))
    }

    /// Runs a statement; answers all its rows.
    pub(super) async fn all(&mut self, sql: SqlText, values: Vec<Value>) -> Result<Vec<D::Row>> {
        no_nul(&values)?;
        let rows = D::fetch(self.conn, sql, values).await;
        rows.map_err(|e| self.failed(&e))
    }

    /// Runs a statement that has at most one row.
    pub(super) async fn one(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<D::Row>> {
        Ok(self.all(SqlText::Fixed(sql), values).await?.into_iter().next())
    }

    /// Runs a statement with one row of one number named `n`.
    pub(super) async fn number(&mut self, sql: SqlText, values: Vec<Value>) -> Result<u64> {
        let rows = self.all(sql, values).await?;
        let number = rows.first().and_then(|row| row.int("n").ok().flatten());
        number.and_then(|n| u64::try_from(n).ok()).ok_or_else(|| DbError::Refused {
            message: "a statement that counts answered no number".to_owned(),
        })
    }
}

/// PostgreSQL's serialization failure and deadlock: the transaction is undone and was right as it was.
pub(super) fn is_lost_race(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

/// PostgreSQL takes no U+0000 in text and SQLite cuts at it in places: refused before either sees it.
fn no_nul(values: &[Value]) -> Result<()> {
    let bad = values.iter().find_map(|value| match value {
        Value::Text(Some(text)) if text.contains('\0') => Some(text),
        Value::Text(_) | Value::Int(_) | Value::Flag(_) => None,
    });
    bad.map_or(Ok(()), |text| Err(DbError::bad_value("text", text)))
}

impl SqlText {
    fn text(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Built(text) => text,
        }
    }
}

/// Several statements as one text with one list of values: `$1` of the second is the first after those of the first.
fn joined(statements: Vec<(SqlText, Vec<Value>)>) -> (SqlText, Vec<Value>) {
    let mut text = String::with_capacity(KEPT_BYTES_MAX);
    let mut all = Vec::new();
    for (sql, values) in statements {
        let mut parts = sql.text().split('$');
        text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = part.split_at(digits);
            // No text of ours has a dollar sign that is not the beginning of a placeholder.
            let number = number.parse::<usize>().unwrap_or_default() + all.len();
            // Writing to a String does not fail.
            let _ = write!(text, "${number}{rest}");
        }
        text.push(';');
        all.extend(values);
    }
    (SqlText::Built(text), all)
}

macro_rules! dialect {
    ($db:ty, $row:ty, $arguments:ty, $writer:ty, $execute_all:item) => {
        impl Fields for $row {
            fn text(&self, column: &'static str) -> Read<String> {
                self.try_get(column).map_err(|_| Unreadable)
            }

            fn int(&self, column: &'static str) -> Read<i64> {
                self.try_get(column).map_err(|_| Unreadable)
            }

            fn flag(&self, column: &'static str) -> Read<bool> {
                self.try_get(column).map_err(|_| Unreadable)
            }
        }

        impl Dialect for $db {
            type Writer = $writer;

            fn execute(
                conn: &mut Self::Connection,
                sql: SqlText,
                values: Vec<Value>,
            ) -> BoxFuture<'_, sqlx::Result<u64>> {
                Box::pin(async move {
                    let (sql, keep) = sql.into_parts();
                    let arguments = <$arguments as Bind>::bind(values)?;
                    let query = sqlx::query_with::<$db, _>(sql, arguments).persistent(keep);
                    Ok(query.execute(conn).await?.rows_affected())
                })
            }

            fn fetch(
                conn: &mut Self::Connection,
                sql: SqlText,
                values: Vec<Value>,
            ) -> BoxFuture<'_, sqlx::Result<Vec<Self::Row>>> {
                Box::pin(async move {
                    let (sql, keep) = sql.into_parts();
                    let arguments = <$arguments as Bind>::bind(values)?;
                    let query = sqlx::query_with::<$db, _>(sql, arguments).persistent(keep);
                    query.fetch_all(conn).await
                })
            }

            $execute_all
        }

        impl Bind for $arguments {
            fn bind(values: Vec<Value>) -> sqlx::Result<Self> {
                use sqlx::Arguments;
                let mut arguments = <$arguments>::default();
                for value in values {
                    match value {
                        Value::Text(text) => arguments.add(text),
                        Value::Int(number) => arguments.add(number),
                        Value::Flag(flag) => arguments.add(flag),
                    }
                    .map_err(sqlx::Error::Encode)?;
                }
                Ok(arguments)
            }
        }
    };
}

trait Bind: Sized {
    fn bind(values: Vec<Value>) -> sqlx::Result<Self>;
}

dialect!(
    Sqlite,
    SqliteRow,
    SqliteArguments,
    super::sqlite::QueueWriter,
    fn execute_all(
        conn: &mut Self::Connection,
        statements: Vec<(SqlText, Vec<Value>)>,
    ) -> BoxFuture<'_, sqlx::Result<u64>> {
        let (sql, values) = joined(statements);
        Self::execute(conn, sql, values)
    }
);
dialect!(
    Postgres,
    PgRow,
    PgArguments,
    super::postgres::PoolWriter,
    fn execute_all(
        conn: &mut Self::Connection,
        statements: Vec<(SqlText, Vec<Value>)>,
    ) -> BoxFuture<'_, sqlx::Result<u64>> {
        Box::pin(async move {
            let mut rows = 0;
            for (sql, values) in statements {
                rows += Self::execute(conn, sql, values).await?;
            }
            Ok(rows)
        })
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_statements_count_their_values_on() {
        let first = (SqlText::Fixed("A ($1, $2)"), vec![Value::Int(Some(1)), Value::Int(Some(2))]);
        let second = (SqlText::Built("B $2 $1 $11x".to_owned()), vec![Value::Int(Some(3))]);
        let (sql, values) = joined(vec![first, second]);
        assert_eq!(sql.text(), "A ($1, $2);B $4 $3 $13x;");
        assert_eq!(values, [1, 2, 3].map(|n| Value::Int(Some(n))));
    }
}
