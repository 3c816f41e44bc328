//! The one implementation of the repositories: everything but the texts and the dialect.

use std::fmt::Write as _;

use sqlx::Pool;

use super::{
    DbError, Result,
    dialect::{Dialect, Link, SqlText, Value, Writer},
    write::Write,
};

/// Placeholders in one list: SQLite takes 32,766 in a statement, PostgreSQL 65,535.
const LIST_MAX: usize = 1000;

/// The records, in one of the two databases.
pub(super) struct SqlDatabase<D: Dialect> {
    reads: Pool<D>,
    writer: D::Writer,
}

impl<D: Dialect> SqlDatabase<D> {
    pub(super) const fn new(reads: Pool<D>, writer: D::Writer) -> Self {
        Self { reads, writer }
    }

    /// Commits a write.
    pub(super) async fn write<W: Write>(&self, write: W) -> Result<W::Answer> {
        self.writer.write(write).await
    }

    /// All rows of a statement, converted.
    pub(super) async fn read_all<T>(
        &self,
        sql: SqlText,
        values: Vec<Value>,
        convert: fn(&D::Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut conn = self.reads.acquire().await.map_err(|e| DbError::from_sqlx(&e))?;
        let rows = Link::<D>::new(&mut conn).all(sql, values).await?;
        rows.iter().map(convert).collect()
    }

    /// The row of a statement that has at most one, converted.
    pub(super) async fn read_one<T>(
        &self,
        sql: &'static str,
        values: Vec<Value>,
        convert: fn(&D::Row) -> Result<T>,
    ) -> Result<Option<T>> {
        let rows = self.read_all(SqlText::Fixed(sql), values, convert).await?;
        Ok(rows.into_iter().next())
    }

    /// The number in a statement that counts.
    pub(super) async fn read_number(&self, sql: SqlText, values: Vec<Value>) -> Result<u64> {
        let mut conn = self.reads.acquire().await.map_err(|e| DbError::from_sqlx(&e))?;
        Link::<D>::new(&mut conn).number(sql, values).await
    }

    /// All rows of `head ($1, $2, ...) tail`, for any number of values.
    pub(super) async fn read_listed<T>(
        &self,
        head: &'static str,
        tail: &'static str,
        listed: &[String],
        convert: fn(&D::Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        for part in listed.chunks(LIST_MAX) {
            let mut sql = head.to_owned();
            for at in 1..=part.len() {
                let comma = if at == 1 { "" } else { ", " };
                // Writing to a String does not fail.
                let _ = write!(sql, "{comma}${at}");
            }
            sql.push_str(tail);
            let values = part.iter().map(Value::from).collect();
            found.extend(self.read_all(SqlText::Built(sql), values, convert).await?);
        }
        Ok(found)
    }
}
