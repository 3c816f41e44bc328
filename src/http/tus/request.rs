//! What a tus request says in its headers.

use actix_web::{HttpRequest, http::Method};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{UPLOAD_LENGTH, UPLOAD_OFFSET};
use crate::{
    http::{
        headers::{BadHeader, number, shown, text},
        problem::{Fault, RequestFault},
        resumable::{body_length, media_type},
    },
    uploads::{ChunkChecksum, Slice},
};

/// The media type of bytes.
const BYTES: &str = "application/offset+octet-stream";
const UPLOAD_CHECKSUM: &str = "upload-checksum";
const METHOD_OVERRIDE: &str = "x-http-method-override";

/// Refuses every version but ours, before anything else is looked at.
pub(super) fn check_version(request: &HttpRequest) -> Result<(), Fault> {
    match text(request.headers(), "tus-resumable") {
        Ok(Some("1.0.0")) => Ok(()),
        Ok(Some(_) | None) | Err(_) => Err(RequestFault::TusVersion.into()),
    }
}

/// The method that is meant: for clients that can only send GET and POST.
pub(super) fn method(request: &HttpRequest) -> Result<Method, BadHeader> {
    let Some(meant) = text(request.headers(), METHOD_OVERRIDE)? else {
        return Ok(request.method().clone());
    };
    let bad = || BadHeader::new(METHOD_OVERRIDE, format!("[{}] is no method", shown(meant)));
    Method::from_bytes(meant.as_bytes()).map_err(|_| bad())
}

/// Whether the request asks where an upload stands.
pub(super) fn is_question(request: &HttpRequest) -> bool {
    method(request).is_ok_and(|method| method == Method::HEAD)
}

/// The body of a PATCH, and where it belongs.
pub(super) fn append(request: &HttpRequest) -> Result<Slice, Fault> {
    let headers = request.headers();
    if media_type(headers)?.as_deref() != Some(BYTES) {
        let words = "send Content-Type: application/offset+octet-stream";
        return Err(RequestFault::BodyType(words).into());
    }
    let offset = number(headers, UPLOAD_OFFSET)?
        .ok_or_else(|| BadHeader::new(UPLOAD_OFFSET, "say where the body begins"))?;
    let slice = Slice { offset, total: number(headers, UPLOAD_LENGTH)?, ..body(request)? };
    Ok(slice)
}

/// The body of a creation; `None` if there is none.
pub(super) fn first_bytes(request: &HttpRequest) -> Result<Option<Slice>, Fault> {
    let slice = body(request)?;
    match media_type(request.headers())?.as_deref() {
        Some(BYTES) => Ok(Some(slice)),
        Some(_) | None if slice.length == Some(0) => Ok(None),
        Some(_) | None => {
            let words = "a body needs Content-Type: application/offset+octet-stream";
            Err(RequestFault::BodyType(words).into())
        }
    }
}

fn body(request: &HttpRequest) -> Result<Slice, Fault> {
    let length = body_length(request)?;
    let checksum = checksum(request)?;
    if checksum.is_some() && length.is_none() {
        return Err(RequestFault::LengthRequired.into());
    }
    Ok(Slice { length, checksum, ..Slice::default() })
}

fn checksum(request: &HttpRequest) -> Result<Option<ChunkChecksum>, BadHeader> {
    let Some(value) = text(request.headers(), UPLOAD_CHECKSUM)? else { return Ok(None) };
    read_checksum(value).map(Some).ok_or_else(|| {
        let words = format!(
            "[{}] is not sha1, sha256, md5 or crc32c, a blank, and the checksum of such a kind in Base64",
            shown(value)
        );
        BadHeader::new(UPLOAD_CHECKSUM, words)
    })
}

fn read_checksum(value: &str) -> Option<ChunkChecksum> {
    let (algorithm, encoded) = value.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    match algorithm {
        "sha1" => bytes.try_into().ok().map(ChunkChecksum::Sha1),
        "sha256" => bytes.try_into().ok().map(ChunkChecksum::Sha256),
        "md5" => bytes.try_into().ok().map(ChunkChecksum::Md5),
        "crc32c" => {
            bytes.try_into().ok().map(|bytes| ChunkChecksum::Crc32c(u32::from_be_bytes(bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_read_strictly() {
        assert_eq!(read_checksum("crc32c AAAAAQ=="), Some(ChunkChecksum::Crc32c(1)));
        let sha1 = read_checksum("sha1 Lve95gjOVATpfV8EL5X4nxwjKHE=");
        assert!(matches!(sha1, Some(ChunkChecksum::Sha1(_))));
        assert!(read_checksum("md5 1B2M2Y8AsgTpgAmY7PhCfg==").is_some());
        assert!(read_checksum("sha256 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=").is_some());
        for bad in [
            "",
            "sha1",
            "sha1 ",
            "sha1 AAAA",
            "sha1  Lve95gjOVATpfV8EL5X4nxwjKHE=",
            "SHA1 Lve95gjOVATpfV8EL5X4nxwjKHE=",
            "sha1 Lve95gjOVATpfV8EL5X4nxwjKHE",
            "sha1 2ef7bde608ce5404e97d5f042f95f89f1c232871",
            "crc32 AAAAAQ==",
            "sha512 AAAA",
        ] {
            assert_eq!(read_checksum(bad), None, "{bad}");
        }
    }
}
