//! From domain types to values of statements.

use crate::domain::{
    account::Scope,
    ids::{
        AccountUuid, ApiId, FireUuid, ImageUuid, JobGroupUuid, JobUuid, NodeUuid, ScheduledJobUuid,
        StorageUuid, TagUuid, TriggerUuid, UploadUuid,
    },
};

use super::{DbError, Result, dialect::Value};

/// Values of a statement, in the order of its `$n`.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::dialect::Value::from($value)),*] };
}
pub(super) use values;

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<&Option<String>> for Value {
    fn from(text: &Option<String>) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(Some(flag))
    }
}

/// NULL for everybody's objects: statements say `$n IS NULL OR account_uuid = $n`.
impl From<Scope> for Value {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::All => Self::Text(None),
            Scope::Account(uuid) => uuid.into(),
        }
    }
}

macro_rules! uuid_values {
    ($($id:ty),*) => {$(
        impl From<$id> for Value {
            fn from(id: $id) -> Self {
                Self::Text(Some(id.to_string()))
            }
        }

        impl From<Option<$id>> for Value {
            fn from(id: Option<$id>) -> Self {
                Self::Text(id.map(|id| id.to_string()))
            }
        }
    )*};
}

uuid_values!(
    AccountUuid,
    ApiId,
    FireUuid,
    ImageUuid,
    JobGroupUuid,
    JobUuid,
    NodeUuid,
    ScheduledJobUuid,
    StorageUuid,
    TagUuid,
    TriggerUuid,
    UploadUuid
);

/// A length or count as a column holds it: 2^63 - 1 at the most.
pub(super) fn big(field: &'static str, number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| DbError::bad_value(field, &number.to_string()))
}

/// A bound on rows as a statement takes it.
pub(super) fn rows_max(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
