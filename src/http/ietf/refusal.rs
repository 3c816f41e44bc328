//! How a request of the IETF draft is refused: problems with the types that it registers.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method, StatusCode,
        header::{HeaderName, HeaderValue},
    },
};

use super::{UPLOAD_COMPLETE, UPLOAD_LIMIT, UPLOAD_OFFSET};
use crate::{
    http::{
        App,
        body::RequestBody,
        headers::number,
        problem::{Fault, RequestFault},
        resumable::{self, Refused, upload_limit},
    },
    jobs::JobError,
    uploads::{StoreError, UploadError},
};

const MISMATCHING_OFFSET: &str =
    "https://iana.org/assignments/http-problem-types#mismatching-upload-offset";
const INCONSISTENT_LENGTH: &str =
    "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";
/// A body that does not match its digest.
const CHECKSUM_MISMATCH: u16 = 400;

pub(super) async fn refuse(
    app: &App,
    request: &HttpRequest,
    fault: &Fault,
    body: &mut RequestBody,
) -> HttpResponse {
    let is_question = matches!(*request.method(), Method::HEAD | Method::GET);
    let mut refused = resumable::refused(fault, is_question, CHECKSUM_MISMATCH);
    if let Refused::Told(problem) = &mut refused {
        if is_length(fault) {
            INCONSISTENT_LENGTH.clone_into(&mut problem.kind);
        } else if problem.status == 409 && problem.offset.is_some() {
            MISMATCHING_OFFSET.clone_into(&mut problem.kind);
            problem.expected_offset = problem.offset;
            problem.provided_offset = number(request.headers(), UPLOAD_OFFSET).ok().flatten();
        }
    }
    let mut response = resumable::refuse(app, request, fault, refused, body).await;
    let status = response.status();
    let headers = response.headers_mut();
    if status == StatusCode::CONFLICT {
        headers.insert(HeaderName::from_static(UPLOAD_COMPLETE), HeaderValue::from_static("?0"));
    }
    // It has all its bytes, and they are not what they have to be: there is nothing to go on with.
    if matches!(fault, Fault::Request(RequestFault::Failed { .. } | RequestFault::Ended { .. })) {
        headers.insert(HeaderName::from_static(UPLOAD_COMPLETE), HeaderValue::from_static("?1"));
    }
    if status == StatusCode::PAYLOAD_TOO_LARGE
        && let Ok(limit) = upload_limit(app).parse()
    {
        headers.insert(HeaderName::from_static(UPLOAD_LIMIT), limit);
    }
    response
}

fn is_length(fault: &Fault) -> bool {
    let of_upload = |error: &UploadError| {
        matches!(
            error,
            UploadError::Overlong { .. }
                | UploadError::Outgrown { .. }
                | UploadError::Store(
                    StoreError::LengthConflict { .. } | StoreError::BeyondLength { .. }
                )
        )
    };
    match fault {
        Fault::Upload(error) | Fault::Job(JobError::Upload(error)) => of_upload(error),
        Fault::Request(error) => *error == RequestFault::LongBody,
        Fault::Job(_) | Fault::Account(_) | Fault::Header(_) | Fault::ImageId(_) => false,
    }
}
