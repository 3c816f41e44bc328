//! The one mapping from what went wrong to IMS's status and code. Every error has its row: the status of another dialect decides nothing here.

use actix_web::http::StatusCode;

use crate::{
    accounts::AccountError,
    jobs::{DbError, JobError},
    uploads::{StoreError, UploadError},
    wire::ims::Code,
};

/// The status and the code of a refusal.
pub(super) type Said = (StatusCode, Code);

const NOT_THERE: Said = (StatusCode::NOT_FOUND, Code::Query);
const NOT_TAKEN: Said = (StatusCode::BAD_REQUEST, Code::BadFormat);
/// More than may be; asking again changes nothing until a person makes room.
const TOO_MUCH: Said = (StatusCode::BAD_REQUEST, Code::FlowControl);
/// Passes by itself.
const TOO_MUCH_NOW: Said = (StatusCode::SERVICE_UNAVAILABLE, Code::FlowControl);
const NO_ANSWER: Said = (StatusCode::SERVICE_UNAVAILABLE, Code::Submit);
const DEFECT: Said = (StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown);

pub(super) fn of_job(error: &JobError) -> Said {
    match error {
        JobError::NotFound { .. }
        | JobError::ImageNotFound { .. }
        | JobError::TagNotFound { .. } => NOT_THERE,
        JobError::Invalid(_) | JobError::WrongState { .. } => NOT_TAKEN,
        JobError::Unsupported(_) => (StatusCode::BAD_REQUEST, Code::NotSupported),
        JobError::Quota(_) => TOO_MUCH,
        JobError::NoStorage(_) | JobError::Contended => NO_ANSWER,
        JobError::Upload(error) => of_upload(error),
        JobError::Db(error) => of_db(error),
    }
}

/// Most of these are about bytes, which no call of IMS brings.
fn of_upload(error: &UploadError) -> Said {
    match error {
        UploadError::NotFound => NOT_THERE,
        UploadError::Gone { .. }
        | UploadError::NotTaking { .. }
        | UploadError::Joined
        | UploadError::Partial
        | UploadError::PartInUse
        | UploadError::Part { .. }
        | UploadError::TooManyParts { .. }
        | UploadError::WrongOffset { .. }
        | UploadError::Overlong { .. }
        | UploadError::Outgrown { .. }
        | UploadError::Appending { .. }
        | UploadError::TooLarge { .. }
        | UploadError::Body { .. } => NOT_TAKEN,
        UploadError::NoRoom { .. } | UploadError::TooManyOpen { .. } => TOO_MUCH,
        UploadError::TooManyRequests { .. } => TOO_MUCH_NOW,
        UploadError::Draining { .. } => NO_ANSWER,
        UploadError::Store(error) => of_store(error),
        UploadError::Db(error) => of_db(error),
    }
}

fn of_store(error: &StoreError) -> Said {
    match error {
        StoreError::NotFound { .. } | StoreError::ImageNotFound { .. } => NOT_THERE,
        StoreError::BeyondLength { .. }
        | StoreError::LengthConflict { .. }
        | StoreError::ChecksumMismatch { .. }
        | StoreError::CheckedChunkTooLarge { .. }
        | StoreError::WrongChunkLength { .. }
        | StoreError::Incomplete { .. } => NOT_TAKEN,
        StoreError::NoSpace => TOO_MUCH,
        StoreError::Busy { .. }
        | StoreError::TooManyExtents { .. }
        | StoreError::Superseded
        | StoreError::Revoked { .. }
        | StoreError::Fenced { .. }
        | StoreError::Io { .. }
        | StoreError::Unusable { .. } => NO_ANSWER,
        StoreError::Damaged { .. } | StoreError::AlreadyExists { .. } => DEFECT,
    }
}

fn of_db(error: &DbError) -> Said {
    match error {
        DbError::Unavailable { .. } => NO_ANSWER,
        DbError::UnknownField { .. } | DbError::BadValue { .. } => NOT_TAKEN,
        DbError::CorruptRow { .. } | DbError::Schema { .. } | DbError::Refused { .. } => DEFECT,
    }
}

/// `None` where it is not known who asks: the gateway in front of IMS says that in its own form.
pub(super) fn of_account(error: &AccountError) -> Option<Said> {
    Some(match error {
        AccountError::WrongPassword
        | AccountError::SessionExpired
        | AccountError::TimeTooSkewed
        | AccountError::UnknownAccessKey { .. }
        | AccountError::WrongSignature
        | AccountError::SealedByAnother { .. } => return None,
        AccountError::TooManyAttempts { .. } => TOO_MUCH_NOW,
        AccountError::TooManySessions | AccountError::TooManyAccessKeys => TOO_MUCH,
        AccountError::WrongOldPassword
        | AccountError::NoSuchAccount(_)
        | AccountError::NameTaken(_)
        | AccountError::Invalid(_) => NOT_TAKEN,
        AccountError::NoRandomness => DEFECT,
        AccountError::Db(error) => of_db(error),
    })
}

/// The same as Keystone says it: a status alone.
pub(super) fn keystone_status(error: &AccountError) -> StatusCode {
    match error {
        AccountError::WrongPassword
        | AccountError::SessionExpired
        | AccountError::UnknownAccessKey { .. }
        | AccountError::WrongSignature
        | AccountError::SealedByAnother { .. } => StatusCode::UNAUTHORIZED,
        AccountError::TimeTooSkewed => StatusCode::FORBIDDEN,
        AccountError::TooManyAttempts { .. } | AccountError::TooManySessions => {
            StatusCode::TOO_MANY_REQUESTS
        }
        AccountError::TooManyAccessKeys
        | AccountError::WrongOldPassword
        | AccountError::NoSuchAccount(_)
        | AccountError::NameTaken(_)
        | AccountError::Invalid(_) => StatusCode::BAD_REQUEST,
        AccountError::NoRandomness => StatusCode::INTERNAL_SERVER_ERROR,
        AccountError::Db(error) => of_db(error).0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{job_state::JobState, upload::UploadFate},
        uploads::{BodyError, PartFault},
    };

    fn db(error: DbError) -> JobError {
        JobError::Db(error)
    }

    fn store(error: StoreError) -> JobError {
        UploadError::Store(error).into()
    }

    #[test]
    fn every_refusal_of_a_job_has_its_status_and_code() {
        let text = || "x".to_owned();
        let rows: Vec<(JobError, u16, &str)> = vec![
            (JobError::NotFound { uuid: text() }, 404, "IMG.0023"),
            (JobError::ImageNotFound { uuid: text() }, 404, "IMG.0023"),
            (JobError::TagNotFound { uuid: text() }, 404, "IMG.0023"),
            (JobError::Invalid(text()), 400, "IMG.0001"),
            (JobError::WrongState { state: JobState::Succeeded, words: text() }, 400, "IMG.0001"),
            (JobError::Unsupported(text()), 400, "IMG.0105"),
            (JobError::NoStorage(text()), 503, "IMG.0018"),
            (JobError::Quota(text()), 400, "IMG.0060"),
            (JobError::Contended, 503, "IMG.0018"),
            (db(DbError::Unavailable { message: text() }), 503, "IMG.0018"),
            (db(DbError::UnknownField { field: text() }), 400, "IMG.0001"),
            (db(DbError::BadValue { field: text(), value: text() }), 400, "IMG.0001"),
            (db(DbError::Schema { message: text() }), 500, "IMG.0061"),
            (db(DbError::Refused { message: text() }), 500, "IMG.0061"),
            (UploadError::NotFound.into(), 404, "IMG.0023"),
            (UploadError::Gone { fate: UploadFate::Expired }.into(), 400, "IMG.0001"),
            (UploadError::NotTaking { state: JobState::Failed }.into(), 400, "IMG.0001"),
            (UploadError::Joined.into(), 400, "IMG.0001"),
            (UploadError::Partial.into(), 400, "IMG.0001"),
            (UploadError::PartInUse.into(), 400, "IMG.0001"),
            (UploadError::Overlong { length: 2, offset: 1 }.into(), 400, "IMG.0001"),
            (UploadError::Outgrown { length: 2, offset: 1 }.into(), 400, "IMG.0001"),
            (UploadError::Part { number: 1, fault: PartFault::Taken }.into(), 400, "IMG.0001"),
            (UploadError::TooManyParts { max: 1 }.into(), 400, "IMG.0001"),
            (UploadError::WrongOffset { expected: 1 }.into(), 400, "IMG.0001"),
            (UploadError::Appending { offset: 1 }.into(), 400, "IMG.0001"),
            // Not a quota, although another dialect says 413 of both.
            (UploadError::TooLarge { offered: 2, max: 1 }.into(), 400, "IMG.0001"),
            (UploadError::TooManyOpen { max: 1 }.into(), 400, "IMG.0060"),
            // Not an outage, at which clients would ask again and again.
            (UploadError::NoRoom { free: 1, needed: 2 }.into(), 400, "IMG.0060"),
            (store(StoreError::NoSpace), 400, "IMG.0060"),
            (UploadError::TooManyRequests { max: 1 }.into(), 503, "IMG.0060"),
            (UploadError::Body { error: BodyError::Broken, offset: 1 }.into(), 400, "IMG.0001"),
            (UploadError::Draining { offset: 1 }.into(), 503, "IMG.0018"),
            (store(StoreError::Incomplete { offset: 1 }), 400, "IMG.0001"),
            (store(StoreError::BeyondLength { end: 2, length: 1 }), 400, "IMG.0001"),
            (store(StoreError::Superseded), 503, "IMG.0018"),
            (store(StoreError::Io { action: "write", message: text() }), 503, "IMG.0018"),
            (store(StoreError::Unusable { message: text() }), 503, "IMG.0018"),
            (store(StoreError::Damaged { what: text(), message: text() }), 500, "IMG.0061"),
        ];
        for (error, status, code) in rows {
            let said = of_job(&error);
            assert_eq!((said.0.as_u16(), said.1.code()), (status, code), "{error:?}");
        }
    }

    /// Status and code of IMS, `None` where the gateway refuses; status of Keystone.
    type Told = (Option<(u16, &'static str)>, u16);

    #[test]
    fn every_refusal_of_an_account_has_its_status() {
        let id = || "ABCDEFGH".parse().unwrap();
        let rows: Vec<(AccountError, Told)> = vec![
            (AccountError::WrongPassword, (None, 401)),
            (AccountError::SessionExpired, (None, 401)),
            (AccountError::TimeTooSkewed, (None, 403)),
            (AccountError::UnknownAccessKey { id: id() }, (None, 401)),
            (AccountError::WrongSignature, (None, 401)),
            (AccountError::SealedByAnother { id: id() }, (None, 401)),
            (AccountError::TooManyAttempts { wait_secs: 1 }, (Some((503, "IMG.0060")), 429)),
            (AccountError::TooManySessions, (Some((400, "IMG.0060")), 429)),
            (AccountError::TooManyAccessKeys, (Some((400, "IMG.0060")), 400)),
            (AccountError::WrongOldPassword, (Some((400, "IMG.0001")), 400)),
            (AccountError::NoSuchAccount(String::new()), (Some((400, "IMG.0001")), 400)),
            (AccountError::NameTaken(String::new()), (Some((400, "IMG.0001")), 400)),
            (AccountError::Invalid("x"), (Some((400, "IMG.0001")), 400)),
            (AccountError::NoRandomness, (Some((500, "IMG.0061")), 500)),
            (
                AccountError::Db(DbError::Unavailable { message: String::new() }),
                (Some((503, "IMG.0018")), 503),
            ),
        ];
        for (error, told) in rows {
            let mapped = of_account(&error).map(|(status, code)| (status.as_u16(), code.code()));
            assert_eq!((mapped, keystone_status(&error).as_u16()), told, "{error:?}");
        }
    }
}
