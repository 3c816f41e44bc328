//! How IMS refuses: status and code of what went wrong (`codes`), and words, which are the same in every dialect.
//!
//! | what | status | code |
//! |---|---|---|
//! | nobody is known to ask | 401 | `APIGW.0301`, in the gateway's flat form |
//! | no such job, or another account's | 404 | `IMG.0023` |
//! | a field, the body | 400 | the field's own, else `IMG.0001` |
//! | another project | 400 | `IMG.0030` |
//! | too many unfinished uploads, no room; too many requests | 400; 503 | `IMG.0060` |
//! | something that is not offered | 400 | `IMG.0105`, of a bucket `IMG.0069` |
//! | the storage or the database does not answer | 503 | `IMG.0018` |
//! | a defect of ours | 500 | `IMG.0061` |

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};

use super::codes::{self, Said};
use crate::{
    accounts::AccountError,
    domain::text::shown,
    http::{json::BodyFault, links::BadHost, problem, query::BadQuery, session::NoSession},
    jobs::JobError,
    uploads::UploadError,
    wire::{
        ims::{Code, GatewayError, NOT_AUTHENTICATED},
        problem::Problem,
    },
};

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// What was asked for.
    Told {
        /// The HTTP status.
        status: StatusCode,
        /// IMS's code.
        code: Code,
        /// What happened, what is kept, what to do next.
        words: String,
        /// When to come again, if that helps.
        retry_after_ms: Option<u64>,
    },
    /// Who asks.
    Unknown(String),
}

impl Fault {
    /// With this status, code and words.
    pub(super) fn told(status: StatusCode, code: Code, words: impl Into<String>) -> Self {
        Self::Told { status, code, words: words.into(), retry_after_ms: None }
    }

    /// A field, or something else of the request, that cannot be taken.
    pub(super) fn bad(code: Code, words: impl Into<String>) -> Self {
        Self::told(StatusCode::BAD_REQUEST, code, words)
    }

    /// A job that the caller may not see, or that never was.
    pub(super) fn no_job(id: &str) -> Self {
        let words = format!("there is no job {}; ask for the list of jobs", shown(id));
        Self::told(StatusCode::NOT_FOUND, Code::Query, words)
    }

    /// What there is to say in words stands in the problem; nothing else of it counts here.
    fn said((status, code): Said, problem: Problem) -> Self {
        let Problem { detail, retry_after_ms, .. } = problem;
        Self::Told { status, code, words: detail, retry_after_ms }
    }
}

impl From<JobError> for Fault {
    fn from(error: JobError) -> Self {
        match error {
            JobError::NotFound { uuid } => Self::no_job(&uuid),
            error => {
                let said = codes::of_job(&error);
                Self::said(said, Problem::from(&problem::Fault::from(error)))
            }
        }
    }
}

impl From<UploadError> for Fault {
    fn from(error: UploadError) -> Self {
        JobError::from(error).into()
    }
}

impl From<AccountError> for Fault {
    fn from(error: AccountError) -> Self {
        let words = match &error {
            AccountError::SessionExpired => {
                "the token does not exist or has ended: ask for a new one at POST /v3/auth/tokens"
            }
            AccountError::TimeTooSkewed => {
                "the request was signed more than 15 minutes from the time of this server: set the clock and sign it again"
            }
            AccountError::WrongSignature => {
                "the signature does not fit the request: sign it with the secret of this access key, as it is sent"
            }
            AccountError::WrongPassword
            | AccountError::TooManyAttempts { .. }
            | AccountError::TooManySessions
            | AccountError::UnknownAccessKey { .. }
            | AccountError::SealedByAnother { .. }
            | AccountError::TooManyAccessKeys
            | AccountError::WrongOldPassword
            | AccountError::NoSuchAccount(_)
            | AccountError::NameTaken(_)
            | AccountError::Invalid(_)
            | AccountError::NoRandomness
            | AccountError::Db(_) => {
                let said = codes::of_account(&error);
                let problem = Problem::from(&problem::Fault::from(error));
                return match said {
                    Some(said) => Self::said(said, problem),
                    None => Self::Unknown(problem.detail),
                };
            }
        };
        Self::Unknown(words.to_owned())
    }
}

impl From<NoSession> for Fault {
    fn from(error: NoSession) -> Self {
        Self::Unknown(match error {
            NoSession::Missing | NoSession::OtherScheme => {
                "nobody is known to ask: send X-Auth-Token with a token of POST /v3/auth/tokens, or sign the request with an access key (SDK-HMAC-SHA256)"
                    .to_owned()
            }
            NoSession::Signature(error) => error.to_string(),
        })
    }
}

impl From<BodyFault> for Fault {
    fn from(error: BodyFault) -> Self {
        Self::told(error.status(), Code::BadFormat, error.to_string())
    }
}

impl From<BadQuery> for Fault {
    fn from(error: BadQuery) -> Self {
        Self::bad(Code::BadFormat, error.to_string())
    }
}

impl From<BadHost> for Fault {
    fn from(error: BadHost) -> Self {
        Self::bad(Code::BadFormat, error.to_string())
    }
}

/// The answer to a call that is refused.
pub(super) fn answer(fault: &Fault, request_id: &str) -> HttpResponse {
    let (status, body, retry_after_ms) = match fault {
        Fault::Told { status, code, words, retry_after_ms } => {
            (*status, serde_json::to_vec(&code.with(words.as_str())), *retry_after_ms)
        }
        Fault::Unknown(words) => {
            let error = GatewayError {
                error_code: NOT_AUTHENTICATED.to_owned(),
                error_msg: words.clone(),
                request_id: request_id.to_owned(),
            };
            (StatusCode::UNAUTHORIZED, serde_json::to_vec(&error), None)
        }
    };
    log(fault, status, request_id);
    let mut answer = HttpResponse::build(status);
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(after_ms) = retry_after_ms {
        answer.insert_header((header::RETRY_AFTER, problem::retry_after_secs(after_ms)));
    }
    if status == StatusCode::UNAUTHORIZED {
        answer.insert_header((header::WWW_AUTHENTICATE, "OAuth"));
    }
    answer.content_type(header::ContentType::json()).body(body.unwrap_or_default())
}

fn log(fault: &Fault, status: StatusCode, request_id: &str) {
    let status = status.as_u16();
    if status >= 500 {
        tracing::warn!(request_id, status, error = ?fault, "a call of IMS failed");
    } else {
        tracing::debug!(request_id, status, error = ?fault, "a call of IMS was refused");
    }
}
