//! Resumable Uploads for HTTP, the draft of the IETF: interop versions 6, 8 and 9, and requests without a version.
//!
//! *Guarantees.* `Upload-Offset` is durable wherever it is told, also in interim answers. An upload is complete when its client has
//! said so (`Upload-Complete: ?1`), and not because it has all its bytes. Of two requests that append the newest wins. A request
//! that is refused has changed nothing, except that an interrupted body without a digest counts as far as it came.
//!
//! | request | upload | answer |
//! |---|---|---|
//! | POST `/uploads`, `Upload-Complete: ?0` | - | 201, `Location`, `Upload-Offset`, `Upload-Complete: ?0`, `Upload-Limit` |
//! | POST `/uploads`, `Upload-Complete: ?1` | - | the same with `?1` once all bytes are there; `Repr-Digest` |
//! | any of them, version 6, 8 or 9 | - | before: 104 with `Location`; then 104 with `Upload-Offset` as it grows |
//! | HEAD, GET | takes bytes, waits, or is an image | 204, `Upload-Offset`, `Upload-Complete`, `Upload-Length` if known, `Upload-Limit` |
//! | PATCH at the offset, `?0` | not complete | 204, `Upload-Offset`, `Upload-Complete: ?0` |
//! | PATCH at the offset, `?1`, also empty | not complete | 204 with `?1`, `Repr-Digest`; 422 with `?1` if it is not what was declared |
//! | PATCH anywhere else | any | 409, `Upload-Offset`, problem `mismatching-upload-offset` |
//! | PATCH against the length | any | 400, problem `inconsistent-upload-length` |
//! | PATCH whose body goes beyond the end | not complete | 400, the same problem; the upload has failed, its bytes are removed, afterwards 410 |
//! | the same | complete | 400, the same problem, `Upload-Offset`; nothing has changed |
//! | HEAD, GET | partial (tus concatenation) | 204, `Upload-Offset`, `Upload-Complete: ?1` once it has all bytes, `Upload-Length` if known |
//! | PATCH | the same | 403: only tus continues it |
//! | PATCH | suspended by a user | 403 |
//! | PATCH of another type, without its headers | any | 415, 400 |
//! | DELETE | not finished | 204, afterwards 410 |

mod create;
mod refusal;
mod request;

use std::{convert::Infallible, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        Method,
        header::{CACHE_CONTROL, HeaderValue},
    },
    web,
};

use super::{
    App,
    body::{BodyLimits, LimitedBody, RequestBody, drain_rest},
    discard::discard,
    headers::digest,
    interim::Interim,
    problem::{Fault, RequestFault},
    resumable::upload_limit,
    target::Target,
};
use crate::{
    domain::{
        image::ImageStatus,
        upload::{UploadKind, UploadRecord},
    },
    uploads::{Append, Takeover, UploadError, UploadStatus, Verdict, Written},
};
use request::Marks;

const UPLOAD_OFFSET: &str = "upload-offset";
const UPLOAD_COMPLETE: &str = "upload-complete";
const UPLOAD_LENGTH: &str = "upload-length";
const UPLOAD_LIMIT: &str = "upload-limit";
const INTEROP_VERSION: &str = "upload-draft-interop-version";
/// How often a client is told how far it has come.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
const REST_BYTES_MAX: u64 = 4 << 20;
const REST_WAIT: Duration = Duration::from_secs(2);

/// A creation, at `/uploads`.
pub async fn create(app: &App, request: &HttpRequest, payload: web::Payload) -> HttpResponse {
    let mut body = LimitedBody::new(payload, BodyLimits::of(&app.settings));
    let answered = create::create(app, request, &mut body).await;
    settle(app, request, answered, &mut body).await
}

/// A request on the upload URL.
pub async fn serve(
    app: &App,
    request: &HttpRequest,
    target: Result<Target, Fault>,
    payload: web::Payload,
) -> HttpResponse {
    let mut body = LimitedBody::new(payload, BodyLimits::of(&app.settings));
    let answered = match target {
        Ok(target) => answer(app, request, &target, &mut body).await,
        Err(fault) => Err(fault),
    };
    settle(app, request, answered, &mut body).await
}

async fn answer(
    app: &App,
    request: &HttpRequest,
    target: &Target,
    body: &mut RequestBody,
) -> Result<HttpResponse, Fault> {
    match *request.method() {
        Method::HEAD | Method::GET if target.record.kind == UploadKind::Partial => {
            let status = app.uploads.settled_partial(target.record.uuid).await?;
            let mut response = HttpResponse::NoContent();
            if let Some(length) = status.length {
                response.insert_header((UPLOAD_LENGTH, length));
            }
            Ok(told(app, &mut response, status.offset, status.is_whole()).finish())
        }
        Method::HEAD | Method::GET => {
            let status = app.uploads.settled_status(target.record.uuid).await?;
            let mut response = HttpResponse::NoContent();
            if let Some(length) = status.length {
                response.insert_header((UPLOAD_LENGTH, length));
            }
            Ok(stands(app, &mut response, &status, None).finish())
        }
        Method::PATCH => {
            let marks = Marks::of(request)?;
            let slice = request::append(request, &marks)?;
            let append = Append { slice, takeover: Takeover::Newest, ends_if_longer: true };
            let written = append_telling(app, request, &target.record, marks, append, body).await?;
            let written = request::checked(written)?;
            let mut response = HttpResponse::NoContent();
            Ok(stands(app, &mut response, &written.status, written.verdict.as_ref()).finish())
        }
        Method::DELETE => {
            discard(app, request, target).await?;
            Ok(HttpResponse::NoContent().finish())
        }
        // Methods are not our enum.
        _ => {
            let allow = "GET, HEAD, PATCH, DELETE, OPTIONS".to_owned();
            Err(RequestFault::Method { allow }.into())
        }
    }
}

/// Appends, and tells the client by interim answers how far it has come, if it takes those.
async fn append_telling(
    app: &App,
    request: &HttpRequest,
    record: &UploadRecord,
    marks: Marks,
    append: Append,
    body: &mut RequestBody,
) -> Result<Written, UploadError> {
    let told = append.slice.offset;
    let work = app.uploads.append(record.uuid, append, body);
    let Some((version, interim)) = marks.version.zip(Interim::of_request(request)) else {
        return work.await;
    };
    // Both are polled until the end: what the one holds the other may wait for, the files of the upload first of all.
    tokio::select! {
        biased;
        written = work => written,
        never = tell_progress(app, record, interim, version, told) => match never {},
    }
}

/// Tells how far the upload has come, once in a while; ends only by being dropped.
async fn tell_progress(
    app: &App,
    record: &UploadRecord,
    interim: &Interim,
    version: u64,
    mut told: u64,
) -> Infallible {
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick.tick().await;
    loop {
        tick.tick().await;
        // The durable one: what is told is never asked for again.
        let Ok(offset) = app.uploads.offset(record).await else { continue };
        if offset > told {
            interim.upload_resumption_supported(&[
                ("Upload-Draft-Interop-Version", version.to_string()),
                ("Upload-Offset", offset.to_string()),
            ]);
            told = offset;
        }
    }
}

/// Where an upload stands, in headers. A verdict is newer than the records that were read with the status.
fn stands<'r>(
    app: &App,
    response: &'r mut HttpResponseBuilder,
    status: &UploadStatus,
    verdict: Option<&Verdict>,
) -> &'r mut HttpResponseBuilder {
    let ready = status.image.as_ref().filter(|image| image.status == ImageStatus::Ready);
    let repr = match (verdict, ready) {
        (Some(Verdict::Ready { md5, sha256 }), _) => {
            digest::render(md5.as_deref(), sha256.as_deref())
        }
        (_, Some(image)) => digest::render(image.md5.as_deref(), image.sha256.as_deref()),
        (_, None) => None,
    };
    if let Some(repr) = repr {
        response.insert_header(("repr-digest", repr));
    }
    told(app, response, status.offset, status.complete)
}

/// What every answer about an upload that is there has.
fn told<'r>(
    app: &App,
    response: &'r mut HttpResponseBuilder,
    offset: u64,
    complete: bool,
) -> &'r mut HttpResponseBuilder {
    response
        .insert_header((UPLOAD_OFFSET, offset))
        .insert_header((UPLOAD_COMPLETE, if complete { "?1" } else { "?0" }))
        .insert_header((UPLOAD_LIMIT, upload_limit(app)))
}

/// Sends the answer, with what every answer of this protocol has.
async fn settle(
    app: &App,
    request: &HttpRequest,
    answered: Result<HttpResponse, Fault>,
    body: &mut RequestBody,
) -> HttpResponse {
    let mut response = match answered {
        Ok(response) => {
            drain_rest(body, REST_BYTES_MAX, REST_WAIT).await;
            response
        }
        Err(fault) => refusal::refuse(app, request, &fault, body).await,
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
