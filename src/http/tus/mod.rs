//! tus 1.0.0 with the extensions creation, creation-with-upload, creation-defer-length, checksum, expiration,
//! termination and concatenation.
//!
//! *Guarantees.* `Upload-Offset` is durable in every answer that has it. A request that is refused has changed nothing, except
//! that an interrupted body without a checksum counts as far as it came. HEAD never fails for an upload that is not gone: it is
//! answered, or the connection is closed without a status.
//!
//! | request | upload | answer |
//! |---|---|---|
//! | any, `Tus-Resumable` not 1.0.0 | any | 412, `Tus-Version` |
//! | POST `/uploads` | - | 201, `Location`, with a body `Upload-Offset`; 400, 401, 413, 415, 460, 507 |
//! | HEAD | takes bytes, waits, or is an image | 200, `Upload-Offset`, `Upload-Length` or `Upload-Defer-Length`, `Upload-Metadata` |
//! | POST `/uploads`, `Upload-Concat: final;..` | partial ones, all their bytes here | 201 before they are joined; again, for the same: 201, the same `Location` |
//! | the same | one of them is missing or of somebody else; has ended; is unfinished, used, named twice or not partial | 404; 410; 400 |
//! | HEAD | partial, or joined | `Upload-Concat` as well; `Upload-Offset` of one that is being joined: the bytes that are durable in it |
//! | PATCH | joined | 403 |
//! | HEAD, also after its bytes were removed | a part of an upload that is kept | 200, `Upload-Offset` and `Upload-Length`: both its length |
//! | PATCH at its end, empty; anywhere else; longer | the same | 204; 409 with `Upload-Offset`; 400 with `Upload-Offset` |
//! | DELETE | the same | 403 |
//! | HEAD, DELETE, PATCH | unknown; canceled, failed or expired, a part of one of these too | 404; 410 |
//! | PATCH at the offset | takes bytes or waits for them | 204, `Upload-Offset`, `Upload-Expires` |
//! | PATCH anywhere else | also one that is an image | 409, `Upload-Offset` |
//! | PATCH while another one sends | one that is silent for 500 ms is ended | 409, `Upload-Offset` |
//! | PATCH, empty, at the end | complete | 204: a lost answer can be asked for again |
//! | PATCH | suspended by a user | 403 |
//! | PATCH with another type, checksum, length | any | 415, 460, 400; the offset does not move |
//! | PATCH whose body goes beyond the end | any | 400, `Upload-Offset`; of a body that did not say its length, what came before is kept |
//! | DELETE | not finished | 204, afterwards 410 |
//! | DELETE | an image | 403 without the owner's session, else 204 |

mod concat;
mod create;
mod metadata;
mod request;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        Method, StatusCode,
        header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue},
    },
    web,
};

use super::{
    App,
    body::{BodyLimits, LimitedBody, RequestBody, drain_rest},
    discard::discard,
    problem::{self, Fault, RequestFault},
    resumable::{self, expires},
    target::Target,
};
use crate::{
    domain::upload::{UploadKind, UploadRecord},
    uploads::{Append, PartialStatus, Slice, Takeover, UploadError, UploadStatus, Written},
};

/// The version that is spoken.
const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const UPLOAD_OFFSET: &str = "upload-offset";
const UPLOAD_LENGTH: &str = "upload-length";
/// Not 409, not 400: "460 Checksum Mismatch".
const CHECKSUM_MISMATCH: u16 = 460;
/// What is read away after an answer that says yes, of a body that goes on although it need not.
const REST_BYTES_MAX: u64 = 4 << 20;
const REST_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// What OPTIONS tells of this protocol.
pub fn tell_abilities(app: &App, headers: &mut HeaderMap) {
    for (name, value) in [
        ("tus-resumable", "1.0.0"),
        ("tus-version", "1.0.0"),
        (
            "tus-extension",
            "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination,\
             concatenation",
        ),
        ("tus-checksum-algorithm", "sha1,sha256,md5,crc32c"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let max = app.uploads.limits().upload_bytes_max;
    headers.insert(HeaderName::from_static("tus-max-size"), HeaderValue::from(max));
}

/// A creation, at `/uploads`.
pub async fn create(app: &App, request: &HttpRequest, payload: web::Payload) -> HttpResponse {
    let mut body = LimitedBody::new(payload, BodyLimits::of(&app.settings));
    let answered = match request::check_version(request) {
        Ok(()) => create::create(app, request, &mut body).await,
        Err(fault) => Err(fault),
    };
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
    let answered = match request::check_version(request) {
        Ok(()) => answer(app, request, target, &mut body).await,
        Err(fault) => Err(fault),
    };
    settle(app, request, answered, &mut body).await
}

async fn answer(
    app: &App,
    request: &HttpRequest,
    target: Result<Target, Fault>,
    body: &mut RequestBody,
) -> Result<HttpResponse, Fault> {
    let method = request::method(request)?;
    let target = target?;
    match method {
        Method::HEAD => {
            let concat = concat::show(app, &target.record);
            let standing = standing(app, &target.record).await?;
            let mut response = HttpResponse::Ok();
            response.insert_some((concat::UPLOAD_CONCAT, concat));
            Ok(show(app, response, &standing))
        }
        Method::PATCH => {
            let slice = request::append(request)?;
            let append = in_order(slice);
            let uuid = target.record.uuid;
            let (record, offset) = if target.record.kind == UploadKind::Partial {
                let status = app.uploads.append_partial(uuid, append, body).await?;
                (status.record, status.offset)
            } else {
                let Written { status, .. } =
                    checked(app.uploads.append(uuid, append, body).await?)?;
                (status.record, status.offset)
            };
            Ok(HttpResponse::NoContent()
                .insert_header((UPLOAD_OFFSET, offset))
                .insert_some(("upload-expires", expires(app, &record)))
                .finish())
        }
        Method::DELETE => {
            discard(app, request, &target).await?;
            Ok(HttpResponse::NoContent().finish())
        }
        // Methods are not our enum.
        _ => Err(RequestFault::Method { allow: "HEAD, PATCH, DELETE, OPTIONS".to_owned() }.into()),
    }
}

/// How this protocol appends.
const fn in_order(slice: Slice) -> Append {
    Append { slice, takeover: Takeover::Silent, ends_if_longer: false }
}

/// An upload that came to nothing with its last byte is an error.
fn checked(written: Written) -> Result<Written, Fault> {
    problem::bad_end(written.verdict.as_ref()).map_or(Ok(written), Err)
}

/// Where an upload stands, whichever it is.
async fn standing(app: &App, record: &UploadRecord) -> Result<PartialStatus, UploadError> {
    if record.kind == UploadKind::Partial {
        return app.uploads.settled_partial(record.uuid).await;
    }
    let UploadStatus { record, length, offset, .. } =
        app.uploads.settled_status(record.uuid).await?;
    Ok(PartialStatus { record, length, offset })
}

/// The same in headers.
fn show(app: &App, mut response: HttpResponseBuilder, status: &PartialStatus) -> HttpResponse {
    response.insert_header((UPLOAD_OFFSET, status.offset));
    match status.length {
        Some(length) => response.insert_header((UPLOAD_LENGTH, length)),
        None => response.insert_header(("upload-defer-length", "1")),
    };
    response
        .insert_some(("upload-metadata", status.record.client_metadata.clone()))
        .insert_some(("upload-expires", expires(app, &status.record)))
        .finish()
}

/// A header that is there only if it has a value.
trait InsertSome {
    fn insert_some(&mut self, header: (&'static str, Option<String>)) -> &mut Self;
}

impl InsertSome for HttpResponseBuilder {
    fn insert_some(&mut self, (name, value): (&'static str, Option<String>)) -> &mut Self {
        match value {
            Some(value) => self.insert_header((name, value)),
            None => self,
        }
    }
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
        Err(fault) => {
            let is_question = request::is_question(request);
            let refused = resumable::refused(&fault, is_question, CHECKSUM_MISMATCH);
            resumable::refuse(app, request, &fault, refused, body).await
        }
    };
    if response.status() == StatusCode::PRECONDITION_FAILED {
        response.headers_mut().insert(TUS_VERSION, VERSION);
    }
    response.headers_mut().insert(TUS_RESUMABLE, VERSION);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
