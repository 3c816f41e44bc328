//! Why a request of the data plane is refused, and how our own dialect says so (`application/problem+json`).

mod lengths;
mod mapping;
mod parts;

use actix_web::{HttpResponse, http::StatusCode, http::header};

use super::headers::BadHeader;
use crate::{
    accounts::AccountError,
    domain::{image_id::InvalidImageId, job::Reason, job_state::JobState},
    jobs::JobError,
    uploads::{UploadError, Verdict},
    wire::{
        problem::{PROBLEM_JSON, Problem, code},
        reason::ReasonName,
    },
};

/// Why a request of the data plane is refused. Each dialect maps it to its own statuses; the words are the same everywhere.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// The upload refused.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The job refused.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The session is no session.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A header cannot be taken.
    #[error(transparent)]
    Header(#[from] BadHeader),
    /// The `IMAGE_ID` in the path is none.
    #[error(transparent)]
    ImageId(#[from] InvalidImageId),
    /// The request itself does not fit.
    #[error(transparent)]
    Request(#[from] RequestFault),
}

/// What does not fit in a request, apart from single headers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// No session, and the path needs one.
    #[error("the request names no session")]
    NoSession,
    /// Possession of the URL is not enough.
    #[error("only the owner may delete an image")]
    OwnerOnly,
    /// A body whose length cannot be known.
    #[error("the length of the body is not given")]
    LengthRequired,
    /// No version of tus that is spoken, and no mark of another protocol.
    #[error("the protocol is not named, or in a version that is not spoken")]
    TusVersion,
    /// The body is longer than the whole upload.
    #[error("the body is longer than the upload")]
    LongBody,
    /// The body is compressed, or of the wrong type.
    #[error("the body is of a type that is not taken: {0}")]
    BodyType(&'static str),
    /// No route leads there.
    #[error("there is nothing at this path")]
    NoSuchPath,
    /// The resource has no such method.
    #[error("the method is not offered here; use {allow}")]
    Method {
        /// The methods that it has.
        allow: String,
    },
    /// No such image, or it is not Ready.
    #[error("there is no such image")]
    NoImage,
    /// No such job.
    #[error("there is no such job")]
    NoJob,
    /// The body does not hold the bytes that its headers announce.
    #[error("the body is shorter than announced")]
    ShortBody,
    /// The bytes are complete and are no image that can be kept.
    #[error("the image was refused: {detail}")]
    Failed {
        /// What is wrong with it.
        detail: String,
        /// What of it.
        reason: Reason,
    },
    /// The bytes were complete, and the upload came to nothing all the same.
    #[error("the upload came to nothing: {detail}")]
    Ended {
        /// Why.
        detail: String,
    },
    /// Its digest was declared differently before, or cannot be declared any more.
    #[error("the digest cannot be declared: {0}")]
    Digest(&'static str),
    /// The query of the URL cannot be read.
    #[error("the query of the URL cannot be read: {0}")]
    Query(&'static str),
}

/// How our own dialect refuses: status, code and words in one place.
impl From<&Fault> for Problem {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::Upload(error) => mapping::of_upload(error),
            Fault::Job(error) => mapping::of_job(error),
            Fault::Account(error) => mapping::of_account(error),
            Fault::Header(error) => mapping::bad_request("bad_header", error),
            Fault::ImageId(error) => mapping::bad_request("bad_image_id", error),
            Fault::Request(error) => mapping::of_request(error),
        }
    }
}

/// The problem of content that was refused.
fn failed(detail: &str, reason: Reason) -> Problem {
    let words = format!("{detail}. The bytes were removed; the job keeps the reason.");
    let problem = Problem::new(422, code::UNSAFE_IMAGE, "Image refused", words);
    Problem { reason: ReasonName::of(reason), ..problem }
}

/// Writes down, once, what the client is not told the whole of.
pub fn log(fault: &Fault, status: u16, request_id: &str) {
    if status >= 500 {
        tracing::warn!(request_id, status, error = %fault, "a request of the data plane failed");
    } else {
        tracing::debug!(request_id, status, error = %fault, "a request of the data plane was refused");
    }
}

/// The answer to a refused request in our own dialect.
pub fn answer(fault: &Fault, request_id: String) -> HttpResponse {
    shape(Problem::from(fault), fault, request_id)
}

/// The answer with this problem; what else it needs follows from the fault.
pub fn shape(mut problem: Problem, fault: &Fault, request_id: String) -> HttpResponse {
    log(fault, problem.status, &request_id);
    problem.request_id = request_id;
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(offset) = problem.offset {
        response.insert_header(("Upload-Offset", offset.to_string()));
    }
    if let Some(after_ms) = problem.retry_after_ms {
        response.insert_header((header::RETRY_AFTER, retry_after_secs(after_ms)));
    }
    if problem.code == code::UNAUTHENTICATED {
        response.insert_header((header::WWW_AUTHENTICATE, "OAuth"));
    }
    if let Fault::Request(RequestFault::Method { allow }) = fault {
        response.insert_header((header::ALLOW, allow.as_str()));
    }
    if closes(fault) {
        response.force_close();
    }
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    response.content_type(PROBLEM_JSON).body(body)
}

/// `Retry-After` for a time in milliseconds.
pub fn retry_after_secs(after_ms: u64) -> String {
    after_ms.div_ceil(1000).max(1).to_string()
}

/// What the request that sent the last byte has to be told of an upload that came to nothing.
pub fn bad_end(verdict: Option<&Verdict>) -> Option<Fault> {
    match verdict? {
        Verdict::Refused { detail, reason } => {
            Some(RequestFault::Failed { detail: detail.clone(), reason: *reason }.into())
        }
        Verdict::Failed { detail } => Some(RequestFault::Ended { detail: detail.clone() }.into()),
        Verdict::Stopped {
            state: state @ (JobState::Canceling | JobState::Canceled | JobState::Failed),
        } => Some(UploadError::NotTaking { state: *state }.into()),
        Verdict::Ready { .. } | Verdict::Stopped { .. } => None,
    }
}

/// Whether the connection is of no more use: its body is broken, too slow, or the service is stopping.
pub fn closes(fault: &Fault) -> bool {
    matches!(fault, Fault::Upload(UploadError::Body { .. } | UploadError::Draining { .. }))
}

#[cfg(test)]
mod tests;
