//! The headers of a ZStack slice (zstack.md 4.1).

use actix_web::http::header::HeaderMap;

use crate::{
    domain::tag::hex_bytes,
    http::{
        headers::{
            BadHeader,
            content_range::{CONTENT_RANGE, ContentRange},
            number, shown, text,
        },
        multipart::boundary_of,
        problem::{Fault, RequestFault},
    },
    uploads::{ChunkChecksum, Slice, StoreError, UploadError},
};

const X_IMAGE_SIZE: &str = "x-image-size";
const X_SLICE_OFFSET: &str = "x-slice-offset";
const X_SLICE_SIZE: &str = "x-slice-size";
const X_SLICE_MD5: &str = "x-slice-md5";
const X_SLICE_HASH: &str = "x-slice-hash";
const X_HASH_ALGORITHM: &str = "x-hash-algorithm";

/// How the bytes of a slice are wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BodyForm {
    /// One part of a multipart form, with this boundary.
    Multipart(Vec<u8>),
    /// As they are (our extension).
    Raw,
}

/// What the headers of a slice say.
#[derive(Debug)]
pub(super) struct SliceHeaders {
    /// Where the bytes belong. Length and total are always known.
    pub(super) slice: Slice,
    /// Bytes of the slice; the same as in `slice`.
    pub(super) size: u64,
    /// How they are wrapped.
    pub(super) form: BodyForm,
}

impl SliceHeaders {
    /// Reads and checks them against each other.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Fault> {
        let form = body_form(headers)?;
        let range = ContentRange::of(headers)?;
        let total = number(headers, X_IMAGE_SIZE)?.or(range.and_then(|range| range.total));
        let total = match total {
            None => return bad(X_IMAGE_SIZE, "give the size of the whole image"),
            Some(0) => return bad(X_IMAGE_SIZE, "an image has at least one byte"),
            Some(total) => total,
        };
        let offset = number(headers, X_SLICE_OFFSET)?.or(range.map(|range| range.first));
        let offset = offset.unwrap_or(0);
        let size = number(headers, X_SLICE_SIZE)?.or(range.map(ContentRange::length));
        let size = match size {
            Some(0) => return bad(X_SLICE_SIZE, "a slice has at least one byte"),
            Some(size) => size,
            None if offset == 0 => total,
            None => return bad(X_SLICE_SIZE, "give the bytes of this slice"),
        };
        let checksum = checksum(headers)?;
        let end = offset.saturating_add(size);
        if end > total {
            return Err(UploadError::from(StoreError::BeyondLength { end, length: total }).into());
        }
        let agrees = range.is_none_or(|range| {
            range.first == offset
                && range.length() == size
                && range.total.is_none_or(|named| named == total)
        });
        if !agrees {
            let words = "it differs from X-SLICE-OFFSET, X-SLICE-SIZE or X-IMAGE-SIZE";
            return bad(CONTENT_RANGE, words);
        }
        let slice =
            Slice { offset, length: Some(size), total: Some(total), checksum, is_whole: false };
        Ok(Self { slice, size, form })
    }
}

fn bad<T>(name: &'static str, words: &str) -> Result<T, Fault> {
    Err(BadHeader::new(name, words).into())
}

fn body_form(headers: &HeaderMap) -> Result<BodyForm, Fault> {
    let encoding = text(headers, "content-encoding")?;
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        let words = "a compressed body is not taken; send the bytes as they are";
        return Err(RequestFault::BodyType(words).into());
    }
    let media_type = text(headers, "content-type")?.unwrap_or("application/octet-stream");
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    if bare.eq_ignore_ascii_case("multipart/form-data") {
        return match boundary_of(media_type.as_bytes()) {
            Some(boundary) => Ok(BodyForm::Multipart(boundary)),
            None => bad("content-type", "it has no usable boundary"),
        };
    }
    if bare.eq_ignore_ascii_case("application/octet-stream") {
        return Ok(BodyForm::Raw);
    }
    Err(RequestFault::BodyType("send multipart/form-data or application/octet-stream").into())
}

/// `X-SLICE-HASH` with its algorithm, else `X-SLICE-MD5`. `Content-MD5` is hex here and base64 elsewhere: not looked at.
fn checksum(headers: &HeaderMap) -> Result<Option<ChunkChecksum>, BadHeader> {
    let md5 = match text(headers, X_SLICE_MD5)? {
        Some(hex) => Some(digest(hex, X_SLICE_MD5).map(ChunkChecksum::Md5)?),
        None => None,
    };
    let Some(hex) = text(headers, X_SLICE_HASH)? else { return Ok(md5) };
    let algorithm = text(headers, X_HASH_ALGORITHM)?.unwrap_or_default().to_ascii_lowercase();
    let checksum = match algorithm.as_str() {
        "md5" => ChunkChecksum::Md5(digest(hex, X_SLICE_HASH)?),
        "sha1" => ChunkChecksum::Sha1(digest(hex, X_SLICE_HASH)?),
        "sha256" => ChunkChecksum::Sha256(digest(hex, X_SLICE_HASH)?),
        "xxh3" => ChunkChecksum::Xxh3(u64::from_be_bytes(digest(hex, X_SLICE_HASH)?)),
        "crc32c" => ChunkChecksum::Crc32c(u32::from_be_bytes(digest(hex, X_SLICE_HASH)?)),
        other => {
            let words = format!("[{}] is not one of md5, sha1, sha256, xxh3, crc32c", shown(other));
            return Err(BadHeader::new(X_HASH_ALGORITHM, words));
        }
    };
    Ok(Some(checksum))
}

fn digest<const N: usize>(hex: &str, name: &'static str) -> Result<[u8; N], BadHeader> {
    hex_bytes(hex).ok_or_else(|| BadHeader::new(name, format!("give {} hex digits", 2 * N)))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    type Pair<'a> = (&'static str, &'a str);

    fn read(pairs: &[Pair<'_>]) -> Result<SliceHeaders, Fault> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        SliceHeaders::read(&headers)
    }

    fn place(pairs: &[Pair<'_>]) -> (u64, Option<u64>, Option<u64>) {
        let slice = read(pairs).unwrap().slice;
        (slice.offset, slice.length, slice.total)
    }

    #[test]
    fn where_a_slice_belongs() {
        assert_eq!(place(&[("x-image-size", "10")]), (0, Some(10), Some(10)), "one-shot");
        let slice = [("x-image-size", "10"), ("x-slice-offset", "4"), ("x-slice-size", "3")];
        assert_eq!(place(&slice), (4, Some(3), Some(10)));
        assert_eq!(place(&[("content-range", "bytes 4-6/10")]), (4, Some(3), Some(10)));
        let mut same = slice.to_vec();
        same.push(("content-range", "bytes 4-6/10"));
        assert_eq!(place(&same), (4, Some(3), Some(10)));
        // The web UI sends an index that says nothing, and an MD5 in hex where base64 belongs.
        same.extend([("x-slice-index", "77"), ("content-md5", "d41d8cd98f00b204e9800998ecf8427e")]);
        assert_eq!(place(&same), (4, Some(3), Some(10)));
    }

    #[test]
    fn a_bad_header_is_named() {
        let size = ("x-image-size", "10");
        let hash = ("x-slice-hash", "00");
        for (pairs, name) in [
            (vec![], "x-image-size"),
            (vec![("x-image-size", "0")], "x-image-size"),
            (vec![("x-image-size", "-1")], "x-image-size"),
            (vec![("x-image-size", "18446744073709551616")], "x-image-size"),
            (vec![("x-image-size", "1"), ("x-image-size", "2")], "x-image-size"),
            (vec![size, ("x-slice-offset", "+1")], "x-slice-offset"),
            (vec![size, ("x-slice-offset", "1")], "x-slice-size"),
            (vec![size, ("x-slice-size", "0")], "x-slice-size"),
            (vec![size, ("content-range", "bytes 0-4/10"), ("x-slice-size", "4")], "content-range"),
            (vec![size, ("content-range", "bytes 0-9/11")], "content-range"),
            (vec![size, ("content-range", "x")], "content-range"),
            (vec![size, hash], "x-hash-algorithm"),
            (vec![size, hash, ("x-hash-algorithm", "sha512")], "x-hash-algorithm"),
            (vec![size, hash, ("x-hash-algorithm", "md5")], "x-slice-hash"),
            (vec![size, ("x-slice-md5", "zz")], "x-slice-md5"),
            (vec![size, ("content-type", "multipart/form-data")], "content-type"),
        ] {
            match read(&pairs) {
                Err(Fault::Header(error)) => assert_eq!(error.name, name, "{pairs:?}"),
                other => panic!("{pairs:?}: {other:?}"),
            }
        }
        for pairs in [[size, ("content-type", "text/plain")], [size, ("content-encoding", "gzip")]]
        {
            assert!(matches!(read(&pairs), Err(Fault::Request(RequestFault::BodyType(_)))));
        }
    }

    #[test]
    fn beyond_the_end_is_a_range_fault_and_never_overflows() {
        let most = "18446744073709551615";
        for (offset, size) in [("10", "1"), ("4", "7"), (most, most)] {
            let pairs =
                [("x-image-size", "10"), ("x-slice-offset", offset), ("x-slice-size", size)];
            let error = read(&pairs).unwrap_err();
            let Fault::Upload(UploadError::Store(StoreError::BeyondLength { .. })) = error else {
                panic!("{error:?}")
            };
        }
    }

    #[test]
    fn checksums_are_read_in_any_case() {
        let with = |hash: &str, algorithm: &str| {
            let pairs =
                [("x-image-size", "1"), ("x-slice-hash", hash), ("x-hash-algorithm", algorithm)];
            read(&pairs).unwrap().slice.checksum.unwrap()
        };
        assert_eq!(with(&"Ab".repeat(16), "MD5"), ChunkChecksum::Md5([0xab; 16]));
        assert_eq!(with(&"ab".repeat(20), "Sha1"), ChunkChecksum::Sha1([0xab; 20]));
        assert_eq!(with(&"ab".repeat(32), "SHA256"), ChunkChecksum::Sha256([0xab; 32]));
        assert_eq!(with("00000000000000ff", "xxh3"), ChunkChecksum::Xxh3(255));
        assert_eq!(with("000000FF", "CRC32C"), ChunkChecksum::Crc32c(255));
        let md5 = read(&[("x-image-size", "1"), ("x-slice-md5", &"0f".repeat(16))]).unwrap();
        assert_eq!(md5.slice.checksum, Some(ChunkChecksum::Md5([0x0f; 16])));
        assert_eq!(md5.form, BodyForm::Raw);
    }

    proptest! {
        #[test]
        fn what_is_taken_lies_inside_the_image(total: u64, offset: u64, size: u64) {
            let (total, offset, size) = (total.to_string(), offset.to_string(), size.to_string());
            let pairs = [
                ("x-image-size", total.as_str()),
                ("x-slice-offset", &offset),
                ("x-slice-size", &size),
            ];
            if let Ok(SliceHeaders { slice, size, .. }) = read(&pairs) {
                prop_assert!(size > 0 && slice.offset + size <= slice.total.unwrap());
            }
        }
    }
}
