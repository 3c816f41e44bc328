//! The headers of a native `PUT`.

use actix_web::{
    HttpRequest,
    http::{Version, header::HeaderMap},
};

use crate::{
    domain::upload::{ExpectedDigests, UploadRecord},
    http::{
        headers::{
            BadHeader,
            content_range::ContentRange,
            digest::{content_digest, repr_digest},
            number, text,
        },
        problem::{Fault, RequestFault},
    },
    uploads::{ChunkChecksum, Slice},
};

const CONTENT_LENGTH: &str = "content-length";
/// A digest of the whole that comes too late to be declared is checked like a checksum of the body, up to this length: the store's
/// bound of a checked chunk.
const LATE_DIGEST_BYTES_MAX: u64 = 256 << 20;

/// What the headers of a `PUT` say.
#[derive(Debug, Clone)]
pub(super) struct PutHeaders {
    /// Where the body belongs.
    pub(super) slice: Slice,
    /// What the whole is to hash to.
    pub(super) expected: ExpectedDigests,
    /// Whether the body is all of the upload.
    pub(super) is_all: bool,
}

impl PutHeaders {
    /// Reads them and checks them against each other.
    pub(super) fn read(request: &HttpRequest) -> Result<Self, Fault> {
        let may_end_unannounced = request.version() >= Version::HTTP_2;
        Self::of(request.headers(), may_end_unannounced)
    }

    fn of(headers: &HeaderMap, may_end_unannounced: bool) -> Result<Self, Fault> {
        let encoding = text(headers, "content-encoding")?;
        if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            let words = "a compressed body is not taken; send the bytes as they are";
            return Err(RequestFault::BodyType(words).into());
        }
        let length = number(headers, CONTENT_LENGTH)?;
        if length.is_none() && !headers.contains_key("transfer-encoding") && !may_end_unannounced {
            return Err(RequestFault::LengthRequired.into());
        }
        let checksum = content_digest(headers)?;
        let expected = repr_digest(headers)?;
        let Some(range) = ContentRange::of(headers)? else {
            let is_whole = length.is_none();
            let slice = Slice { offset: 0, length, total: length, checksum, is_whole };
            return Ok(Self { slice, expected, is_all: true });
        };
        if length.is_some_and(|length| length != range.length()) {
            let words = "it differs from the length of Content-Range";
            return Err(BadHeader::new(CONTENT_LENGTH, words).into());
        }
        let slice = Slice {
            offset: range.first,
            length: Some(range.length()),
            total: range.total,
            checksum,
            is_whole: false,
        };
        let is_all = range.first == 0 && range.total == Some(range.length());
        Ok(Self { slice, expected, is_all })
    }

    /// The slice for an upload that exists already: its expected digests were fixed when it was created, so a `Repr-Digest` must
    /// be those, or be one that the body itself can be checked with.
    pub(super) fn slice_for(self, record: &UploadRecord) -> Result<Slice, Fault> {
        let Self { mut slice, expected, is_all } = self;
        let mut late = None;
        match (expected.sha256, record.expected.sha256) {
            (Some(now), Some(then)) if now != then => return Err(differs()),
            (Some(now), None) => late = Some(ChunkChecksum::Sha256(now)),
            (Some(_) | None, _) => {}
        }
        match (expected.md5, record.expected.md5) {
            (Some(now), Some(then)) if now != then => return Err(differs()),
            (Some(now), None) if expected.sha256.is_none() => late = Some(ChunkChecksum::Md5(now)),
            (Some(_) | None, _) => {}
        }
        let Some(late) = late else { return Ok(slice) };
        let checkable = slice.length.is_some_and(|length| length <= LATE_DIGEST_BYTES_MAX);
        if !is_all || !checkable {
            let words = "The digest of the whole image must be declared when its upload is created \
                (PUT /uploads/<IMAGE_ID> with Repr-Digest, or the system tag imageSha256::<hex>); leave Repr-Digest out here";
            return Err(RequestFault::Digest(words).into());
        }
        slice.checksum.get_or_insert(late);
        Ok(slice)
    }
}

fn differs() -> Fault {
    let words = "Another digest of the whole image was declared when its upload was created, and that one stands";
    RequestFault::Digest(words).into()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    const SHA: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");

    fn read(pairs: &[(&'static str, &str)]) -> Result<PutHeaders, Fault> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        PutHeaders::of(&headers, false)
    }

    #[test]
    fn whole_bodies_and_parts() {
        let PutHeaders { slice, is_all, .. } = read(&[("content-length", "5")]).unwrap();
        assert_eq!((slice.offset, slice.length, slice.total), (0, Some(5), Some(5)));
        assert!(is_all && !slice.is_whole);

        let PutHeaders { slice, is_all, .. } = read(&[CHUNKED]).unwrap();
        assert_eq!((slice.length, slice.total), (None, None));
        assert!(slice.is_whole && is_all);

        let part = read(&[("content-length", "3"), ("content-range", "bytes 4-6/*")]);
        let PutHeaders { slice, is_all, .. } = part.unwrap();
        assert_eq!((slice.offset, slice.length, slice.total), (4, Some(3), None));
        assert!(!is_all && !slice.is_whole);

        let part = read(&[CHUNKED, ("content-range", "bytes 0-6/7")]).unwrap();
        assert!(part.is_all && part.slice.length == Some(7));
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(matches!(read(&[]), Err(Fault::Request(RequestFault::LengthRequired))));
        for (pairs, name) in [
            (vec![("content-length", "x")], "content-length"),
            (vec![("content-length", "4"), ("content-range", "bytes 4-6/*")], "content-length"),
            (vec![("content-length", "4"), ("content-range", "bytes */4")], "content-range"),
            (vec![("content-length", "4"), ("content-digest", "md5=4")], "content-digest"),
            (vec![("content-length", "4"), ("repr-digest", "sha-512=:AA==:")], "repr-digest"),
        ] {
            match read(&pairs) {
                Err(Fault::Header(error)) => assert_eq!(error.name, name),
                other => panic!("{pairs:?}: {other:?}"),
            }
        }
        let gzip = read(&[("content-length", "4"), ("content-encoding", "gzip")]);
        assert!(matches!(gzip, Err(Fault::Request(RequestFault::BodyType(_)))));
    }

    #[test]
    fn a_late_digest_is_checked_or_refused_never_dropped() {
        let mut record = crate::http::native::tests::record();
        let length = ("content-length", "4");
        let whole = || read(&[length, ("repr-digest", SHA)]).unwrap();
        let slice = whole().slice_for(&record).unwrap();
        assert!(matches!(slice.checksum, Some(ChunkChecksum::Sha256(_))), "checked with the body");

        let huge = read(&[("content-length", "268435457"), ("repr-digest", SHA)]).unwrap();
        assert!(matches!(huge.slice_for(&record), Err(Fault::Request(RequestFault::Digest(_)))));
        let part = [length, ("repr-digest", SHA), ("content-range", "bytes 0-3/9")];
        let part = read(&part).unwrap().slice_for(&record);
        assert!(matches!(part, Err(Fault::Request(RequestFault::Digest(_)))));

        record.expected.sha256 = whole().expected.sha256;
        assert_eq!(whole().slice_for(&record).unwrap().checksum, None, "checked at the end anyway");
        record.expected.sha256 = Some([0; 32]);
        assert!(whole().slice_for(&record).is_err());
    }
}
