//! Records for the tests of this dialect, and the state that is made of them.

use super::*;
use crate::{
    domain::{
        ids::{AccountUuid, ApiId, ImageUuid, JobUuid},
        job::{ADD_IMAGE_JOB, JobResult, LongJob, Reason, Stage},
        job_state::JobState,
        upload::{Completion, ExpectedDigests, UploadFate, UploadKind, UploadRecord},
    },
    wire::{
        native::{ByteRange, StateName},
        reason::ReasonName,
    },
};

/// An open upload.
pub(super) fn record() -> UploadRecord {
    UploadRecord {
        kind: UploadKind::Whole,
        uuid: UploadUuid::random(),
        job: JobUuid::random(),
        image: ImageUuid::random(),
        account: AccountUuid::random(),
        image_id: None,
        completion: Completion::ByLength,
        declared_length: Some(10),
        expected: ExpectedDigests::default(),
        offset_cached: 0,
        stored_cached: 0,
        fate: UploadFate::Open,
        url_generation: 1,
        owner: None,
        owner_epoch: 1,
        lease_until_ms: 0,
        created_ms: 0,
        last_byte_ms: None,
        client_metadata: None,
        parts: Vec::new(),
        taken_by: None,
    }
}

fn status() -> UploadStatus {
    let record = record();
    let job = LongJob {
        uuid: record.job,
        account: record.account,
        name: "n".into(),
        description: None,
        api_id: ApiId::random(),
        job_name: ADD_IMAGE_JOB.into(),
        job_data: "{}".into(),
        state: JobState::Running,
        generation: 1,
        stage: Stage::Receiving,
        stage_percent: 140,
        waits_for: Some("the missing bytes".into()),
        result: Some(JobResult::Event),
        image: record.image,
        upload: record.uuid,
        node: None,
        created_ms: 0,
        last_op_ms: 0,
        finished_ms: None,
    };
    UploadStatus {
        record,
        job,
        image: None,
        length: Some(10),
        complete: false,
        offset: 4,
        stored_bytes: 6,
        missing: vec![4..7, 9..10],
    }
}

#[test]
fn the_state_shows_what_is_missing() {
    let state = upload_state(&status(), None);
    assert_eq!((state.state, state.offset, state.stored_bytes), (StateName::Running, 4, 6));
    assert_eq!(state.missing, [ByteRange { start: 4, end: 7 }, ByteRange { start: 9, end: 10 }]);
    assert_eq!(state.stage_percent, 100);
    assert_eq!(state.waits_for, None, "what it waited for has come");
    let nothing = UploadStatus { stored_bytes: 0, ..status() };
    assert_eq!(upload_state(&nothing, None).waits_for.as_deref(), Some("the missing bytes"));
    let response = show(StatusCode::OK, &status(), None);
    assert_eq!(response.headers().get("upload-offset").unwrap(), "4");
    assert!(!response.headers().contains_key("repr-digest"));
}

#[test]
fn what_of_the_file_ended_an_upload_is_told_to_machines() {
    let failed = |reason| {
        let mut status = status();
        status.job.state = JobState::Failed;
        let (detail, cause) = ("words".to_owned(), String::new());
        status.job.result = Some(JobResult::Error { detail, cause, reason });
        upload_state(&status, None).reason
    };
    assert_eq!(failed(Reason::Digests), Some(ReasonName::Digests));
    assert_eq!(failed(Reason::Content), Some(ReasonName::Content));
    assert_eq!(failed(Reason::NotTheFile), None);
    let refused = Verdict::Refused { detail: "words".to_owned(), reason: Reason::Digests };
    assert_eq!(upload_state(&status(), Some(&refused)).reason, Some(ReasonName::Digests));
}

#[test]
fn a_verdict_is_newer_than_the_records() {
    let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned();
    let ready = Verdict::Ready { md5: None, sha256: Some(sha256.clone()) };
    let state = upload_state(&status(), Some(&ready));
    assert_eq!(state.state, StateName::Succeeded);
    assert_eq!((state.sha256, state.waits_for), (Some(sha256), None));
    let response = show(StatusCode::OK, &status(), Some(&ready));
    let digest = response.headers().get("repr-digest").unwrap().to_str().unwrap();
    assert!(digest.starts_with("sha-256=:47DEQpj8"), "{digest}");
}

#[test]
fn head_answers_every_dialect() {
    let mut status = status();
    let response = head(status.length, status.offset, status.complete, false);
    let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(header("upload-offset"), "4");
    assert_eq!(header("upload-length"), "10");
    assert_eq!(header("upload-complete"), "?0");
    assert_eq!(header("cache-control"), "no-store");
    status.length = None;
    assert_eq!(
        head(status.length, status.offset, status.complete, false)
            .headers()
            .get("upload-defer-length")
            .unwrap(),
        "1"
    );
}
