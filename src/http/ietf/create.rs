//! `POST /uploads`: a new upload, with all, some or none of its bytes.

use actix_web::{HttpRequest, HttpResponse, http::header::LOCATION};

use super::{Marks, UPLOAD_LIMIT, append_telling, request, stands};
use crate::{
    domain::upload::Completion,
    http::{
        App,
        body::RequestBody,
        caller::caller,
        headers::{digest::repr_digest, disposition},
        interim::Interim,
        problem::Fault,
        resumable::{Wishes, location, submit, take_back, upload_limit},
    },
    uploads::{Append, Slice, StoreError, Takeover, UploadError},
};

/// Makes a long job and tells its upload URL, before the body is read if the client takes interim answers. A body that is refused
/// takes the job with it unless the client knows the URL already.
pub(super) async fn create(
    app: &App,
    request: &HttpRequest,
    body: &mut RequestBody,
) -> Result<HttpResponse, Fault> {
    let by = caller(app, request).await?;
    let marks = Marks::of(request)?;
    let slice = request::body(request, &marks)?;
    let wishes = Wishes {
        name: disposition::sent_name(request.headers())?,
        expected: repr_digest(request.headers())?,
        length: length(&slice)?,
        ..Wishes::default()
    };
    let record = submit(app, by, wishes, Completion::Explicit).await?;
    let url = match location(app, request, &record) {
        Ok(url) => url,
        Err(error) => return Err(take_back(app, by, &record, error.into()).await),
    };
    let told = tell(app, request, &marks, &url);
    let append = Append { slice, takeover: Takeover::Newest, ends_if_longer: true };
    let written = append_telling(app, request, &record, marks, append, body).await;
    let written = match written.map_err(Fault::from).and_then(request::checked) {
        Ok(written) => written,
        Err(fault) if told => return Err(fault),
        Err(fault) => return Err(take_back(app, by, &record, fault).await),
    };
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, url));
    Ok(stands(app, &mut response, &written.status, written.verdict.as_ref()).finish())
}

/// The length of the whole, as far as it is known now; refused where the body cannot be of such an upload.
fn length(slice: &Slice) -> Result<Option<u64>, Fault> {
    let conflict = |offered, declared| {
        Err(UploadError::from(StoreError::LengthConflict { offered, declared }).into())
    };
    match (slice.total, slice.length) {
        (Some(total), Some(body)) if body > total || (slice.is_whole && body != total) => {
            conflict(body, total)
        }
        (None, Some(body)) if slice.is_whole => Ok(Some(body)),
        (total, _) => Ok(total),
    }
}

/// Tells the URL before any byte is read, so that nothing of them can be lost.
fn tell(app: &App, request: &HttpRequest, marks: &Marks, url: &str) -> bool {
    let Some((version, interim)) = marks.version.zip(Interim::of_request(request)) else {
        return false;
    };
    interim.upload_resumption_supported(&[
        ("Upload-Draft-Interop-Version", version.to_string()),
        ("Location", url.to_owned()),
        (UPLOAD_LIMIT, upload_limit(app)),
    ])
}
