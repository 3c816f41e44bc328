//! Every error once: its status, its code, and words that give nothing away.

use uuid::Uuid;

use super::*;
use crate::{
    domain::{job::Reason, job_state::JobState, upload::UploadFate},
    jobs::DbError,
    uploads::{BodyError, ImageKey, PartFault, StoreError, UploadKey},
};

const SECRET: &str = "/var/lib/secret SELECT";

fn store_errors() -> Vec<(StoreError, u16, &'static str)> {
    let key = UploadKey(Uuid::nil());
    let text = SECRET.to_owned();
    vec![
        (StoreError::NotFound { key }, 410, "gone"),
        (StoreError::ImageNotFound { image: ImageKey(Uuid::nil()) }, 404, "not_found"),
        (StoreError::AlreadyExists { key }, 500, "internal"),
        (StoreError::BeyondLength { end: 9, length: 5 }, 416, "bad_range"),
        (StoreError::LengthConflict { offered: 9, declared: 5 }, 400, "bad_range"),
        (StoreError::ChecksumMismatch { offset: 3, actual: "ab".into() }, 400, "checksum_mismatch"),
        (StoreError::CheckedChunkTooLarge { offered: 9, max: 5 }, 413, "chunk_too_large"),
        (StoreError::WrongChunkLength { announced: 9, received: 5 }, 400, "short_body"),
        (StoreError::Busy { key, retry_after_ms: 1500 }, 503, "busy"),
        (StoreError::TooManyExtents { offset: 7 }, 503, "busy"),
        (StoreError::Superseded, 423, "locked"),
        (StoreError::Revoked { key }, 503, "busy"),
        (StoreError::Fenced { key, current: 2 }, 503, "busy"),
        (StoreError::Incomplete { offset: 7 }, 409, "wrong_offset"),
        (StoreError::NoSpace, 507, "no_space"),
        (StoreError::Io { action: "write data", message: text.clone() }, 503, "storage_failed"),
        (StoreError::Damaged { what: text.clone(), message: text.clone() }, 500, "internal"),
        (StoreError::Unusable { message: text }, 503, "storage_failed"),
    ]
}

fn db_errors() -> Vec<(DbError, u16, &'static str)> {
    let message = SECRET.to_owned();
    let key = SECRET.to_owned();
    vec![
        (DbError::Unavailable { message: message.clone() }, 503, "busy"),
        (DbError::CorruptRow { table: "t", key, column: "c" }, 500, "internal"),
        (DbError::UnknownField { field: "f".into() }, 400, "bad_query"),
        (DbError::BadValue { field: "f".into(), value: "v".into() }, 400, "bad_query"),
        (DbError::Schema { message: message.clone() }, 500, "internal"),
        (DbError::Refused { message }, 500, "internal"),
    ]
}

fn upload_errors() -> Vec<(UploadError, u16, &'static str)> {
    let body = |error| UploadError::Body { error, offset: 7 };
    let part = |fault| UploadError::Part { number: 2, fault };
    let mut all = vec![
        (UploadError::NotFound, 404, "not_found"),
        (UploadError::WrongOffset { expected: 7 }, 409, "wrong_offset"),
        (UploadError::TooLarge { offered: 9, max: 5 }, 413, "too_large"),
        (UploadError::NoRoom { free: 1, needed: 2 }, 507, "no_space"),
        (UploadError::TooManyOpen { max: 3 }, 413, "quota"),
        (UploadError::TooManyRequests { max: 3 }, 503, "busy"),
        (UploadError::Joined, 403, "joined"),
        (UploadError::Partial, 403, "partial"),
        (UploadError::PartInUse, 403, "part_in_use"),
        (UploadError::Overlong { length: 9, offset: 7 }, 416, "bad_range"),
        (UploadError::Outgrown { length: 9, offset: 7 }, 400, "outgrown"),
        (UploadError::TooManyParts { max: 3 }, 400, "bad_part"),
        (part(PartFault::Missing), 404, "not_found"),
        (part(PartFault::Gone { fate: UploadFate::Expired }), 410, "gone"),
        (part(PartFault::NotPartial), 400, "bad_part"),
        (part(PartFault::Unfinished { offset: 7 }), 400, "bad_part"),
        (part(PartFault::Taken), 400, "bad_part"),
        (part(PartFault::Twice), 400, "bad_part"),
        (body(BodyError::Broken), 400, "broken_body"),
        (body(BodyError::Idle { secs: 30 }), 408, "idle_body"),
        (body(BodyError::TooSlow { bytes_per_sec: 1024 }), 408, "slow_body"),
        (body(BodyError::Malformed("x")), 400, "malformed_body"),
        (UploadError::Draining { offset: 7 }, 503, "busy"),
    ];
    all.extend(UploadFate::ALL.map(|fate| (UploadError::Gone { fate }, 410, "gone")));
    all.extend(JobState::ALL.map(|state| {
        let (status, code) = match state.to_string().as_str() {
            "Suspended(user)" => (409, "suspended"),
            "Canceling" | "Canceled" | "Failed" | "Succeeded" => (410, "gone"),
            _ => (503, "busy"),
        };
        (UploadError::NotTaking { state }, status, code)
    }));
    all.extend(store_errors().into_iter().map(|(e, s, c)| (e.into(), s, c)));
    all.extend(db_errors().into_iter().map(|(e, s, c)| (e.into(), s, c)));
    all
}

fn faults() -> Vec<(Fault, u16, &'static str)> {
    let state = JobState::Running;
    let mut all: Vec<(Fault, u16, &'static str)> = vec![
        (JobError::NotFound { uuid: "u".into() }.into(), 404, "not_found"),
        (JobError::ImageNotFound { uuid: "u".into() }.into(), 404, "not_found"),
        (JobError::TagNotFound { uuid: "u".into() }.into(), 404, "not_found"),
        (JobError::Invalid("name is too long".into()).into(), 400, "bad_field"),
        (JobError::WrongState { state, words: "no".into() }.into(), 409, "wrong_state"),
        (JobError::Unsupported("no".into()).into(), 409, "unsupported"),
        (JobError::NoStorage("the storage is full".into()).into(), 503, "no_storage"),
        (JobError::Quota("too many uploads".into()).into(), 413, "quota"),
        (JobError::Contended.into(), 503, "busy"),
        (JobError::Upload(UploadError::NotFound).into(), 404, "not_found"),
        (JobError::Db(DbError::Refused { message: SECRET.into() }).into(), 500, "internal"),
        (AccountError::WrongPassword.into(), 401, "unauthenticated"),
        (AccountError::SessionExpired.into(), 401, "unauthenticated"),
        (AccountError::TooManySessions.into(), 429, "too_many_sessions"),
        (AccountError::NoRandomness.into(), 500, "internal"),
        (AccountError::Db(DbError::Unavailable { message: SECRET.into() }).into(), 503, "busy"),
        (BadHeader::new("x-slice-size", "it is no number").into(), 400, "bad_header"),
        (InvalidImageId::Empty.into(), 400, "bad_image_id"),
        (RequestFault::NoSession.into(), 401, "unauthenticated"),
        (RequestFault::OwnerOnly.into(), 403, "owner_only"),
        (RequestFault::LengthRequired.into(), 411, "length_required"),
        (RequestFault::TusVersion.into(), 412, "protocol_version"),
        (RequestFault::LongBody.into(), 400, "bad_range"),
        (RequestFault::BodyType("gzip is not taken").into(), 415, "body_type"),
        (RequestFault::Method { allow: "GET".to_owned() }.into(), 405, "method"),
        (RequestFault::NoImage.into(), 404, "not_found"),
        (RequestFault::NoJob.into(), 404, "not_found"),
        (RequestFault::NoSuchPath.into(), 404, "not_found"),
        (RequestFault::ShortBody.into(), 400, "short_body"),
        (
            RequestFault::Failed { detail: "no image".into(), reason: Reason::Content }.into(),
            422,
            "unsafe_image",
        ),
        (RequestFault::Ended { detail: "lost".into() }.into(), 410, "gone"),
        (RequestFault::Digest("it differs").into(), 400, "bad_digest"),
        (RequestFault::Query("it is not UTF-8").into(), 400, "bad_query"),
    ];
    all.extend(upload_errors().into_iter().map(|(e, s, c)| (e.into(), s, c)));
    all
}

/// Content that is wrong is refused; whatever else ended an upload says nothing about its content.
#[test]
fn a_bad_end_says_whose_fault_it_is() {
    let detail = "words".to_owned();
    for (verdict, status) in [
        (Verdict::Refused { detail: detail.clone(), reason: Reason::Digests }, 422),
        (Verdict::Refused { detail: detail.clone(), reason: Reason::Content }, 422),
        (Verdict::Failed { detail }, 410),
        (Verdict::Stopped { state: JobState::Canceled }, 410),
    ] {
        let fault = bad_end(Some(&verdict)).expect("it came to nothing");
        let problem = Problem::from(&fault);
        assert_eq!(problem.status, status, "{verdict:?}");
        let reason = match verdict {
            Verdict::Refused { reason, .. } => ReasonName::of(reason),
            Verdict::Failed { .. } | Verdict::Ready { .. } | Verdict::Stopped { .. } => None,
        };
        assert_eq!(problem.reason, reason, "machines need not read words");
    }
    let goes_on =
        [Verdict::Ready { md5: None, sha256: None }, Verdict::Stopped { state: JobState::Running }];
    assert!(goes_on.iter().all(|verdict| bad_end(Some(verdict)).is_none()));
    assert!(bad_end(None).is_none());
}

#[test]
fn every_fault_has_its_status_its_code_and_words_that_keep_secrets() {
    for (fault, status, code) in faults() {
        let problem = Problem::from(&fault);
        assert_eq!((problem.status, problem.code.as_str()), (status, code), "{fault:?}");
        let json = serde_json::to_string(&problem).unwrap();
        assert!(!json.contains("secret") && !json.contains("SELECT"), "{json}");
        assert!(
            problem.detail.len() > 10 && problem.detail.ends_with('.')
                || !problem.detail.contains(' ')
                || code == "no_storage"
                || code == "quota",
            "{json}"
        );
        assert_eq!(problem.retry_after_ms.is_some(), status == 503, "{json}");
    }
}

#[test]
fn what_a_client_acts_on_is_in_fields_and_headers() {
    let response = answer(&UploadError::WrongOffset { expected: 7 }.into(), "id-1".into());
    assert_eq!(response.status(), 409);
    assert_eq!(response.headers().get("upload-offset").unwrap(), "7");
    assert_eq!(response.headers().get("content-type").unwrap(), PROBLEM_JSON);

    let busy = StoreError::Busy { key: UploadKey(Uuid::nil()), retry_after_ms: 1500 };
    let response = answer(&UploadError::from(busy).into(), String::new());
    assert_eq!(response.headers().get("retry-after").unwrap(), "2");

    let large = UploadError::from(StoreError::CheckedChunkTooLarge { offered: 9, max: 5 });
    assert_eq!(Problem::from(&Fault::from(large)).suggested_chunk_bytes, Some(5));
    let broken = UploadError::Body { error: BodyError::Broken, offset: 7 };
    assert!(closes(&broken.clone().into()) && !closes(&UploadError::NotFound.into()));
    assert_eq!(Problem::from(&Fault::from(broken)).offset, Some(7));
    // One that goes on is told where, one that has ended is not; neither is told what is not so.
    let overlong =
        |offset| Problem::from(&Fault::from(UploadError::Overlong { length: 9, offset }));
    assert_eq!((overlong(7).offset, overlong(9).offset), (Some(7), Some(9)));
    assert!(overlong(7).detail.contains("7 bytes from the start on are stored and kept"));
    assert!(overlong(9).detail.contains("Nothing of this request was stored"));
    let outgrown = Problem::from(&Fault::from(UploadError::Outgrown { length: 9, offset: 7 }));
    assert_eq!(outgrown.offset, None);
    assert!(outgrown.detail.contains("has ended and the 7 bytes that were stored were removed"));
    let response = answer(&RequestFault::NoSession.into(), String::new());
    assert!(response.headers().contains_key("www-authenticate"));
}
