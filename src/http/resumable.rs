//! What the two open upload protocols, tus and the IETF draft, have in common.
//!
//! What their clients make of an answer decides how they are refused. Nearly all of them give an upload up for good at any 4xx but
//! 409, and start again from the first byte when a question (HEAD) is answered with anything but 2xx. So what will pass is never told
//! by a 4xx but 409, and a question that cannot be answered now is not answered at all: the connection is closed without a
//! status, which every client takes for a broken network and tries again.

use std::{
    io,
    time::{Duration, SystemTime},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, Version, header::HeaderMap},
};
use bytes::Bytes;
use futures::{future, stream};

use super::{
    App,
    body::{RequestBody, drain_refused},
    headers::{BadHeader, number, text},
    links::Base,
    problem::{self, Fault, RequestFault},
};
use crate::{
    domain::{
        account::Caller,
        add_image::AddImageRequest,
        ids::ApiId,
        image_id::ImageId,
        job_state::{JobState, SuspendReason},
        upload::{Completion, ExpectedDigests, UploadRecord},
    },
    jobs::{JobError, NewJob},
    uploads::{BodyError, StoreError, UploadError},
    wire::problem::Problem,
};

/// A refused body is read away this far, so that a client that sends everything first comes to read the answer. Not for longer: the
/// answer tells where to go on. What is longer is cut off after the answer.
const REST_BYTES_MAX: u64 = 1 << 20;
const REST_WAIT: Duration = Duration::from_millis(300);
/// Longest name of an image.
const NAME_CHARS_MAX: usize = 255;
const CONTENT_LENGTH: &str = "content-length";

/// How a request is refused.
#[derive(Debug)]
pub enum Refused {
    /// With words.
    Told(Box<Problem>),
    /// Not at all: the connection is closed without a status.
    HangUp {
        /// The status that it would have had, for the log.
        status: u16,
    },
}

/// How one protocol refuses: what all of them do, with its own status for a body that does not match its checksum.
pub fn refused(fault: &Fault, is_question: bool, mismatch_status: u16) -> Refused {
    let mut problem = Problem::from(fault);
    problem.status = status_of(fault, problem.status, mismatch_status);
    let will_pass = problem.status >= 500 || matches!(problem.status, 408 | 409 | 423 | 429);
    // A slow client would take 408 for the end of its upload.
    if problem.status == 408 || (is_question && will_pass) {
        return Refused::HangUp { status: problem.status };
    }
    Refused::Told(Box::new(problem))
}

/// The status of these protocols; `own` is the one of our own dialect.
fn status_of(fault: &Fault, own: u16, mismatch_status: u16) -> u16 {
    match fault {
        Fault::Upload(error) | Fault::Job(JobError::Upload(error)) => {
            of_upload(error, own, mismatch_status)
        }
        Fault::Job(
            JobError::NotFound { .. }
            | JobError::ImageNotFound { .. }
            | JobError::TagNotFound { .. }
            | JobError::Invalid(_)
            | JobError::WrongState { .. }
            | JobError::Unsupported(_)
            | JobError::NoStorage(_)
            | JobError::Quota(_)
            | JobError::Contended
            | JobError::Db(_),
        )
        | Fault::Account(_)
        | Fault::Header(_)
        | Fault::ImageId(_)
        | Fault::Request(_) => own,
    }
}

fn of_upload(error: &UploadError, own: u16, mismatch_status: u16) -> u16 {
    match error {
        // 409 would make it try again at once, and so on.
        UploadError::NotTaking { state: JobState::Suspended(SuspendReason::User) } => 403,
        UploadError::Body { error: BodyError::Idle { .. } | BodyError::TooSlow { .. }, .. } => 408,
        // These protocols have no ranges that 416 could speak of.
        UploadError::Overlong { .. } => 400,
        UploadError::Store(error) => of_store(error, own, mismatch_status),
        UploadError::NotTaking { .. }
        | UploadError::Body { error: BodyError::Broken | BodyError::Malformed(_), .. }
        | UploadError::NotFound
        | UploadError::Gone { .. }
        | UploadError::WrongOffset { .. }
        | UploadError::Appending { .. }
        | UploadError::Outgrown { .. }
        | UploadError::TooLarge { .. }
        | UploadError::NoRoom { .. }
        | UploadError::Joined
        | UploadError::Partial
        | UploadError::PartInUse
        | UploadError::Part { .. }
        | UploadError::TooManyParts { .. }
        | UploadError::TooManyOpen { .. }
        | UploadError::TooManyRequests { .. }
        | UploadError::Draining { .. }
        | UploadError::Db(_) => own,
    }
}

fn of_store(error: &StoreError, own: u16, mismatch_status: u16) -> u16 {
    match error {
        StoreError::ChecksumMismatch { .. } => mismatch_status,
        StoreError::BeyondLength { .. } => 400,
        // Never 423: whoever was ended asks where the upload stands.
        StoreError::Superseded => 409,
        StoreError::NotFound { .. }
        | StoreError::ImageNotFound { .. }
        | StoreError::AlreadyExists { .. }
        | StoreError::LengthConflict { .. }
        | StoreError::CheckedChunkTooLarge { .. }
        | StoreError::WrongChunkLength { .. }
        | StoreError::Busy { .. }
        | StoreError::TooManyExtents { .. }
        | StoreError::Revoked { .. }
        | StoreError::Fenced { .. }
        | StoreError::Incomplete { .. }
        | StoreError::NoSpace
        | StoreError::Io { .. }
        | StoreError::Damaged { .. }
        | StoreError::Unusable { .. } => own,
    }
}

/// Sends a refusal, after the rest of a small body.
pub async fn refuse(
    app: &App,
    request: &HttpRequest,
    fault: &Fault,
    refused: Refused,
    body: &mut RequestBody,
) -> HttpResponse {
    let problem = match refused {
        Refused::Told(problem) => problem,
        Refused::HangUp { status } => {
            problem::log(fault, status, &super::request_id::RequestId::of(request));
            return hang_up();
        }
    };
    if !problem::closes(fault) {
        drain_refused(app, request, body, REST_BYTES_MAX, REST_WAIT).await;
    }
    problem::shape(*problem, fault, super::request_id::RequestId::of(request))
}

/// Closes the connection without a status: a body that breaks before its first byte takes the head with it.
pub fn hang_up() -> HttpResponse {
    let closed = io::Error::new(io::ErrorKind::ConnectionAborted, "closed without an answer");
    let body = stream::once(future::ready(Err::<Bytes, _>(closed)));
    HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE).force_close().streaming(body)
}

/// Bytes of the body, `None` where its end tells; a request that announces neither has none.
pub fn body_length(request: &HttpRequest) -> Result<Option<u64>, Fault> {
    let headers = request.headers();
    let encoding = text(headers, "content-encoding")?;
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        let words = "a compressed body is not taken; send the bytes as they are";
        return Err(RequestFault::BodyType(words).into());
    }
    let length = number(headers, CONTENT_LENGTH)?;
    let ends_by_itself =
        headers.contains_key("transfer-encoding") || request.version() >= Version::HTTP_2;
    Ok(length.or((!ends_by_itself).then_some(0)))
}

/// The media type without its parameters, in lower case.
pub fn media_type(headers: &HeaderMap) -> Result<Option<String>, BadHeader> {
    let value = text(headers, "content-type")?;
    Ok(value.map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()))
}

/// The upload URL of a new upload.
pub fn location(
    app: &App,
    request: &HttpRequest,
    record: &UploadRecord,
) -> Result<String, BadHeader> {
    let base = Base::of(request, &app.settings.trusted_proxies);
    let base = base.map_err(|error| BadHeader::new("host", error.to_string()))?;
    Ok(base.upload(app, record.uuid, record.url_generation))
}

/// `Upload-Limit` of the IETF draft.
pub fn upload_limit(app: &App) -> String {
    let max_bytes = app.uploads.limits().upload_bytes_max;
    format!("max-size={max_bytes}, min-size=0, max-age={}", app.jobs.kept_for().as_secs())
}

/// When an unfinished upload is given up, as HTTP writes dates.
pub fn expires(app: &App, record: &UploadRecord) -> Option<String> {
    let ms = u64::try_from(app.jobs.expires_ms(record)?).ok()?;
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))?;
    // Later than the calendar of HTTP goes.
    (ms / 1000 < 253_402_300_800).then(|| httpdate::fmt_http_date(at))
}

/// What a creation says of the new image.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// Its name.
    pub name: Option<String>,
    /// The client's name for the file.
    pub image_id: Option<ImageId>,
    /// Its format; what the content shows if absent.
    pub format: Option<String>,
    /// What it is to hash to.
    pub expected: ExpectedDigests,
    /// Its length, where it is known.
    pub length: Option<u64>,
    /// What the client said of its file, to be told again.
    pub client_metadata: Option<String>,
}

/// Makes the job of a new upload: a long job like any other.
pub async fn submit(
    app: &App,
    caller: Caller,
    wishes: Wishes,
    completion: Completion,
) -> Result<UploadRecord, Fault> {
    let view = app.jobs.submit(caller, new_job(wishes, completion)).await?;
    Ok(view.upload.ok_or(UploadError::NotFound)?)
}

/// The job that the wishes of a client are for.
pub fn new_job(wishes: Wishes, completion: Completion) -> NewJob {
    let shortened = |text: &str| text.chars().take(NAME_CHARS_MAX).collect::<String>();
    let name = wishes.name.as_deref().filter(|name| !name.is_empty());
    let name = name.or(wishes.image_id.as_ref().map(ImageId::as_str)).unwrap_or("upload");
    let name = shortened(name);
    NewJob {
        uuid: None,
        name: Some(name.clone()),
        description: None,
        image: AddImageRequest {
            url: Some(format!("upload://{name}")),
            name: Some(name),
            format: Some(wishes.format.unwrap_or_else(|| "auto".to_owned())),
            ..AddImageRequest::default()
        },
        system_tags: wishes.image_id.iter().map(|id| format!("uploadImage::{id}")).collect(),
        user_tags: Vec::new(),
        api_id: ApiId::random(),
        completion,
        expected: wishes.expected,
        length: wishes.length,
        client_metadata: wishes.client_metadata,
    }
}

/// Cancels an upload that was just made and whose first bytes were refused: nothing is left that its client has no URL of.
pub async fn take_back(app: &App, by: Caller, record: &UploadRecord, fault: Fault) -> Fault {
    let has_ended = matches!(fault, Fault::Upload(UploadError::Outgrown { .. }));
    if !has_ended && let Err(error) = app.jobs.cancel_run(by, record.run()).await {
        tracing::warn!(upload = %record.uuid, %error, "an upload whose first bytes were refused could not be canceled; it expires");
    }
    of_creation(fault)
}

/// What is told of first bytes that were refused, once their upload was taken back: nothing is kept where a client could go on.
pub fn of_creation(fault: Fault) -> Fault {
    match fault {
        Fault::Upload(UploadError::Overlong { .. } | UploadError::Outgrown { .. }) => {
            RequestFault::LongBody.into()
        }
        fault => fault,
    }
}
