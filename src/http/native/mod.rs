//! Our own dialect: `PUT` with `Content-Range`, state as JSON, one-request uploads; and what is told of jobs and images beside other
//! dialects.

mod one_request;
mod put_headers;
mod records;
mod state;

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web,
};
use bytes::Bytes;
use futures::Stream;

pub use state::upload_state;

use super::{
    App,
    body::{BodyLimits, LimitedBody, RequestBody, drain_refused, drain_rest},
    discard::discard,
    headers::digest,
    problem::{self, Fault, RequestFault},
    refuse_method,
    request_id::RequestId,
    routes::{Table, at, get, put},
    target::Target,
};
use crate::{
    domain::{ids::UploadUuid, upload::UploadKind},
    uploads::{BodyError, PartialStatus, Slice, UploadStatus, Verdict, Written},
    wire::native::PartialState,
};
use put_headers::PutHeaders;

/// A refused body is read away this far, so that the client comes to read the answer; then the connection is closed.
const REST_BYTES_MAX: u64 = 4 << 20;
const REST_WAIT: Duration = Duration::from_secs(2);

/// `PUT /uploads/<IMAGE_ID>`, the history of a job and the inspection of an image.
pub(super) fn routes() -> Table {
    Table::flat(refuse_method)
        .service(at("/uploads/{image_id}", [put().to(one_request::put)]))
        .service(at("/v1/jobs/{uuid}/history", [get().to(records::history)]))
        .service(at("/v1/images/{uuid}/inspection", [get().to(records::inspection)]))
}

/// A request in our own dialect on the upload URL.
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
    let is_partial = target.record.kind == UploadKind::Partial;
    match *request.method() {
        Method::GET if is_partial => {
            let status = app.uploads.partial_status(target.record.uuid).await?;
            Ok(show_partial(&status))
        }
        Method::HEAD if is_partial => {
            let status = app.uploads.partial_status(target.record.uuid).await?;
            Ok(head(status.length, status.offset, status.is_whole(), true))
        }
        Method::GET => {
            let status = app.uploads.status(target.record.uuid).await?;
            Ok(show(StatusCode::OK, &status, None))
        }
        Method::HEAD => {
            let status = app.uploads.status(target.record.uuid).await?;
            Ok(head(status.length, status.offset, status.complete, false))
        }
        Method::PUT => {
            let headers = PutHeaders::read(request)?;
            let slice = headers.slice_for(&target.record)?;
            let written = write(app, target.record.uuid, slice, body).await?;
            Ok(show(StatusCode::OK, &written.status, written.verdict.as_ref()))
        }
        Method::DELETE => {
            discard(app, request, target).await?;
            Ok(HttpResponse::NoContent().finish())
        }
        // Methods are not our enum.
        _ => Err(RequestFault::Method { allow: "GET, HEAD, PUT, DELETE".to_owned() }.into()),
    }
}

/// Sends the answer, after the rest of a refused body as far as it is small.
async fn settle(
    app: &App,
    request: &HttpRequest,
    answered: Result<HttpResponse, Fault>,
    body: &mut RequestBody,
) -> HttpResponse {
    match &answered {
        Ok(_) => {
            drain_rest(body, REST_BYTES_MAX, REST_WAIT).await;
        }
        Err(fault) if problem::closes(fault) => {}
        Err(_) => drain_refused(app, request, body, REST_BYTES_MAX, REST_WAIT).await,
    }
    answered.unwrap_or_else(|fault| problem::answer(&fault, RequestId::of(request)))
}

/// Writes a body; an upload that came to nothing by it is an error.
async fn write(
    app: &App,
    upload: UploadUuid,
    slice: Slice,
    body: impl Stream<Item = Result<Bytes, BodyError>> + Unpin,
) -> Result<Written, Fault> {
    let written = app.uploads.write(upload, slice, body).await?;
    problem::bad_end(written.verdict.as_ref()).map_or(Ok(written), Err)
}

/// The state as JSON, its offset also as a header.
fn show(code: StatusCode, status: &UploadStatus, verdict: Option<&Verdict>) -> HttpResponse {
    let state = upload_state(status, verdict);
    let mut response = HttpResponse::build(code);
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    response.insert_header(("Upload-Offset", state.offset.to_string()));
    if let Some(digest) = digest::render(state.md5.as_deref(), state.sha256.as_deref()) {
        response.insert_header(("Repr-Digest", digest));
    }
    response.json(state)
}

/// The state of a partial upload as JSON: it has neither job nor image.
fn show_partial(status: &PartialStatus) -> HttpResponse {
    let state = PartialState {
        upload_uuid: status.record.uuid.to_string(),
        kind: "partial".to_owned(),
        length: status.length,
        offset: status.offset,
        is_joined: status.record.taken_by.is_some(),
    };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("Upload-Offset", status.offset.to_string()));
    response.json(state)
}

/// What an unmarked HEAD is answered: the headers of all dialects together.
fn head(length: Option<u64>, offset: u64, complete: bool, is_partial: bool) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("Upload-Offset", offset.to_string()))
        .insert_header(("Upload-Complete", if complete { "?1" } else { "?0" }));
    match length {
        Some(length) => response.insert_header(("Upload-Length", length.to_string())),
        None => response.insert_header(("Upload-Defer-Length", "1")),
    };
    if is_partial {
        response.insert_header(("Upload-Concat", "partial"));
    }
    response.finish()
}

#[cfg(test)]
mod tests;
