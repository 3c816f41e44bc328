//! Requests that are signed with an access key as the SDKs of Huawei Cloud and Open Telekom Cloud sign them:
//! `Authorization: SDK-HMAC-SHA256 Access=<id>, SignedHeaders=<names>, Signature=<hex>` with `X-Sdk-Date`.
//!
//! The signature is HMAC-SHA256, with the secret as its key, over `SDK-HMAC-SHA256 "\n" X-Sdk-Date "\n" hex(SHA-256(canonical request))`;
//! the canonical request is method, path with a slash at its end, sorted query, the signed headers, their names, and the SHA-256 of the
//! body in hex, a line each.
//!
//! # Guarantees
//! * A signature counts for one method, path, query, second and, unless it says `UNSIGNED-PAYLOAD`, body; for every header that it names,
//!   among which `Host` and `X-Sdk-Date` have to be; and for 15 minutes around that second. It is compared in constant time.
//! * A header that is signed and comes twice, or is not UTF-8, is refused: what was signed cannot be known. A query with a bare `+` is
//!   refused: it would be signed as a plus sign and read as a space.
//! # Not guaranteed
//! * Replays are not prevented: within the 15 minutes the same request can be sent again by whoever has read it. The protocol has nothing
//!   that could prevent it; so access keys belong on TLS alone.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use jiff::{civil::DateTime, tz::TimeZone};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::SKEW_MAX_MS;
use crate::domain::{
    clock::EpochMs,
    ids::AccessKeyId,
    tag::{hex, hex_bytes},
};

/// The name of the scheme in `Authorization`.
pub const SDK_SCHEME: &str = "SDK-HMAC-SHA256";
/// When it was signed.
const DATE: &str = "x-sdk-date";
/// The hash of the body, where the client says it.
const CONTENT_SHA256: &str = "x-sdk-content-sha256";
/// In place of the hash: the body is not signed.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// Headers that have to be signed.
const NEEDED: [&str; 2] = ["host", DATE];
/// Longest `Authorization`, and the most headers that it may name.
const AUTHORIZATION_BYTES_MAX: usize = 8192;
const SIGNED_HEADERS_MAX: usize = 64;
/// All that is percent-encoded (RFC 3986: all but the unreserved characters).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Why a signed request cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedSdkSignature {
    /// Not `Access=.., SignedHeaders=.., Signature=..`.
    #[error(
        "Authorization of type 'SDK-HMAC-SHA256' must be 'Access=<access key id>, SignedHeaders=<names>, Signature=<64 hex digits>'"
    )]
    Credentials,
    /// A header that has to be signed is not.
    #[error("the header {0} has to be signed")]
    NotSigned(&'static str),
    /// A signed header is not there, or more than once.
    #[error("the signed header {0} has to come exactly once")]
    NotOnce(String),
    /// No `X-Sdk-Date` of the form that is signed.
    #[error("the header X-Sdk-Date of a signed request must look like '20261120T152430Z'")]
    Date,
    /// The body does not hash to what its header says.
    #[error("the body does not hash to what the header X-Sdk-Content-Sha256 says")]
    Body,
    /// A plus sign in the query: who reads a query as a form takes it for a space, the signature for a plus.
    #[error("a query that is signed has to hold %2B for a plus sign and %20 for a space")]
    Plus,
    /// A signed header is not UTF-8: what was signed cannot be known.
    #[error("the signed header {0} has to be UTF-8")]
    NotUtf8(String),
    /// The query holds something that is not UTF-8.
    #[error("the path and the query of a signed request have to be percent-encoded UTF-8")]
    Encoding,
}

/// A request as it came over the wire.
pub struct Sent<'r> {
    /// The method.
    pub method: &'r str,
    /// The path, percent-encoded.
    pub path: &'r str,
    /// The query, percent-encoded, without the question mark.
    pub query: &'r str,
    /// All values of a header, by its name in lower case.
    pub header: &'r dyn Fn(&str) -> Vec<Vec<u8>>,
    /// The whole body.
    pub body: &'r [u8],
}

/// A signed request. Whether the signature is right is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdkSignedRequest {
    /// Whose signature it claims to be.
    pub(super) id: AccessKeyId,
    signature: [u8; 32],
    signed: String,
    time_ms: EpochMs,
}

impl SdkSignedRequest {
    /// Reads one; `credentials` is what follows [`SDK_SCHEME`] in `Authorization`.
    pub fn read(credentials: &str, sent: &Sent<'_>) -> Result<Self, MalformedSdkSignature> {
        let Credentials { id, names, signature } =
            Credentials::read(credentials).ok_or(MalformedSdkSignature::Credentials)?;
        for needed in NEEDED {
            if !names.contains(&needed) {
                return Err(MalformedSdkSignature::NotSigned(needed));
            }
        }
        let date = once(sent, DATE)?;
        let time_ms = read_date(&date).ok_or(MalformedSdkSignature::Date)?;
        let request = canonical_request(sent, &names)?;
        let request = hex(&Sha256::digest(request.as_bytes()));
        Ok(Self { id, signature, signed: format!("{SDK_SCHEME}\n{date}\n{request}"), time_ms })
    }

    /// Whether it was signed with this secret. Compared in constant time.
    pub(super) fn fits(&self, secret: &str) -> bool {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
        mac.update(self.signed.as_bytes());
        mac.verify_slice(&self.signature).is_ok()
    }

    /// Whether its time is now.
    pub(super) fn is_of(&self, now_ms: EpochMs) -> bool {
        now_ms.abs_diff(self.time_ms) <= SKEW_MAX_MS.unsigned_abs()
    }
}

struct Credentials<'a> {
    id: AccessKeyId,
    names: Vec<&'a str>,
    signature: [u8; 32],
}

impl<'a> Credentials<'a> {
    fn read(text: &'a str) -> Option<Self> {
        if text.len() > AUTHORIZATION_BYTES_MAX {
            return None;
        }
        let (mut id, mut names, mut signature) = (None, None, None);
        for part in text.split(',') {
            let (key, value) = part.trim().split_once('=')?;
            let slot = match key {
                "Access" => &mut id,
                "SignedHeaders" => &mut names,
                "Signature" => &mut signature,
                _ => return None,
            };
            if slot.replace(value).is_some() {
                return None;
            }
        }
        let names: Vec<_> = names?.split(';').collect();
        let is_name = |name: &&str| {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            !name.is_empty() && name.bytes().all(plain)
        };
        if names.len() > SIGNED_HEADERS_MAX || !names.iter().all(is_name) {
            return None;
        }
        Some(Self { id: id?.parse().ok()?, names, signature: hex_bytes(signature?)? })
    }
}

/// The one value of a header.
fn once(sent: &Sent<'_>, name: &str) -> Result<String, MalformedSdkSignature> {
    let [value] = <[Vec<u8>; 1]>::try_from((sent.header)(name))
        .map_err(|_| MalformedSdkSignature::NotOnce(name.to_owned()))?;
    let value = std::str::from_utf8(&value);
    let value = value.map_err(|_| MalformedSdkSignature::NotUtf8(name.to_owned()))?;
    Ok(value.trim().to_owned())
}

fn canonical_request(sent: &Sent<'_>, names: &[&str]) -> Result<String, MalformedSdkSignature> {
    let (path, query) = (canonical_path(sent.path)?, canonical_query(sent.query)?);
    let mut text = format!("{}\n{path}\n{query}\n", sent.method);
    for name in names {
        let _ = writeln!(text, "{name}:{}", once(sent, name)?);
    }
    let _ = write!(text, "\n{}\n{}", names.join(";"), body_hash(sent)?);
    Ok(text)
}

fn canonical_path(path: &str) -> Result<String, MalformedSdkSignature> {
    let segments = path.split('/').map(encoded_again).collect::<Result<Vec<_>, _>>()?;
    let mut path = segments.join("/");
    if !path.ends_with('/') {
        path.push('/');
    }
    Ok(path)
}

fn canonical_query(query: &str) -> Result<String, MalformedSdkSignature> {
    if query.contains('+') {
        return Err(MalformedSdkSignature::Plus);
    }
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(key)?, decoded(value)?))
    });
    let mut pairs = pairs.collect::<Result<Vec<_>, MalformedSdkSignature>>()?;
    pairs.sort();
    let pairs = pairs.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value)));
    Ok(pairs.collect::<Vec<_>>().join("&"))
}

/// A body that is empty hashes as one whatever the header says: so the SDKs sign it.
fn body_hash(sent: &Sent<'_>) -> Result<String, MalformedSdkSignature> {
    let actual = hex(&Sha256::digest(sent.body));
    if sent.body.is_empty() || (sent.header)(CONTENT_SHA256).is_empty() {
        return Ok(actual);
    }
    let told = once(sent, CONTENT_SHA256)?;
    if told == UNSIGNED || told == actual { Ok(told) } else { Err(MalformedSdkSignature::Body) }
}

fn encoded_again(segment: &str) -> Result<String, MalformedSdkSignature> {
    Ok(encoded(&decoded(segment)?))
}

fn decoded(text: &str) -> Result<String, MalformedSdkSignature> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(std::borrow::Cow::into_owned).map_err(|_| MalformedSdkSignature::Encoding)
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// `20261120T152430Z`
fn read_date(text: &str) -> Option<EpochMs> {
    if text.len() != 16 {
        return None;
    }
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests;
