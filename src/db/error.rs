//! What can go wrong with records.

/// Why a database operation failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    /// The database cannot be reached, is locked for too long, or is shutting down. Worth trying again.
    #[error("the database does not answer: {message}")]
    Unavailable {
        /// Its own words, for the log.
        message: String,
    },
    /// A row holds something that this version does not know.
    #[error("row {key} of {table} holds an unknown {column}")]
    CorruptRow {
        /// Table.
        table: &'static str,
        /// Key of the row.
        key: String,
        /// Column.
        column: &'static str,
    },
    /// A query names a field that its records do not have.
    #[error("condition name[{field}] is invalid, no such field")]
    UnknownField {
        /// The name that was given.
        field: String,
    },
    /// A query compares a field with something that it cannot hold.
    #[error("value [{value}] does not fit the field [{field}]")]
    BadValue {
        /// The field.
        field: String,
        /// What was given, shortened.
        value: String,
    },
    /// The records belong to another version of the service.
    #[error("{message}")]
    Schema {
        /// What is wrong, and what to do.
        message: String,
    },
    /// Anything else that the database refused: a defect of ours.
    #[error("the database refused a statement: {message}")]
    Refused {
        /// Its own words, for the log.
        message: String,
    },
}

/// Characters of a refused value that an error repeats.
const SHOWN_CHARS_MAX: usize = 64;

impl DbError {
    /// A value that does not fit; what is shown of it is short and printable.
    pub(super) fn bad_value(field: &str, value: &str) -> Self {
        let shown = value.chars().take(SHOWN_CHARS_MAX).collect::<String>();
        Self::BadValue { field: field.to_owned(), value: shown.escape_debug().to_string() }
    }

    /// Nobody will answer.
    pub(super) fn unavailable(message: &str) -> Self {
        Self::Unavailable { message: message.to_owned() }
    }

    /// Sorts an error of the driver into what may heal and what is a defect.
    pub(super) fn from_sqlx(error: &sqlx::Error) -> Self {
        let message = error.to_string();
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable { message },
            sqlx::Error::Database(refusal) if heals(refusal.as_ref()) => {
                Self::Unavailable { message }
            }
            // A foreign enum that grows: whatever else it says, the statement was refused.
            _ => Self::Refused { message },
        }
    }

    /// Whether the same call may succeed later.
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::CorruptRow { .. }
            | Self::UnknownField { .. }
            | Self::BadValue { .. }
            | Self::Schema { .. }
            | Self::Refused { .. } => false,
        }
    }
}

/// Whether a refusal by the database is about its condition and not about the statement.
fn heals(refusal: &dyn sqlx::error::DatabaseError) -> bool {
    let Some(code) = refusal.code() else { return false };
    match code.parse::<u32>() {
        // SQLite, extended result codes: busy, locked, I/O error, full, cannot open.
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 5 | 6 | 10 | 13 | 14),
        // PostgreSQL, five characters: connection, conflict that outlasted the retries, resources, operator, lock.
        _ => ["08", "40", "53", "57", "55P03", "25006"].iter().any(|class| code.starts_with(class)),
    }
}
