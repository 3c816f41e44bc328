//! Every refusal with its code and words, as one snapshot: a change of the mapping shows as a change of the table.

use super::{error::Refusal, reply::call_failure};
use crate::{
    accounts::AccountError,
    domain::{ids::ImageUuid, job_state::JobState, upload::UploadFate},
    jobs::{CallFailure, DbError, JobError},
    uploads::{BodyError, PartFault, StoreError, UploadError},
};

fn line(name: &str, refusal: impl Into<Refusal>) -> String {
    match refusal.into() {
        Refusal::Told(error) => format!("{name}: {} | {}", error.code, error.details),
        Refusal::Defect(chain) => format!("{name}: 500 (log: {chain})"),
    }
}

fn db_errors() -> Vec<DbError> {
    let (text, key) = (String::from, String::from("k"));
    vec![
        DbError::Unavailable { message: text("/secret/path is locked") },
        DbError::CorruptRow { table: "long_job", key, column: "state" },
        DbError::UnknownField { field: text("nope") },
        DbError::BadValue { field: text("size"), value: text("much") },
        DbError::Schema { message: text("too new") },
        DbError::Refused { message: text("syntax error") },
    ]
}

fn upload_errors() -> Vec<UploadError> {
    vec![
        UploadError::NotFound,
        UploadError::Gone { fate: UploadFate::Expired },
        UploadError::NotTaking { state: JobState::Canceling },
        UploadError::WrongOffset { expected: 7 },
        UploadError::Overlong { length: 9, offset: 7 },
        UploadError::Outgrown { length: 9, offset: 7 },
        UploadError::TooLarge { offered: 9, max: 8 },
        UploadError::NoRoom { free: 1, needed: 2 },
        UploadError::TooManyOpen { max: 3 },
        UploadError::TooManyRequests { max: 3 },
        UploadError::Joined,
        UploadError::Partial,
        UploadError::PartInUse,
        UploadError::Part { number: 2, fault: PartFault::Taken },
        UploadError::TooManyParts { max: 3 },
        UploadError::Body { error: BodyError::Broken, offset: 7 },
        UploadError::Draining { offset: 7 },
        UploadError::Store(StoreError::NoSpace),
        UploadError::Store(StoreError::Superseded),
        UploadError::Store(StoreError::Incomplete { offset: 7 }),
        UploadError::Store(StoreError::TooManyExtents { offset: 7 }),
        UploadError::Store(StoreError::BeyondLength { end: 9, length: 8 }),
        UploadError::Store(StoreError::LengthConflict { offered: 9, declared: 8 }),
        UploadError::Store(StoreError::ChecksumMismatch { offset: 0, actual: "ab".to_owned() }),
        UploadError::Store(StoreError::CheckedChunkTooLarge { offered: 9, max: 8 }),
        UploadError::Store(StoreError::WrongChunkLength { announced: 9, received: 8 }),
        UploadError::Store(StoreError::Io {
            action: "write data",
            message: "/secret/path: input/output error".to_owned(),
        }),
        UploadError::Store(StoreError::Damaged {
            what: "checkpoint".to_owned(),
            message: "both slots".to_owned(),
        }),
        UploadError::Store(StoreError::Unusable { message: "another store".to_owned() }),
    ]
}

fn job_errors() -> Vec<JobError> {
    let text = str::to_owned;
    vec![
        JobError::NotFound { uuid: text("u") },
        JobError::ImageNotFound { uuid: ImageUuid(uuid::Uuid::nil()).to_string() },
        JobError::TagNotFound { uuid: text("u") },
        JobError::Invalid(text("unknown format[x]")),
        JobError::WrongState {
            state: JobState::Succeeded,
            words: text("cannot cancel longjob that is succeeded"),
        },
        JobError::Unsupported(text("not supported")),
        JobError::NoStorage(text("no backup storage")),
        JobError::Quota(text("too many")),
        JobError::Contended,
    ]
}

#[test]
fn every_refusal_has_its_code_and_words() {
    let mut table = Vec::new();
    for error in job_errors() {
        table.push(line("job", error));
    }
    for error in upload_errors() {
        table.push(line("upload", JobError::Upload(error)));
    }
    for error in db_errors() {
        table.push(line("db", JobError::Db(error)));
    }
    for error in [
        AccountError::WrongPassword,
        AccountError::SessionExpired,
        AccountError::TooManySessions,
        AccountError::TooManyAttempts { wait_secs: 7 },
        AccountError::TimeTooSkewed,
        AccountError::UnknownAccessKey { id: "ABCDEFGH".parse().unwrap() },
        AccountError::WrongSignature,
        AccountError::SealedByAnother { id: "ABCDEFGH".parse().unwrap() },
        AccountError::TooManyAccessKeys,
        AccountError::WrongOldPassword,
        AccountError::NoSuchAccount("ann".to_owned()),
        AccountError::NameTaken("ann".to_owned()),
        AccountError::Invalid("a password has 8 to 256 characters"),
        AccountError::NoRandomness,
    ] {
        table.push(line("account", error));
    }
    for failure in [CallFailure::Crashed, CallFailure::TimedOut, CallFailure::Interrupted] {
        table.push(format!("call: {}", call_failure(failure).body));
    }
    for told in table.iter().filter(|line| !line.contains("500 (log")) {
        assert!(!told.contains("secret"), "no path reaches a client: {told}");
    }
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn a_query_names_the_class_of_its_inventory() {
    let error = JobError::Db(DbError::UnknownField { field: "nope".to_owned() });
    assert_eq!(
        Refusal::of_query(error, "org.zstack.X"),
        Refusal::invalid(
            "condition name[nope] is invalid, no such field on inventory class[org.zstack.X]"
        )
    );
}
