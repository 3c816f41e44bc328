//! The one mapping from what went wrong to ZStack's code and words.

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header::ContentType},
};

use super::reply::json;
use crate::{
    accounts::AccountError,
    domain::text::{at_most, shown},
    http::{json::BodyFault, links::BadHost, query::BadQuery, session::NoSession},
    jobs::{DbError, JobError, ScheduleError},
    uploads::{StoreError, UploadError},
    wire::zstack::{Code, ErrorCode, ErrorEnvelope},
};

/// Longest sentence of a parser that an answer repeats.
const PARSER_CHARS_MAX: usize = 160;

/// Why an API call is refused, whether it is told at once or at the poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// With a code, in words for the caller.
    Told(ErrorCode),
    /// A defect of ours: the caller learns the request id, the log the chain of sources.
    Defect(String),
}

impl Refusal {
    /// With this code and these details.
    pub(super) fn new(code: Code, details: impl Into<String>) -> Self {
        Self::Told(code.with(details))
    }

    /// An argument that cannot be taken.
    pub(super) fn invalid(details: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, details)
    }

    /// JSON that is none, or not of the form that is asked for; what the parser says may repeat what was sent.
    pub(super) fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        Self::invalid(format!("{what}: {}", at_most(&error.to_string(), PARSER_CHARS_MAX)))
    }

    /// A query over an inventory of this class failed: unknown fields name it.
    pub(super) fn of_query(error: JobError, class: &str) -> Self {
        match error {
            JobError::Db(DbError::UnknownField { field }) => unknown_field(&field, class),
            other => other.into(),
        }
    }
}

/// ZStack's words for a condition on a field that does not exist.
pub(super) fn unknown_field(field: &str, class: &str) -> Refusal {
    let field = shown(field);
    Refusal::invalid(format!(
        "condition name[{field}] is invalid, no such field on inventory class[{class}]"
    ))
}

fn told(code: Code, error: &impl fmt::Display) -> Refusal {
    Refusal::new(code, error.to_string())
}

fn defect(error: &dyn std::error::Error) -> Refusal {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        chain.push_str(": ");
        chain.push_str(&cause.to_string());
        source = cause.source();
    }
    Refusal::Defect(chain)
}

impl From<JobError> for Refusal {
    fn from(error: JobError) -> Self {
        match error {
            JobError::NotFound { .. }
            | JobError::ImageNotFound { .. }
            | JobError::TagNotFound { .. } => told(Code::NotFound, &error),
            JobError::Invalid(_) | JobError::WrongState { .. } => {
                told(Code::InvalidArgument, &error)
            }
            JobError::Unsupported(_) => told(Code::JobUnsupported, &error),
            JobError::NoStorage(_) | JobError::Contended => told(Code::OperationFailed, &error),
            JobError::Quota(_) => told(Code::QuotaExceeded, &error),
            JobError::Upload(error) => error.into(),
            JobError::Db(error) => error.into(),
        }
    }
}

impl From<ScheduleError> for Refusal {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::NotAdmin => told(Code::PermissionDenied, &error),
            ScheduleError::NotFound { .. } => told(Code::NotFound, &error),
            ScheduleError::Invalid(_) => told(Code::InvalidArgument, &error),
            ScheduleError::TooMany { .. } => told(Code::QuotaExceeded, &error),
            ScheduleError::Busy { .. } | ScheduleError::Contended => {
                told(Code::OperationFailed, &error)
            }
            ScheduleError::Db(error) => error.into(),
        }
    }
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::NotFound => told(Code::NotFound, &error),
            UploadError::WrongOffset { .. }
            | UploadError::Overlong { .. }
            | UploadError::Outgrown { .. }
            | UploadError::TooLarge { .. }
            | UploadError::Part { .. }
            | UploadError::TooManyParts { .. } => told(Code::InvalidArgument, &error),
            UploadError::Gone { .. }
            | UploadError::Joined
            | UploadError::Partial
            | UploadError::PartInUse
            | UploadError::NotTaking { .. }
            | UploadError::Appending { .. }
            | UploadError::NoRoom { .. }
            | UploadError::Body { .. } => told(Code::OperationFailed, &error),
            UploadError::TooManyOpen { .. } => told(Code::QuotaExceeded, &error),
            UploadError::TooManyRequests { .. } | UploadError::Draining { .. } => {
                told(Code::Unavailable, &error)
            }
            UploadError::Store(error) => error.into(),
            UploadError::Db(error) => error.into(),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } | StoreError::ImageNotFound { .. } => {
                told(Code::NotFound, &error)
            }
            StoreError::BeyondLength { .. }
            | StoreError::LengthConflict { .. }
            | StoreError::ChecksumMismatch { .. }
            | StoreError::CheckedChunkTooLarge { .. }
            | StoreError::WrongChunkLength { .. } => told(Code::InvalidArgument, &error),
            StoreError::AlreadyExists { .. }
            | StoreError::Busy { .. }
            | StoreError::TooManyExtents { .. }
            | StoreError::Superseded
            | StoreError::Revoked { .. }
            | StoreError::Fenced { .. }
            | StoreError::Incomplete { .. } => told(Code::OperationFailed, &error),
            StoreError::NoSpace => Self::new(
                Code::OperationFailed,
                "the storage is full; what was stored is kept: make room, then try again",
            ),
            StoreError::Io { .. } => {
                tracing::error!(%error, "the storage failed");
                Self::new(
                    Code::Io,
                    "the storage failed; what was acknowledged is kept: try again, and look at the service's log",
                )
            }
            StoreError::Damaged { .. } | StoreError::Unusable { .. } => defect(&error),
        }
    }
}

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::WrongPassword
            | AccountError::TooManyAttempts { .. }
            | AccountError::TimeTooSkewed
            | AccountError::UnknownAccessKey { .. }
            | AccountError::WrongSignature
            | AccountError::SealedByAnother { .. } => told(Code::Authentication, &error),
            AccountError::NoSuchAccount(_) => told(Code::NotFound, &error),
            AccountError::TooManyAccessKeys => told(Code::QuotaExceeded, &error),
            AccountError::WrongOldPassword
            | AccountError::NameTaken(_)
            | AccountError::Invalid(_) => told(Code::InvalidArgument, &error),
            AccountError::SessionExpired => told(Code::InvalidSession, &error),
            AccountError::TooManySessions => told(Code::TooManySessions, &error),
            AccountError::NoRandomness => defect(&error),
            AccountError::Db(error) => error.into(),
        }
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable { .. } => {
                tracing::error!(%error, "the database does not answer");
                Self::new(
                    Code::Unavailable,
                    "the database does not answer at the moment; what was acknowledged is kept: try again",
                )
            }
            DbError::UnknownField { .. } | DbError::BadValue { .. } => {
                told(Code::InvalidArgument, &error)
            }
            DbError::CorruptRow { .. } | DbError::Schema { .. } | DbError::Refused { .. } => {
                defect(&error)
            }
        }
    }
}

/// What a handler answers at once instead of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The request itself is wrong: plain text, as ZStack's REST layer does.
    Text(StatusCode, String),
    /// The call is refused: 503 with the error envelope.
    Refused(ErrorCode),
}

impl Fault {
    /// Too much is at work for one more.
    pub(super) fn busy(words: &impl fmt::Display) -> Self {
        Self::Refused(Code::Unavailable.with(words.to_string()))
    }

    /// 400 with these words.
    pub(super) fn bad_request(words: impl Into<String>) -> Self {
        Self::Text(StatusCode::BAD_REQUEST, words.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(status, words) => write!(f, "{}: {words}", status.as_u16()),
            Self::Refused(error) => write!(f, "{}: {}", error.code, error.details),
        }
    }
}

impl ResponseError for Fault {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Text(status, _) => *status,
            Self::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Text(status, words) => HttpResponse::build(*status)
                .content_type(ContentType::plaintext())
                .body(words.clone()),
            Self::Refused(error) => {
                json(self.status_code(), &ErrorEnvelope { error: error.clone() })
            }
        }
    }
}

impl From<BodyFault> for Fault {
    fn from(fault: BodyFault) -> Self {
        Self::Text(fault.status(), fault.to_string())
    }
}

impl From<NoSession> for Fault {
    fn from(error: NoSession) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<BadQuery> for Fault {
    fn from(error: BadQuery) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<BadHost> for Fault {
    fn from(error: BadHost) -> Self {
        Self::bad_request(error.to_string())
    }
}
