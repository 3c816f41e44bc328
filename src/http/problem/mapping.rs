//! The one table from what went wrong to (status, code, words) in our own dialect. Words say what happened, what is kept and what
//! to do next; never a path, a statement or the system's own words.

use super::{RequestFault, failed, lengths, parts};
use crate::{
    accounts::AccountError,
    domain::{
        job_state::{JobState, SuspendReason},
        upload::UploadFate,
    },
    jobs::{DbError, JobError},
    uploads::{BodyError, StoreError, UploadError},
    wire::problem::{Problem, code},
};

/// When to come back if nothing better is known.
const RETRY_MS: u64 = 1000;
/// When to come back after a failure that needs a person or a repair.
const REPAIR_RETRY_MS: u64 = 30_000;

/// A field that cannot be taken; its own words name it.
pub(super) fn bad_request(code: &str, error: &dyn std::fmt::Display) -> Problem {
    Problem::new(400, code, "Bad request", format!("{error}. Nothing was changed."))
}

pub(super) fn of_upload(error: &UploadError) -> Problem {
    match error {
        UploadError::NotFound => no_upload(),
        UploadError::Gone { fate } => gone(*fate),
        UploadError::NotTaking { state } => not_taking(*state),
        UploadError::Joined => parts::joined(),
        UploadError::Partial => parts::partial(),
        UploadError::PartInUse => parts::in_use(),
        UploadError::Part { number, fault } => parts::bad_part(*number, *fault),
        UploadError::TooManyParts { max } => parts::too_many(*max),
        UploadError::WrongOffset { expected } => at(
            *expected,
            Problem::new(
                409,
                code::WRONG_OFFSET,
                "Wrong offset",
                format!("{expected} bytes are stored. Send the rest from there on."),
            ),
        ),
        UploadError::Overlong { length, offset } => lengths::overlong(*length, *offset),
        UploadError::Outgrown { length, offset } => lengths::outgrown(*length, *offset),
        UploadError::Appending { offset } => at(
            *offset,
            Problem::new(
                409,
                code::WRONG_OFFSET,
                "Another request is sending",
                format!(
                    "Another request is sending this upload; {offset} bytes are stored. Ask for the offset in a moment, then send the rest \
                     from there on."
                ),
            ),
        ),
        UploadError::TooLarge { offered, max } => Problem::new(
            413,
            "too_large",
            "Image too large",
            format!(
                "An image may have {max} bytes, this one has {offered}, perhaps more. It cannot be taken: if it has a job, cancel that."
            ),
        ),
        UploadError::NoRoom { free, needed } => Problem::new(
            507,
            code::NO_SPACE,
            "No space",
            format!(
                "The upload needs {needed} more bytes and the storage can promise {free}. What was acknowledged is kept; \
                 delete images or ask the operator for room, then send the rest."
            ),
        ),
        UploadError::TooManyOpen { max } => quota(format!(
            "The account has {max} unfinished uploads, as many as it may have. Finish or cancel one, then try again."
        )),
        UploadError::TooManyRequests { max } => busy(
            RETRY_MS,
            &format!(
                "{max} requests are at work already, as many as one account, or one address without an account, may have. What was \
                 acknowledged is kept; let some end, then send this again."
            ),
        ),
        UploadError::Body { error, offset } => at(*offset, of_body(*error, *offset)),
        UploadError::Draining { .. } => busy(
            2 * RETRY_MS,
            "The service is restarting. What was acknowledged is kept; send the rest in a moment.",
        ),
        UploadError::Store(error) => of_store(error),
        UploadError::Db(error) => of_db(error),
    }
}

fn no_upload() -> Problem {
    Problem::new(
        404,
        code::NOT_FOUND,
        "No such upload",
        "There is no such upload, or its URL was revoked. Ask its job for the upload URL, or start a new upload.",
    )
}

fn no_job() -> Problem {
    let words = "There is no such job. QueryLongJob lists those you have.";
    Problem::new(404, code::NOT_FOUND, "No such job", words)
}

fn of_body(error: BodyError, offset: u64) -> Problem {
    let kept = format!(
        "{offset} bytes from the start on are stored and kept; ask for the state and send the rest."
    );
    match error {
        BodyError::Broken => Problem::new(
            400,
            "broken_body",
            "Body broke off",
            format!("The body ended before its announced end. {kept}"),
        ),
        BodyError::Idle { secs } => Problem::new(
            408,
            "idle_body",
            "Body went silent",
            format!("No byte came for {secs} seconds. {kept}"),
        ),
        BodyError::TooSlow { bytes_per_sec } => Problem::new(
            408,
            "slow_body",
            "Body too slow",
            format!("Bytes came more slowly than {bytes_per_sec} a second. {kept}"),
        ),
        BodyError::Malformed(what) => Problem::new(
            400,
            "malformed_body",
            "Malformed body",
            format!("The body cannot be read: {what}. {kept}"),
        ),
    }
}

fn of_store(error: &StoreError) -> Problem {
    match error {
        StoreError::NotFound { .. } => Problem::new(
            410,
            code::GONE,
            "Upload gone",
            "The storage does not hold the bytes of this upload any more. Cancel its job and start a new upload.",
        ),
        StoreError::ImageNotFound { .. } => of_request(&RequestFault::NoImage),
        StoreError::BeyondLength { end, length } => lengths::beyond_length(*end, *length),
        StoreError::LengthConflict { offered, declared } => {
            lengths::length_conflict(*offered, *declared)
        }
        StoreError::ChecksumMismatch { offset, actual } => checksum_mismatch(*offset, actual),
        StoreError::CheckedChunkTooLarge { offered, max } => chunk_too_large(*offered, *max),
        StoreError::WrongChunkLength { announced, received } => chunk_length(*announced, *received),
        StoreError::Busy { retry_after_ms, .. } => busy(
            *retry_after_ms,
            "Other requests are writing this upload, as many as may or the same bytes. What was acknowledged is kept.",
        ),
        StoreError::TooManyExtents { offset } => at(
            *offset,
            busy(
                RETRY_MS,
                &format!(
                    "Too many separate pieces are stored. Send the bytes from {offset} on first, then these again."
                ),
            ),
        ),
        StoreError::Superseded => Problem::new(
            423,
            code::LOCKED,
            "Taken over",
            "Another request took these bytes over because this one was silent. Ask for the state and send what is missing.",
        ),
        StoreError::Revoked { .. } | StoreError::Fenced { .. } => busy(
            RETRY_MS,
            "The upload changed hands or state while bytes came. What was acknowledged is kept; ask for the state.",
        ),
        StoreError::Incomplete { offset } => at(
            *offset,
            Problem::new(
                409,
                code::WRONG_OFFSET,
                "Bytes missing",
                format!("Bytes are missing from {offset} on. Send them, then finish."),
            ),
        ),
        StoreError::NoSpace => Problem::new(
            507,
            code::NO_SPACE,
            "No space",
            "The storage is full. What was acknowledged is kept; the upload goes on by itself when bytes come and there is room.",
        ),
        StoreError::Io { .. } | StoreError::Unusable { .. } => {
            let mut problem = Problem::new(
                503,
                "storage_failed",
                "Storage failed",
                "The storage failed. What was acknowledged is kept; send the rest again in a while.",
            );
            problem.retry_after_ms = Some(REPAIR_RETRY_MS);
            problem
        }
        StoreError::Damaged { .. } => {
            internal("The records of this upload in the storage are damaged")
        }
        StoreError::AlreadyExists { .. } => internal("The storage has this upload already"),
    }
}

fn checksum_mismatch(offset: u64, actual: &str) -> Problem {
    let words = format!(
        "The body at {offset} hashes to {actual}, not to what its header says. None of it counts, everything before is kept: \
         send it again."
    );
    Problem::new(400, code::CHECKSUM_MISMATCH, "Checksum mismatch", words)
}

fn chunk_too_large(offered: u64, max: u64) -> Problem {
    let words = format!(
        "A body with a checksum may have {max} bytes, this one has {offered}. Send smaller pieces, or leave the checksum out; \
         what was acknowledged is kept."
    );
    let mut problem = Problem::new(413, code::CHUNK_TOO_LARGE, "Checked body too large", words);
    problem.suggested_chunk_bytes = Some(max);
    problem
}

fn chunk_length(announced: u64, received: u64) -> Problem {
    let words = format!(
        "The request announced {announced} bytes and {received} came. Without a checksum they are kept; ask for the state and \
         send the rest."
    );
    Problem::new(400, "short_body", "Wrong body length", words)
}

pub(super) fn of_job(error: &JobError) -> Problem {
    match error {
        JobError::NotFound { .. } => Problem::new(
            404,
            code::NOT_FOUND,
            "No such job",
            "The job of this upload is not there any more. Start a new upload.",
        ),
        JobError::ImageNotFound { .. } => of_request(&RequestFault::NoImage),
        JobError::TagNotFound { .. } => {
            Problem::new(404, code::NOT_FOUND, "No such tag", "There is no such tag.")
        }
        JobError::Invalid(words) => bad_request("bad_field", words),
        JobError::WrongState { state, words } => Problem::new(
            409,
            "wrong_state",
            "Wrong state",
            format!("{words}. The job is {state}; nothing was changed."),
        ),
        JobError::Unsupported(words) => {
            Problem::new(409, "unsupported", "Not supported", words.clone())
        }
        JobError::NoStorage(words) => {
            let mut problem = Problem::new(503, "no_storage", "No storage", words.clone());
            problem.retry_after_ms = Some(REPAIR_RETRY_MS);
            problem
        }
        JobError::Quota(words) => quota(words.clone()),
        JobError::Contended => {
            busy(RETRY_MS, "The job changed while the call was at work. Try again.")
        }
        JobError::Upload(error) => of_upload(error),
        JobError::Db(error) => of_db(error),
    }
}

pub(super) fn of_account(error: &AccountError) -> Problem {
    match error {
        AccountError::WrongPassword => unauthenticated("Wrong account name or password."),
        AccountError::SessionExpired => unauthenticated(
            "The session does not exist or has ended. Log in again; uploads are kept.",
        ),
        AccountError::TooManySessions => Problem::new(
            429,
            "too_many_sessions",
            "Too many sessions",
            "The account has too many sessions. Log out of one, or wait until one ends.",
        ),
        AccountError::TooManyAttempts { wait_secs } => {
            let words = format!(
                "Too many wrong passwords came for this account from this address. Wait {wait_secs} seconds, then try again."
            );
            let mut problem = Problem::new(429, "too_many_attempts", "Too many attempts", words);
            problem.retry_after_ms = Some(wait_secs.saturating_mul(1000));
            problem
        }
        AccountError::TimeTooSkewed => Problem::new(
            403,
            "request_time_too_skewed",
            "requestTimeTooSkewed",
            "The header Date of the signed request is more than 15 minutes from the time of this server. Set the clock; nothing was changed.",
        ),
        AccountError::UnknownAccessKey { .. }
        | AccountError::WrongSignature
        | AccountError::SealedByAnother { .. } => {
            unauthenticated(&format!("The signed request was refused: {error}."))
        }
        AccountError::TooManyAccessKeys
        | AccountError::WrongOldPassword
        | AccountError::NoSuchAccount(_)
        | AccountError::NameTaken(_)
        | AccountError::Invalid(_) => bad_request("bad_account", error),
        AccountError::NoRandomness => internal("No session could be made"),
        AccountError::Db(error) => of_db(error),
    }
}

pub(super) fn of_request(error: &RequestFault) -> Problem {
    let new = |status, code, title, detail: &str| Problem::new(status, code, title, detail);
    match error {
        RequestFault::NoSession => {
            unauthenticated("Log in and send the header Authorization: OAuth <session>.")
        }
        RequestFault::OwnerOnly => new(
            403,
            "owner_only",
            "Owner only",
            "The upload is complete and is an image now. Whoever has this URL may read its state, but only the owner may delete \
             the image: send the header Authorization: OAuth <session>. Nothing was deleted.",
        ),
        RequestFault::LengthRequired => new(
            411,
            "length_required",
            "Length required",
            "Send Content-Length or Transfer-Encoding: chunked. Nothing was stored.",
        ),
        RequestFault::TusVersion => new(
            412,
            "protocol_version",
            "Protocol not spoken",
            "Send Tus-Resumable: 1.0.0 for tus, or Upload-Complete for resumable uploads of the IETF draft; a whole file goes to PUT \
             /uploads/<IMAGE_ID>. Nothing was processed.",
        ),
        RequestFault::LongBody => lengths::long_body(),
        RequestFault::BodyType(words) => {
            new(415, "body_type", "Body not taken", &format!("{words}. Nothing was stored."))
        }
        RequestFault::Method { allow } => {
            new(405, "method", "Method not offered", &format!("This URL takes {allow}."))
        }
        RequestFault::NoSuchPath => new(
            404,
            code::NOT_FOUND,
            "No such path",
            "There is nothing at this path. Uploads go to PUT /uploads/<IMAGE_ID> or to the upload URL of a job.",
        ),
        RequestFault::NoImage => new(
            404,
            code::NOT_FOUND,
            "No such image",
            "There is no such image, or it is not Ready yet. Look at its job.",
        ),
        RequestFault::NoJob => no_job(),
        RequestFault::ShortBody => new(
            400,
            "short_body",
            "Wrong body length",
            "The body is shorter than its headers announce. Nothing of it was stored; send it again.",
        ),
        RequestFault::Failed { detail, reason } => failed(detail, *reason),
        RequestFault::Ended { detail } => ended(detail),
        RequestFault::Digest(words) => {
            new(400, "bad_digest", "Digest not taken", &format!("{words}. Nothing was stored."))
        }
        RequestFault::Query(words) => {
            new(400, "bad_query", "Bad query", &format!("{words}. Nothing was changed."))
        }
    }
}

fn of_db(error: &DbError) -> Problem {
    match error {
        DbError::Unavailable { .. } => busy(
            RETRY_MS,
            "The database does not answer. What was acknowledged is kept; try again.",
        ),
        DbError::UnknownField { .. } | DbError::BadValue { .. } => bad_request("bad_query", error),
        DbError::CorruptRow { .. } | DbError::Schema { .. } | DbError::Refused { .. } => {
            internal("A record could not be read or written")
        }
    }
}

fn ended(detail: &str) -> Problem {
    let words = format!("{detail}. Its bytes are gone; its job says why.");
    Problem::new(410, code::GONE, "Upload gone", words)
}

fn gone(fate: UploadFate) -> Problem {
    let words = match fate {
        UploadFate::Open | UploadFate::Published => "The upload takes no more bytes.",
        UploadFate::Discarded => {
            "The upload was canceled, has failed or was started anew; its bytes are gone. Its job says why. Start a new upload."
        }
        UploadFate::Expired => {
            "No byte came for so long that the upload was given up; its bytes are gone. Start a new upload."
        }
    };
    Problem::new(410, code::GONE, "Upload gone", words)
}

fn not_taking(state: JobState) -> Problem {
    match state {
        JobState::Suspended(SuspendReason::User) => Problem::new(
            409,
            code::SUSPENDED,
            "Suspended",
            "Somebody suspended the job. What was acknowledged is kept; resume the job, then send the rest.",
        ),
        JobState::Canceling | JobState::Canceled => Problem::new(
            410,
            code::GONE,
            "Upload gone",
            "The job was canceled and the bytes are gone. Start a new upload.",
        ),
        JobState::Failed => Problem::new(
            410,
            code::GONE,
            "Upload gone",
            "The job has failed and the bytes are gone; it says why. Start a new upload.",
        ),
        JobState::Succeeded => Problem::new(
            410,
            code::GONE,
            "Upload complete",
            "The upload is complete and its image is Ready; it takes no more bytes.",
        ),
        JobState::Waiting
        | JobState::Running
        | JobState::Suspended(
            SuspendReason::Idle
            | SuspendReason::Restart
            | SuspendReason::NoSpace
            | SuspendReason::IoError,
        ) => busy(
            RETRY_MS,
            "The job is changing its state. What was acknowledged is kept; try again.",
        ),
    }
}

fn at(offset: u64, mut problem: Problem) -> Problem {
    problem.offset = Some(offset);
    problem
}

fn busy(retry_after_ms: u64, words: &str) -> Problem {
    let mut problem = Problem::new(503, code::BUSY, "Busy", words);
    problem.retry_after_ms = Some(retry_after_ms);
    problem
}

fn quota(words: String) -> Problem {
    Problem::new(413, code::QUOTA, "Over quota", words)
}

fn unauthenticated(words: &str) -> Problem {
    Problem::new(401, code::UNAUTHENTICATED, "Not logged in", words)
}

fn internal(what: &str) -> Problem {
    Problem::new(
        500,
        "internal",
        "Internal error",
        format!("{what}. What was acknowledged is kept. Give the operator this requestId."),
    )
}
