//! Requests that are signed with an access key (`Authorization: ZStack <id>:<signature>`), as ZStack's SDKs sign them.
//!
//! The signature is the base64 of HMAC-SHA1 over `METHOD "\n" DATE "\n" URI`: the method, the header `Date` byte for byte, and the path
//! as it was sent, without `/zstack` before it and without the query.
//!
//! # Guarantees
//! * A signature counts for one method, path and second, and for 15 minutes around that second.
//! # Not guaranteed
//! * Query and body are not signed, and within the 15 minutes the same request can be sent again by whoever has read it. The
//!   protocol has nothing that could prevent it; so access keys belong on TLS alone.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{civil::DateTime, tz::TimeZone};
use sha1::Sha1;

use crate::domain::{clock::EpochMs, ids::AccessKeyId};

/// How far the `Date` of a request may be from now, either way: ZStack's 15 minutes.
pub const SKEW_MAX_MS: i64 = 15 * 60 * 1000;
/// Names of the zone that needs no table.
const UTC: [&str; 8] = ["UTC", "GMT", "Z", "UCT", "GMT0", "Zulu", "Universal", "Greenwich"];
/// The start of a path that is not signed: ZStack's servlet context.
const CONTEXT: &str = "/zstack";

/// Why a signed request cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedSignature {
    /// Not `<id>:<signature>`.
    #[error("Authorization of type 'ZStack' must be '<access key id>:<base64 of HMAC-SHA1>'")]
    Credentials,
    /// No `Date`.
    #[error("missing header 'Date', which a signed request needs")]
    NoDate,
    /// A `Date` of another form.
    #[error("the header 'Date' of a signed request must look like 'Fri, 20 Nov 2026 15:38:42 UTC'")]
    Date,
}

/// A signed request. Whether the signature is right is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// Whose signature it claims to be.
    pub(super) id: AccessKeyId,
    signature: Vec<u8>,
    signed: String,
    wall: DateTime,
    zone: Option<TimeZone>,
}

impl SignedRequest {
    /// Reads one: `credentials` is what follows `ZStack` in `Authorization`, `path` the path as it was sent.
    pub fn read(
        credentials: &str,
        date: Option<&str>,
        method: &str,
        path: &str,
    ) -> Result<Self, MalformedSignature> {
        let (id, signature) =
            credentials.trim().split_once(':').ok_or(MalformedSignature::Credentials)?;
        let id = id.parse().map_err(|_| MalformedSignature::Credentials)?;
        let signature = STANDARD.decode(signature).map_err(|_| MalformedSignature::Credentials)?;
        let date = date.ok_or(MalformedSignature::NoDate)?;
        let (wall, zone) = read_date(date).ok_or(MalformedSignature::Date)?;
        let uri = match path.strip_prefix(CONTEXT) {
            Some(rest) if rest.starts_with('/') => rest,
            Some(_) | None => path,
        };
        Ok(Self { id, signature, signed: format!("{method}\n{date}\n{uri}"), wall, zone })
    }

    /// Whether it was signed with this secret. Compared in constant time.
    pub(super) fn fits(&self, secret: &str) -> bool {
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret.as_bytes()) else { return false };
        mac.update(self.signed.as_bytes());
        mac.verify_slice(&self.signature).is_ok()
    }

    /// Whether its time is now. ZStack ignores the zone and compares wall clocks; a zone that says for certain which time is meant
    /// (UTC, or a name of the IANA such as Java sends) is taken at its word, and an abbreviation such as CST, which may be any of
    /// three, means a wall clock in `wire_time_zone`.
    pub(super) fn is_of(&self, now_ms: EpochMs, wire_time_zone: &TimeZone) -> bool {
        let zone = self.zone.as_ref().unwrap_or(wire_time_zone);
        let Ok(time) = self.wall.to_zoned(zone.clone()) else { return false };
        let skew_ms = now_ms.abs_diff(time.timestamp().as_millisecond());
        skew_ms <= SKEW_MAX_MS.unsigned_abs()
    }
}

/// `Fri, 20 Nov 2026 15:38:42 <zone>`.
fn read_date(date: &str) -> Option<(DateTime, Option<TimeZone>)> {
    if date.len() > 128 {
        return None;
    }
    let mut words = date.split_ascii_whitespace();
    let wall: Vec<_> = words.by_ref().take(5).collect();
    let wall = DateTime::strptime("%a, %d %b %Y %H:%M:%S", wall.join(" ")).ok()?;
    let zone = words.collect::<Vec<_>>().join(" ");
    if zone.is_empty() {
        return None;
    }
    let zone = match zone.strip_prefix("Etc/").unwrap_or(&zone) {
        name if UTC.contains(&name) => Some(TimeZone::UTC),
        _ if zone.contains('/') => TimeZone::get(&zone).ok(),
        _ => None,
    };
    Some((wall, zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_189_122_000; // Fri, 20 Nov 2026 15:38:42 UTC
    const DATE: &str = "Fri, 20 Nov 2026 15:38:42 Etc/UTC";
    const SECRET: &str = "7dHcNQlPp2Ym6hFYpM5fyH8GJDxkrm1x0eZpTYqA";
    const ID: &str = "PEFlmmszBZZKaI7ZyDGT";

    fn read(credentials: &str, date: Option<&str>) -> Result<SignedRequest, MalformedSignature> {
        SignedRequest::read(credentials, date, "GET", "/zstack/v1/longjobs")
    }

    /// What `openssl dgst -sha1 -hmac` makes of the same text.
    const SIGNATURE: &str = "qaujcOJgaTfMya9PiKBV5xDAX+0=";

    #[test]
    fn a_signature_fits_its_method_path_date_and_secret_alone() {
        let credentials = format!("{ID}:{SIGNATURE}");
        let request = read(&credentials, Some(DATE)).unwrap();
        assert!(request.fits(SECRET));
        assert!(!request.fits("another"));
        assert!(
            !read(&credentials, Some("Fri, 20 Nov 2026 15:38:43 Etc/UTC")).unwrap().fits(SECRET)
        );
        for (method, path, fits) in [
            ("GET", "/zstack/v1/longjobs", true),
            // A proxy may have taken the context away already.
            ("GET", "/v1/longjobs", true),
            ("POST", "/zstack/v1/longjobs", false),
            ("GET", "/zstack/v1/longjobs/", false),
            ("GET", "/zstackv1/longjobs", false),
        ] {
            let request = SignedRequest::read(&credentials, Some(DATE), method, path).unwrap();
            assert_eq!(request.fits(SECRET), fits, "{method} {path}");
        }
        let short = format!("{ID}:{}", STANDARD.encode(b"short"));
        assert!(!read(&short, Some(DATE)).unwrap().fits(SECRET));
    }

    #[test]
    fn a_request_is_of_its_quarter_of_an_hour() {
        let is_of = |date: &str, now_ms: i64, zone: &str| {
            let request = read("abcdefgh:", Some(date)).unwrap();
            request.is_of(now_ms, &TimeZone::get(zone).unwrap())
        };
        for (offset_ms, expected) in
            [(0, true), (900_000, true), (-900_000, true), (901_000, false), (-901_000, false)]
        {
            assert_eq!(is_of(DATE, NOW_MS + offset_ms, "UTC"), expected, "{offset_ms}");
        }
        for (date, zone, expected) in [
            // Go sends abbreviations.
            ("Fri, 20 Nov 2026 15:38:42 UTC", "Asia/Shanghai", true),
            ("Fri, 20 Nov 2026 15:38:42 GMT", "Asia/Shanghai", true),
            ("Fri, 20 Nov 2026 23:38:42 CST", "Asia/Shanghai", true),
            ("Fri, 20 Nov 2026 15:38:42 CST", "UTC", true),
            ("Fri, 20 Nov 2026 15:38:42 CST", "Asia/Shanghai", false),
            // Java sends names.
            ("Fri, 20 Nov 2026 23:38:42 Asia/Shanghai", "UTC", true),
            ("Fri, 20 Nov 2026 15:38:42 Asia/Shanghai", "UTC", false),
            ("Fri, 20 Nov 2026 15:38:42 No/Where", "UTC", true),
        ] {
            assert_eq!(is_of(date, NOW_MS, zone), expected, "{date} at {zone}");
        }
    }

    #[test]
    fn what_is_malformed_is_told_from_what_is_wrong() {
        for credentials in ["", ID, ":", &format!("{ID}:?"), "a b:AAAA", "short:AAAA"] {
            let read = read(credentials, Some(DATE));
            assert_eq!(read, Err(MalformedSignature::Credentials), "{credentials}");
        }
        let credentials = format!("{ID}:AAAA");
        assert_eq!(read(&credentials, None), Err(MalformedSignature::NoDate));
        for date in [
            "",
            "2026-11-20T15:38:42Z",
            "Fri, 20 Nov 2026 15:38:42",
            "Fri, 32 Nov 2026 15:38:42 UTC",
            "Fri, 20 Nov 2026 25:38:42 UTC",
            &"x".repeat(200),
        ] {
            assert_eq!(read(&credentials, Some(date)), Err(MalformedSignature::Date), "{date}");
        }
    }
}
