//! What a request of the IETF draft says in its headers.

use actix_web::{HttpRequest, http::header::HeaderMap};

use super::{INTEROP_VERSION, UPLOAD_COMPLETE, UPLOAD_LENGTH, UPLOAD_OFFSET};
use crate::{
    http::{
        headers::{BadHeader, digest::content_digest, number, shown, text},
        problem::{self, Fault, RequestFault},
        resumable::{body_length, media_type},
    },
    uploads::{Slice, Written},
};

/// The media type of a part.
const PART: &str = "application/partial-upload";
/// The versions of the draft of which clients exist and that agree in all that is used here.
const VERSIONS: [u64; 3] = [6, 8, 9];

/// What marks a request that carries bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    /// The end of this body is the end of the upload.
    pub(super) completes: bool,
    /// The version that client and server share. Interim answers go to clients that named one: nobody else expects them.
    pub(super) version: Option<u64>,
}

impl Marks {
    pub(super) fn of(request: &HttpRequest) -> Result<Self, Fault> {
        let completes = flag(request.headers(), UPLOAD_COMPLETE)?.ok_or_else(|| {
            BadHeader::new(UPLOAD_COMPLETE, "say ?1 if the body is the last one, else ?0")
        })?;
        let version = number(request.headers(), INTEROP_VERSION)?;
        Ok(Self { completes, version: version.filter(|version| VERSIONS.contains(version)) })
    }
}

/// The body of a PATCH, and where it belongs.
pub(super) fn append(request: &HttpRequest, marks: &Marks) -> Result<Slice, Fault> {
    let headers = request.headers();
    if media_type(headers)?.as_deref() != Some(PART) {
        let words = "send Content-Type: application/partial-upload";
        return Err(RequestFault::BodyType(words).into());
    }
    let offset = number(headers, UPLOAD_OFFSET)?
        .ok_or_else(|| BadHeader::new(UPLOAD_OFFSET, "say where the body begins"))?;
    Ok(Slice { offset, ..body(request, marks)? })
}

/// The body of any request; the length of the whole as far as the request names it.
pub(super) fn body(request: &HttpRequest, marks: &Marks) -> Result<Slice, Fault> {
    let headers = request.headers();
    let length = body_length(request)?;
    let checksum = content_digest(headers)?;
    if checksum.is_some() && length.is_none() {
        return Err(RequestFault::LengthRequired.into());
    }
    let total = number(headers, UPLOAD_LENGTH)?;
    Ok(Slice { offset: 0, length, total, checksum, is_whole: marks.completes })
}

/// An upload that came to nothing with its last byte is an error.
pub(super) fn checked(written: Written) -> Result<Written, Fault> {
    problem::bad_end(written.verdict.as_ref()).map_or(Ok(written), Err)
}

/// A boolean of structured fields; its parameters say nothing to us.
fn flag(headers: &HeaderMap, name: &'static str) -> Result<Option<bool>, BadHeader> {
    let Some(value) = text(headers, name)? else { return Ok(None) };
    match value.split(';').next().unwrap_or_default().trim_end() {
        "?1" => Ok(Some(true)),
        "?0" => Ok(Some(false)),
        _ => Err(BadHeader::new(name, format!("[{}] is neither ?1 nor ?0", shown(value)))),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn marks_are_read_strictly() {
        let marks = |complete: &'static str, version: &'static str| {
            let request = TestRequest::post().insert_header((UPLOAD_COMPLETE, complete));
            Marks::of(&request.insert_header((INTEROP_VERSION, version)).to_http_request())
        };
        for version in [6, 8, 9] {
            let text: &'static str =
                ["6", "8", "9"][[6, 8, 9].iter().position(|v| *v == version).unwrap()];
            let expected = Marks { completes: true, version: Some(version) };
            assert_eq!(marks("?1", text).unwrap(), expected);
        }
        assert_eq!(marks("?0;x=1", "3").unwrap(), Marks { completes: false, version: None });
        for bad in ["1", "true", "?2", "?", "", "?1?0", "?1, ?0"] {
            assert!(marks(bad, "6").is_err(), "{bad}");
        }
        assert!(marks("?1", "-1").is_err());
        let none = TestRequest::post().to_http_request();
        assert!(
            matches!(Marks::of(&none), Err(Fault::Header(error)) if error.name == UPLOAD_COMPLETE)
        );
    }
}
