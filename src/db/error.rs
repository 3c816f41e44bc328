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

impl DbError {
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
