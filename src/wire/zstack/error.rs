//! Error codes with their fixed descriptions (zstack.md 1.3).

use serde::{Deserialize, Serialize};

/// The codes that this service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// A defect of ours, told through an asynchronous call.
    Internal,
    /// The call took too long.
    Timeout,
    /// No such resource.
    NotFound,
    /// The operation failed.
    OperationFailed,
    /// An argument, or the state of what it names, does not allow the call.
    InvalidArgument,
    /// The service cannot work at this moment.
    Unavailable,
    /// The storage failed.
    Io,
    /// Wrong account name or password.
    Authentication,
    /// No such session, or not any more.
    InvalidSession,
    /// Not allowed to this caller.
    PermissionDenied,
    /// More than the account may have.
    QuotaExceeded,
    /// As many sessions as the account may have.
    TooManySessions,
    /// The kind of job cannot do this.
    JobUnsupported,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Internal,
        Self::Timeout,
        Self::NotFound,
        Self::OperationFailed,
        Self::InvalidArgument,
        Self::Unavailable,
        Self::Io,
        Self::Authentication,
        Self::InvalidSession,
        Self::PermissionDenied,
        Self::QuotaExceeded,
        Self::TooManySessions,
        Self::JobUnsupported,
    ];

    /// The code as ZStack writes it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Internal => "SYS.1000",
            Self::Timeout => "SYS.1001",
            Self::NotFound => "SYS.1003",
            Self::OperationFailed => "SYS.1006",
            Self::InvalidArgument => "SYS.1007",
            Self::Unavailable => "SYS.1012",
            Self::Io => "SYS.1016",
            Self::Authentication => "ID.1000",
            Self::InvalidSession => "ID.1001",
            Self::PermissionDenied => "ID.1002",
            Self::QuotaExceeded => "ID.1003",
            Self::TooManySessions => "ID.1006",
            Self::JobUnsupported => "LONG_JOB.1003",
        }
    }

    /// The description that goes with it.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Internal => "An internal error happened in system",
            Self::Timeout => "A message or a operation timeout",
            Self::NotFound => "A resource can not be found",
            Self::OperationFailed => "An operation failed",
            Self::InvalidArgument => "One or more API argument is invalid",
            Self::Unavailable => "The management node is unavailable",
            Self::Io => "An IO error happened",
            Self::Authentication => "Unable to authenticate a user",
            Self::InvalidSession => {
                "The session is invalid, either wrong session id or the session has been expired"
            }
            Self::PermissionDenied => "No permission to do this operation",
            Self::QuotaExceeded => "The quota is exceeded",
            Self::TooManySessions => "There are too many sessions",
            Self::JobUnsupported => "operation is not supported.",
        }
    }

    /// The error with this code and these details.
    pub fn with(self, details: impl Into<String>) -> ErrorCode {
        ErrorCode {
            code: self.code().to_owned(),
            description: self.description().to_owned(),
            details: details.into(),
            cause: None,
        }
    }
}

/// ZStack's error object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCode {
    /// `SYS.1007` and the like.
    pub code: String,
    /// Fixed for each code.
    #[serde(default)]
    pub description: String,
    /// What happened here.
    #[serde(default)]
    pub details: String,
    /// What led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<ErrorCode>>,
}

/// Body of a 503. One key only: the Go SDK unwraps no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorEnvelope {
    /// The error.
    pub error: ErrorCode,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        for (at, code) in Code::ALL.into_iter().enumerate() {
            assert!(!code.description().is_empty());
            assert!(Code::ALL[..at].iter().all(|other| other.code() != code.code()), "{code:?}");
        }
    }

    #[test]
    fn an_error_body_has_one_key() {
        let error = Code::InvalidSession.with("Session expired");
        assert_eq!(
            serde_json::to_string(&ErrorEnvelope { error }).unwrap(),
            concat!(
                r#"{"error":{"code":"ID.1001","description":"The session is invalid, either wrong "#,
                r#"session id or the session has been expired","details":"Session expired"}}"#
            )
        );
    }
}
