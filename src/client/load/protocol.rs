//! How each protocol puts bytes on the wire. A new one is a variant here and an arm in every function below.

use std::fmt::Write;

use reqwest::Url;

use crate::wire::native::ByteRange;

/// Of the multipart form that carries a ZStack slice.
const BOUNDARY: &str = "longshore-bench-7d1f0c";

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `PUT` with `Content-Range` on the upload URL, a chunk each.
    Native,
    /// ZStack's slices: a multipart `POST` each on the upload URL.
    Slices,
    /// The whole image in one `PUT /uploads/<IMAGE_ID>` that also makes the job.
    Put,
    /// tus 1.0.0: a `PATCH` for each chunk on the upload URL, in order.
    Tus,
    /// The IETF draft, interop version 9, with its interim answers: a `PATCH` for each chunk on the upload URL, in order.
    Ietf,
}

impl Protocol {
    /// Its name on the command line and in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Slices => "slices",
            Self::Put => "put",
            Self::Tus => "tus",
            Self::Ietf => "ietf",
        }
    }

    /// Whether a job has to be made before the first byte.
    pub const fn needs_job(self) -> bool {
        match self {
            Self::Native | Self::Slices | Self::Tus | Self::Ietf => true,
            Self::Put => false,
        }
    }

    /// Longest body of one request, where `chunk_bytes` were asked for.
    pub const fn request_bytes(self, chunk_bytes: u64) -> u64 {
        match self {
            Self::Native | Self::Slices | Self::Tus | Self::Ietf => chunk_bytes,
            Self::Put => u64::MAX,
        }
    }

    /// Requests at once for one upload, where `wanted` were asked for.
    pub const fn lanes(self, wanted: usize) -> usize {
        match self {
            Self::Native | Self::Slices => wanted,
            // One request that goes on where the one before has ended.
            Self::Put | Self::Tus | Self::Ietf => 1,
        }
    }

    /// What goes before and after the bytes `range` of an upload of `total` bytes.
    pub fn frame(self, place: &Place, range: ByteRange, total: u64) -> Frame {
        match self {
            Self::Native => put(place, range, total, true),
            // A rest that is sent after a cut says where it belongs.
            Self::Put => put(place, range, total, range.len() != total),
            Self::Slices => slice(place, range, total),
            Self::Tus => {
                patch(place, range, "application/offset+octet-stream", "Tus-Resumable: 1.0.0\r\n")
            }
            Self::Ietf => {
                let complete = u8::from(range.end == total);
                let marks =
                    format!("Upload-Draft-Interop-Version: 9\r\nUpload-Complete: ?{complete}\r\n");
                patch(place, range, "application/partial-upload", &marks)
            }
        }
    }
}

/// Where the requests of one upload go.
#[derive(Debug, Clone)]
pub struct Place {
    /// Takes the bytes.
    pub data: Url,
    /// Answers the state.
    pub state: Url,
    /// Value of `Authorization`, where the URL alone is no right: a secret.
    pub authorization: Option<String>,
}

/// A request without its bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// Request line, headers, and what the body begins with.
    pub before: String,
    /// What the body ends with.
    pub after: String,
}

/// The request line and the headers that every request has, without the empty line.
pub fn head(method: &str, url: &Url, authorization: Option<&str>) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let query = url.query().map_or(String::new(), |query| format!("?{query}"));
    let path = url.path();
    let mut head = format!("{method} {path}{query} HTTP/1.1\r\nHost: {host}{port}\r\n");
    if let Some(value) = authorization {
        head.push_str("Authorization: ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    head
}

fn put(place: &Place, range: ByteRange, total: u64, with_range: bool) -> Frame {
    let mut before = head("PUT", &place.data, place.authorization.as_deref());
    before.push_str("Content-Type: application/octet-stream\r\n");
    if with_range {
        let (first, last) = (range.start, range.end.saturating_sub(1));
        let _ = write!(before, "Content-Range: bytes {first}-{last}/{total}\r\n");
    }
    let _ = write!(before, "Content-Length: {}\r\n\r\n", range.len());
    Frame { before, after: String::new() }
}

fn patch(place: &Place, range: ByteRange, media_type: &str, marks: &str) -> Frame {
    let mut before = head("PATCH", &place.data, place.authorization.as_deref());
    let _ = write!(
        before,
        "{marks}Content-Type: {media_type}\r\nUpload-Offset: {}\r\nContent-Length: {}\r\n\r\n",
        range.start,
        range.len()
    );
    Frame { before, after: String::new() }
}

fn slice(place: &Place, range: ByteRange, total: u64) -> Frame {
    let part = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"blob\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let after = format!("\r\n--{BOUNDARY}--\r\n");
    let length = range.len() + (part.len() + after.len()) as u64;
    let mut before = head("POST", &place.data, place.authorization.as_deref());
    let _ = write!(
        before,
        "Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {length}\r\n\
         X-IMAGE-SIZE: {total}\r\nX-SLICE-OFFSET: {}\r\nX-SLICE-SIZE: {}\r\n\r\n{part}",
        range.start,
        range.len()
    );
    Frame { before, after }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        let data: Url = "http://127.0.0.1:81/imagestore/upload/v1.k.x?a=b".parse().unwrap();
        Place { state: data.clone(), data, authorization: None }
    }

    const RANGE: ByteRange = ByteRange { start: 4, end: 7 };

    #[test]
    fn a_chunk_says_where_it_belongs() {
        let frame = Protocol::Native.frame(&place(), RANGE, 9);
        assert_eq!(
            frame.before,
            "PUT /imagestore/upload/v1.k.x?a=b HTTP/1.1\r\nHost: 127.0.0.1:81\r\n\
             Content-Type: application/octet-stream\r\nContent-Range: bytes 4-6/9\r\nContent-Length: 3\r\n\r\n"
        );
        assert_eq!(frame.after, "");
    }

    #[test]
    fn one_request_has_a_range_only_for_a_rest() {
        let place = Place { authorization: Some("OAuth s".to_owned()), ..place() };
        let whole = Protocol::Put.frame(&place, ByteRange { start: 0, end: 9 }, 9).before;
        assert!(!whole.contains("Content-Range") && whole.contains("Authorization: OAuth s\r\n"));
        assert!(Protocol::Put.frame(&place, RANGE, 9).before.contains("bytes 4-6/9"));
        assert_eq!(Protocol::Put.request_bytes(5), u64::MAX);
    }

    #[test]
    fn the_length_of_a_slice_counts_its_wrapping() {
        let frame = Protocol::Slices.frame(&place(), RANGE, 9);
        let (head, part) = frame.before.split_once("\r\n\r\n").unwrap();
        let length = (part.len() + 3 + frame.after.len()).to_string();
        assert!(head.contains(&format!("Content-Length: {length}\r\n")), "{head}");
        assert!(head.contains("X-SLICE-OFFSET: 4\r\nX-SLICE-SIZE: 3") && part.starts_with("--"));
    }

    #[test]
    fn an_append_says_where_it_begins_and_whether_it_is_the_last() {
        let tus = Protocol::Tus.frame(&place(), RANGE, 9);
        assert_eq!(
            tus.before,
            "PATCH /imagestore/upload/v1.k.x?a=b HTTP/1.1\r\nHost: 127.0.0.1:81\r\nTus-Resumable: 1.0.0\r\n\
             Content-Type: application/offset+octet-stream\r\nUpload-Offset: 4\r\nContent-Length: 3\r\n\r\n"
        );
        for (total, complete) in [(9, "?0"), (7, "?1")] {
            let ietf = Protocol::Ietf.frame(&place(), RANGE, total);
            assert!(ietf.before.contains(&format!("\r\nUpload-Complete: {complete}\r\n")));
            assert!(ietf.before.contains("\r\nUpload-Offset: 4\r\n"), "{}", ietf.before);
        }
        assert_eq!((Protocol::Tus.lanes(8), Protocol::Ietf.lanes(8)), (1, 1));
    }
}
