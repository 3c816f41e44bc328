//! How a refused slice is answered. What a status does to ZStack's web UI (zstack.md 4.3): 409 and 416 make it ask where to go
//! on, 413 and everything from 500 on make it send smaller slices again, any other 4xx ends the upload for good. The
//! statuses follow from that.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde::Serialize;

use crate::{
    accounts::AccountError,
    domain::job_state::{JobState, SuspendReason},
    http::problem::{self, Fault, RequestFault},
    jobs::{DbError, JobError},
    uploads::{BodyError, StoreError, UploadError},
    wire::problem::Problem,
};

/// The body of a refusal.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    code: String,
    retryable: bool,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suggested_chunk_size: Option<u64>,
    request_id: String,
}

/// The answer to a refused slice. `offset` is the first missing byte, where it is known.
pub(super) fn answer(fault: &Fault, offset: Option<u64>, request_id: String) -> HttpResponse {
    let status = status_of(fault);
    problem::log(fault, status, &request_id);
    let problem = Problem::from(fault);
    let refusal = Refusal {
        code: problem.code,
        retryable: status >= 500 || status == 413,
        message: problem.detail,
        server_offset: offset.or(problem.offset).filter(|_| wants_offset(fault)),
        suggested_chunk_size: problem.suggested_chunk_bytes,
        request_id,
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if let Some(after_ms) = problem.retry_after_ms {
        response.insert_header((header::RETRY_AFTER, problem::retry_after_secs(after_ms)));
    }
    if problem::closes(fault) {
        response.force_close();
    }
    response.json(refusal)
}

/// Whether the answer tells the client where to go on.
pub(super) fn wants_offset(fault: &Fault) -> bool {
    matches!(status_of(fault), 409 | 416)
}

fn status_of(fault: &Fault) -> u16 {
    match fault {
        Fault::Upload(error) => of_upload(error),
        Fault::Job(error) => of_job(error),
        Fault::Account(error) => match error {
            AccountError::WrongPassword
            | AccountError::SessionExpired
            | AccountError::UnknownAccessKey { .. }
            | AccountError::WrongSignature
            | AccountError::SealedByAnother { .. } => 401,
            AccountError::TimeTooSkewed => 403,
            AccountError::TooManyAttempts { .. } => 429,
            AccountError::TooManySessions => 503,
            AccountError::TooManyAccessKeys
            | AccountError::WrongOldPassword
            | AccountError::NoSuchAccount(_)
            | AccountError::NameTaken(_)
            | AccountError::Invalid(_) => 400,
            AccountError::NoRandomness => 500,
            AccountError::Db(error) => of_db(error),
        },
        Fault::Header(_) | Fault::ImageId(_) => 400,
        Fault::Request(error) => match error {
            RequestFault::Digest(_) | RequestFault::Query(_) | RequestFault::LongBody => 400,
            RequestFault::TusVersion => 412,
            RequestFault::NoSession => 401,
            RequestFault::OwnerOnly => 403,
            RequestFault::NoImage | RequestFault::NoJob | RequestFault::NoSuchPath => 404,
            RequestFault::Method { .. } => 405,
            RequestFault::Ended { .. } => 410,
            RequestFault::LengthRequired => 411,
            RequestFault::BodyType(_) => 415,
            RequestFault::Failed { .. } => 422,
            RequestFault::ShortBody => 500,
        },
    }
}

fn of_upload(error: &UploadError) -> u16 {
    match error {
        // Smaller slices would not help: the image is too large.
        UploadError::TooLarge { .. }
        | UploadError::Outgrown { .. }
        | UploadError::Part { .. }
        | UploadError::TooManyParts { .. } => 400,
        UploadError::Joined | UploadError::Partial | UploadError::PartInUse => 403,
        UploadError::NotFound => 404,
        UploadError::WrongOffset { .. } | UploadError::Appending { .. } => 409,
        UploadError::Gone { .. } => 410,
        UploadError::Overlong { .. } => 416,
        UploadError::NoRoom { .. } => 507,
        UploadError::TooManyOpen { .. }
        | UploadError::TooManyRequests { .. }
        | UploadError::Draining { .. } => 503,
        UploadError::NotTaking { state } => match state {
            JobState::Canceling | JobState::Canceled | JobState::Failed | JobState::Succeeded => {
                410
            }
            JobState::Suspended(SuspendReason::User) => 423,
            JobState::Waiting
            | JobState::Running
            | JobState::Suspended(
                SuspendReason::Idle
                | SuspendReason::Restart
                | SuspendReason::NoSpace
                | SuspendReason::IoError,
            ) => 503,
        },
        UploadError::Body { error, .. } => match error {
            BodyError::Malformed(_) => 400,
            BodyError::Broken | BodyError::Idle { .. } | BodyError::TooSlow { .. } => 500,
        },
        UploadError::Store(error) => of_store(error),
        UploadError::Db(error) => of_db(error),
    }
}

fn of_store(error: &StoreError) -> u16 {
    match error {
        StoreError::ImageNotFound { .. } => 404,
        StoreError::LengthConflict { .. } | StoreError::Incomplete { .. } => 409,
        StoreError::NotFound { .. } => 410,
        StoreError::CheckedChunkTooLarge { .. } => 413,
        StoreError::BeyondLength { .. } => 416,
        StoreError::ChecksumMismatch { .. }
        | StoreError::WrongChunkLength { .. }
        | StoreError::AlreadyExists { .. }
        | StoreError::Damaged { .. } => 500,
        StoreError::Busy { .. }
        | StoreError::TooManyExtents { .. }
        | StoreError::Superseded
        | StoreError::Revoked { .. }
        | StoreError::Fenced { .. }
        | StoreError::Io { .. }
        | StoreError::Unusable { .. } => 503,
        StoreError::NoSpace => 507,
    }
}

fn of_job(error: &JobError) -> u16 {
    match error {
        JobError::Invalid(_) => 400,
        JobError::NotFound { .. }
        | JobError::ImageNotFound { .. }
        | JobError::TagNotFound { .. } => 404,
        JobError::WrongState { .. } | JobError::Unsupported(_) => 409,
        JobError::NoStorage(_) | JobError::Quota(_) | JobError::Contended => 503,
        JobError::Upload(error) => of_upload(error),
        JobError::Db(error) => of_db(error),
    }
}

fn of_db(error: &DbError) -> u16 {
    match error {
        DbError::UnknownField { .. } | DbError::BadValue { .. } => 400,
        DbError::CorruptRow { .. } | DbError::Schema { .. } | DbError::Refused { .. } => 500,
        DbError::Unavailable { .. } => 503,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;
    use crate::{
        domain::{job::Reason, upload::UploadFate},
        http::headers::BadHeader,
        uploads::UploadKey,
    };

    async fn told(fault: &Fault, offset: Option<u64>) -> (u16, serde_json::Value) {
        let response = answer(fault, offset, "id".to_owned());
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body()).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn what_the_web_ui_does_next_is_right() {
        let store = |error: StoreError| Fault::from(UploadError::from(error));
        let body = |error| Fault::from(UploadError::Body { error, offset: 0 });
        let taking = |state| Fault::from(UploadError::NotTaking { state });
        let key = UploadKey(uuid::Uuid::nil());
        for (fault, status, retryable) in [
            (store(StoreError::ChecksumMismatch { offset: 0, actual: "ab".into() }), 500, true),
            (store(StoreError::WrongChunkLength { announced: 2, received: 1 }), 500, true),
            (RequestFault::ShortBody.into(), 500, true),
            (body(BodyError::Broken), 500, true),
            (store(StoreError::Busy { key, retry_after_ms: 10 }), 503, true),
            (UploadError::Draining { offset: 0 }.into(), 503, true),
            (store(StoreError::NoSpace), 507, true),
            (UploadError::NoRoom { free: 1, needed: 2 }.into(), 507, true),
            (store(StoreError::CheckedChunkTooLarge { offered: 2, max: 1 }), 413, true),
            (store(StoreError::LengthConflict { offered: 2, declared: 1 }), 409, false),
            (store(StoreError::BeyondLength { end: 2, length: 1 }), 416, false),
            (UploadError::Overlong { length: 2, offset: 1 }.into(), 416, false),
            (UploadError::Partial.into(), 403, false),
            (UploadError::TooLarge { offered: 2, max: 1 }.into(), 400, false),
            (BadHeader::new("x-slice-size", "bad").into(), 400, false),
            (body(BodyError::Malformed("x")), 400, false),
            (UploadError::NotFound.into(), 404, false),
            (UploadError::Gone { fate: UploadFate::Expired }.into(), 410, false),
            (taking(JobState::Canceled), 410, false),
            (taking(JobState::Failed), 410, false),
            (taking(JobState::Suspended(SuspendReason::User)), 423, false),
            (
                RequestFault::Failed {
                    detail: "the digest differs".into(),
                    reason: Reason::Digests,
                }
                .into(),
                422,
                false,
            ),
            (RequestFault::Ended { detail: "the storage lost it".into() }.into(), 410, false),
        ] {
            let (actual, body) = told(&fault, Some(42)).await;
            assert_eq!(actual, status, "{fault:?}");
            assert_eq!(body["retryable"], retryable, "{fault:?}");
            assert!(body["message"].as_str().is_some_and(|words| !words.is_empty()), "{fault:?}");
            assert_eq!(body["serverOffset"] == 42, matches!(status, 409 | 416), "{fault:?}");
            assert_eq!(body.get("suggestedChunkSize").is_some(), status == 413, "{fault:?}");
        }
    }
}
