//! One upload URL, four dialects: which one a request speaks.

use actix_web::http::{
    Method,
    header::{CONTENT_TYPE, HeaderMap},
};

/// How a request on the upload URL is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// tus 1.0.0.
    Tus,
    /// Resumable Uploads for HTTP, the IETF draft.
    Ietf,
    /// A slice as ZStack's web UI and SDKs post it.
    ZstackSlice,
    /// Our own: `PUT` with `Content-Range`, `GET`, `HEAD`, `DELETE`.
    Native,
}

impl Dialect {
    /// The dialect of a request; total, and in the order of design.md section 5: what marks itself is believed.
    pub fn of(method: &Method, headers: &HeaderMap) -> Self {
        if headers.contains_key("tus-resumable") {
            return Self::Tus;
        }
        let partial = headers.get(CONTENT_TYPE).is_some_and(|value| {
            let media_type = value.as_bytes().split(|&b| b == b';').next().unwrap_or_default();
            media_type.trim_ascii().eq_ignore_ascii_case(b"application/partial-upload")
        });
        let marked = ["upload-complete", "upload-draft-interop-version"];
        if partial || marked.iter().any(|name| headers.contains_key(*name)) {
            return Self::Ietf;
        }
        if method == Method::POST { Self::ZstackSlice } else { Self::Native }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
    const COMPLETE: (&str, &str) = ("upload-complete", "?0");
    const INTEROP: (&str, &str) = ("upload-draft-interop-version", "9");
    const PARTIAL: (&str, &str) = ("content-type", "Application/Partial-Upload ; x=1");
    const MULTIPART: (&str, &str) = ("content-type", "multipart/form-data; boundary=x");
    const RANGE: (&str, &str) = ("content-range", "bytes 0-1/2");

    #[test]
    fn the_whole_table() {
        for method in ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let plain = if method == Method::POST { Dialect::ZstackSlice } else { Dialect::Native };
            for (marks, expected) in [
                (&[][..], plain),
                (&[MULTIPART], plain),
                (&[RANGE], plain),
                (&[MULTIPART, RANGE], plain),
                (&[("upload-offset", "0")], plain),
                (&[("content-type", "application/offset+octet-stream")], plain),
                (&[TUS], Dialect::Tus),
                (&[TUS, MULTIPART], Dialect::Tus),
                (&[TUS, COMPLETE], Dialect::Tus),
                (&[TUS, INTEROP, PARTIAL], Dialect::Tus),
                (&[COMPLETE], Dialect::Ietf),
                (&[INTEROP], Dialect::Ietf),
                (&[PARTIAL], Dialect::Ietf),
                (&[COMPLETE, MULTIPART], Dialect::Ietf),
                (&[COMPLETE, RANGE], Dialect::Ietf),
            ] {
                let mut headers = HeaderMap::new();
                for (name, value) in marks {
                    headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
                }
                assert_eq!(Dialect::of(&method, &headers), expected, "{method} {marks:?}");
            }
        }
    }
}
