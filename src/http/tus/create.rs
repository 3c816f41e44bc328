//! `POST /uploads`: a new upload, perhaps with its first bytes.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{HeaderMap, LOCATION},
};

use super::{
    InsertSome, UPLOAD_LENGTH, UPLOAD_OFFSET, checked,
    concat::{self, Concat},
    in_order, metadata, request,
};
use crate::{
    domain::upload::Completion,
    http::{
        App,
        body::RequestBody,
        caller::caller,
        headers::{BadHeader, number, text},
        problem::{Fault, RequestFault},
        resumable::{Wishes, expires, location, submit, take_back},
    },
    uploads::{Slice, UploadError, Written},
};

pub(super) const DEFER_LENGTH: &str = "upload-defer-length";

/// Makes a long job and answers its upload URL. A body that is refused takes the job with it, so that nothing is left that its
/// client has no URL of.
pub(super) async fn create(
    app: &App,
    request: &HttpRequest,
    body: &mut RequestBody,
) -> Result<HttpResponse, Fault> {
    let by = caller(app, request).await?;
    let concat = concat::read(request.headers())?;
    if let Some(Concat::Final(urls)) = &concat {
        return concat::create_final(app, request, by, said(request.headers())?, urls).await;
    }
    let wishes = wishes(request.headers())?;
    let mut first = request::first_bytes(request)?;
    if wishes.length == Some(0) && first.is_none() {
        // Complete at once: nobody sends a PATCH for it.
        first = Some(Slice { length: Some(0), ..Slice::default() });
    }
    check_first(&wishes, first.as_ref())?;
    if concat == Some(Concat::Partial) {
        return concat::create_partial(app, request, by, wishes, first, body).await;
    }
    let has_body = first.as_ref().is_some_and(|slice| slice.length != Some(0));
    let record = submit(app, by, wishes, Completion::ByLength).await?;
    let url = match location(app, request, &record) {
        Ok(url) => url,
        Err(error) => return Err(take_back(app, by, &record, error.into()).await),
    };
    let (mut offset, mut now) = (0, record.clone());
    if let Some(slice) = first {
        let append = in_order(slice);
        match app.uploads.append(record.uuid, append, body).await.map_err(Fault::from) {
            Ok(written) => {
                let Written { status, .. } = checked(written)?;
                (offset, now) = (status.offset, status.record);
            }
            // It is kept: the client goes on at its URL.
            Err(Fault::Upload(UploadError::Draining { offset: kept })) => offset = kept,
            Err(fault) => return Err(take_back(app, by, &record, fault).await),
        }
    }
    let mut response = HttpResponse::Created();
    if has_body {
        response.insert_header((UPLOAD_OFFSET, offset));
    }
    let response = response.insert_header((LOCATION, url));
    Ok(response.insert_some(("upload-expires", expires(app, &now))).finish())
}

fn wishes(headers: &HeaderMap) -> Result<Wishes, Fault> {
    let length = number(headers, UPLOAD_LENGTH)?;
    match (length, text(headers, DEFER_LENGTH)?) {
        (Some(_), None) | (None, Some("1")) => {}
        (Some(_), Some(_)) => {
            let words = "give Upload-Length or Upload-Defer-Length, not both";
            return Err(BadHeader::new(DEFER_LENGTH, words).into());
        }
        (None, Some(_)) => {
            return Err(BadHeader::new(DEFER_LENGTH, "it can only be 1").into());
        }
        (None, None) => {
            let words = "give the bytes of the file, or Upload-Defer-Length: 1";
            return Err(BadHeader::new(UPLOAD_LENGTH, words).into());
        }
    }
    Ok(Wishes { length, ..said(headers)? })
}

/// What the metadata says.
fn said(headers: &HeaderMap) -> Result<Wishes, Fault> {
    metadata::read(text(headers, metadata::UPLOAD_METADATA)?.unwrap_or_default())
}

/// A body that cannot fit is refused before anything is made.
fn check_first(wishes: &Wishes, first: Option<&Slice>) -> Result<(), Fault> {
    let announced = first.and_then(|slice| slice.length);
    match (wishes.length, announced) {
        (Some(length), Some(bytes)) if bytes > length => Err(RequestFault::LongBody.into()),
        (Some(_) | None, _) => Ok(()),
    }
}
