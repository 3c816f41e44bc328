//! `POST` of one slice, as ZStack's web UI, SDKs and proxies send it.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures::Stream;

use super::{
    slice_error,
    slice_headers::{BodyForm, SliceHeaders},
};
use crate::{
    http::{
        App,
        body::{BodyLimits, LimitedBody, RequestBody, drain_refused, drain_rest},
        headers::number,
        multipart::file_part,
        problem::{self, Fault, RequestFault},
        request_id::RequestId,
        target::Target,
    },
    uploads::{BodyError, UploadError, Written},
};

/// What is read away after a slice: its closing boundary, or the rest of a small body that is refused, so that the client comes
/// to read the answer. A larger rest is not waited for: the connection is closed.
const REST_BYTES_MAX: u64 = 4 << 20;
const REST_WAIT: Duration = Duration::from_secs(5);

/// Takes one slice: 200 without a body when it is stored, now or before.
pub(super) async fn post(
    app: &App,
    request: &HttpRequest,
    target: Result<Target, Fault>,
    payload: web::Payload,
) -> HttpResponse {
    let mut body = LimitedBody::new(payload, BodyLimits::of(&app.settings));
    let upload = target.as_ref().ok().map(|target| target.record.uuid);
    let taken = match target {
        Ok(target) => take(app, request, &target, &mut body).await,
        Err(fault) => Err(fault),
    };
    match &taken {
        Ok(()) => {
            drain_rest(&mut body, REST_BYTES_MAX, REST_WAIT).await;
        }
        Err(fault) if problem::closes(fault) => {}
        Err(_) => drain_refused(app, request, &mut body, REST_BYTES_MAX, REST_WAIT).await,
    }
    let Err(fault) = taken else { return HttpResponse::Ok().finish() };
    let mut offset = None;
    if let Some(upload) = upload.filter(|_| slice_error::wants_offset(&fault)) {
        offset = app.uploads.status(upload).await.ok().map(|status| status.offset);
    }
    slice_error::answer(&fault, offset, RequestId::of(request))
}

async fn take(
    app: &App,
    request: &HttpRequest,
    target: &Target,
    body: &mut RequestBody,
) -> Result<(), Fault> {
    let headers = SliceHeaders::read(request.headers())?;
    let body_bytes = number(request.headers(), "content-length")?;
    let written = match &headers.form {
        BodyForm::Raw => {
            if body_bytes.is_some_and(|bytes| bytes != headers.size) {
                return Err(RequestFault::ShortBody.into());
            }
            write(app, target, headers, body).await?
        }
        BodyForm::Multipart(boundary) => {
            let part = file_part(&mut *body, boundary, headers.size, body_bytes).await;
            let part = part.map_err(|error| UploadError::Body { error, offset: 0 })?;
            let mut part = part.ok_or(RequestFault::ShortBody)?;
            write(app, target, headers, &mut part).await?
        }
    };
    match problem::bad_end(written.verdict.as_ref()) {
        Some(fault) => Err(fault),
        // Ready, or waiting with all its bytes, or not complete yet: the slice is stored.
        None => Ok(()),
    }
}

async fn write<B>(
    app: &App,
    target: &Target,
    headers: SliceHeaders,
    body: B,
) -> Result<Written, UploadError>
where
    B: Stream<Item = Result<Bytes, BodyError>> + Unpin,
{
    app.uploads.write(target.record.uuid, headers.slice, body).await
}
