//! `Content-Digest` and `Repr-Digest` (RFC 9530): dictionaries of byte sequences as RFC 8941 has them.

use actix_web::http::header::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{BadHeader, list, shown};
use crate::{
    domain::{tag::hex_bytes, upload::ExpectedDigests},
    uploads::ChunkChecksum,
};

/// Digest of the body of this request.
pub const CONTENT_DIGEST: &str = "content-digest";
/// Digest of the whole image.
pub const REPR_DIGEST: &str = "repr-digest";

/// Algorithms that one header may name; nobody sends more.
const MEMBERS_MAX: usize = 16;

/// The checksum of the body, by the strongest algorithm that both sides know: sha-256, sha, md5, then xxh3 (our extension) and crc32c.
pub fn content_digest(headers: &HeaderMap) -> Result<Option<ChunkChecksum>, BadHeader> {
    let Some(members) = members(headers, CONTENT_DIGEST)? else { return Ok(None) };
    let mut found = None;
    for (name, strength) in [("sha-256", 5), ("sha", 4), ("md5", 3), ("xxh3", 2), ("crc32c", 1)] {
        let Some((_, bytes)) = members.iter().rev().find(|(key, _)| key == name) else { continue };
        let checksum = match strength {
            5 => sized(bytes).map(ChunkChecksum::Sha256),
            4 => sized(bytes).map(ChunkChecksum::Sha1),
            3 => sized(bytes).map(ChunkChecksum::Md5),
            2 => sized(bytes).map(|bytes| ChunkChecksum::Xxh3(u64::from_be_bytes(bytes))),
            _ => sized(bytes).map(|bytes| ChunkChecksum::Crc32c(u32::from_be_bytes(bytes))),
        };
        let checksum = checksum.ok_or_else(|| wrong_size(CONTENT_DIGEST, name))?;
        found.get_or_insert(checksum);
    }
    found.map(Some).ok_or_else(|| {
        BadHeader::new(CONTENT_DIGEST, "use sha-256, sha, md5, xxh3 or crc32c, or leave it out")
    })
}

/// What the client expects the whole to hash to.
pub fn repr_digest(headers: &HeaderMap) -> Result<ExpectedDigests, BadHeader> {
    let mut expected = ExpectedDigests::default();
    let Some(members) = members(headers, REPR_DIGEST)? else { return Ok(expected) };
    for (name, bytes) in &members {
        match name.as_str() {
            "sha-256" => {
                let bytes = sized(bytes).ok_or_else(|| wrong_size(REPR_DIGEST, "sha-256"))?;
                expected.sha256 = Some(bytes);
            }
            "md5" => {
                let bytes = sized(bytes).ok_or_else(|| wrong_size(REPR_DIGEST, "md5"))?;
                expected.md5 = Some(bytes);
            }
            _ => {}
        }
    }
    if expected == ExpectedDigests::default() {
        return Err(BadHeader::new(REPR_DIGEST, "use sha-256 or md5, or leave it out"));
    }
    Ok(expected)
}

/// `Repr-Digest` of an image from its lower-case hex digests; `None` if it has none.
pub fn render(md5: Option<&str>, sha256: Option<&str>) -> Option<String> {
    let sha256 =
        sha256.and_then(hex_bytes::<32>).map(|b| format!("sha-256=:{}:", STANDARD.encode(b)));
    let md5 = md5.and_then(hex_bytes::<16>).map(|b| format!("md5=:{}:", STANDARD.encode(b)));
    let both: Vec<String> = sha256.into_iter().chain(md5).collect();
    (!both.is_empty()).then(|| both.join(", "))
}

fn wrong_size(header: &'static str, algorithm: &str) -> BadHeader {
    BadHeader::new(
        header,
        format!("the value of {algorithm} does not have the length of such a digest"),
    )
}

fn sized<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

type Members = Vec<(String, Vec<u8>)>;

fn members(headers: &HeaderMap, name: &'static str) -> Result<Option<Members>, BadHeader> {
    let Some(value) = list(headers, name)? else { return Ok(None) };
    let bad = |part: &str| {
        let words = format!("[{}] is not of the form algorithm=:base64:", shown(part));
        BadHeader::new(name, words)
    };
    let mut members = Vec::new();
    for part in value.split(',') {
        let member = member(part.trim_matches([' ', '\t'])).ok_or_else(|| bad(part))?;
        members.push(member);
        if members.len() > MEMBERS_MAX {
            return Err(BadHeader::new(name, format!("at most {MEMBERS_MAX} digests are taken")));
        }
    }
    Ok(Some(members))
}

fn member(part: &str) -> Option<(String, Vec<u8>)> {
    let (key, value) = part.split_once('=')?;
    let mut bytes = key.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'*');
    let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b));
    let encoded = value.strip_prefix(':')?.strip_suffix(':')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    (first && rest).then(|| (key.to_owned(), bytes))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderName;
    use proptest::prelude::*;

    use super::*;

    const SHA256: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    const MD5: &str = "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:";

    fn map(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    fn content(values: &[&str]) -> Result<Option<ChunkChecksum>, BadHeader> {
        content_digest(&map(CONTENT_DIGEST, values))
    }

    #[test]
    fn the_strongest_known_algorithm_counts() {
        assert_eq!(content(&[]), Ok(None));
        assert!(matches!(content(&[SHA256]), Ok(Some(ChunkChecksum::Sha256(_)))));
        assert!(matches!(content(&[MD5, SHA256]), Ok(Some(ChunkChecksum::Sha256(_)))));
        assert!(matches!(
            content(&[&format!("{MD5},unixsum=:AAA=:")]),
            Ok(Some(ChunkChecksum::Md5(_)))
        ));
        assert_eq!(content(&["crc32c=:AAAAAQ==:"]), Ok(Some(ChunkChecksum::Crc32c(1))));
        assert_eq!(content(&["xxh3=:AAAAAAAAAQA=:"]), Ok(Some(ChunkChecksum::Xxh3(256))));
        assert!(matches!(
            content(&["sha=:2jmj7l5rSw0yVb/vlWAYkK/YBwk=:"]),
            Ok(Some(ChunkChecksum::Sha1(_)))
        ));
    }

    #[test]
    fn what_is_not_strict_is_refused_by_name() {
        for bad in [
            "",
            "sha-256",
            "sha-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU:",
            "sha-256=:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=:",
            "sha-256=:AAAA:",
            "SHA-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
            "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:,",
            "sha-512=:AAAA:",
            "md5=:1B2M2Y8AsgTpgAmY7PhCfg==: x",
            "md5=::",
            "=:AAAA:",
        ] {
            let error = content(&[bad]).unwrap_err().to_string();
            assert!(error.contains(CONTENT_DIGEST), "{bad}: {error}");
        }
        let many = vec!["a=:AA==:"; 20].join(",");
        assert!(content(&[&many]).is_err());
    }

    #[test]
    fn expected_digests_are_read_and_rendered_alike() {
        let both = map(REPR_DIGEST, &[SHA256, MD5]);
        let expected = repr_digest(&both).unwrap();
        let md5 = crate::domain::tag::hex(&expected.md5.unwrap());
        let sha256 = crate::domain::tag::hex(&expected.sha256.unwrap());
        assert_eq!(md5, "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(render(Some(&md5), Some(&sha256)), Some(format!("{SHA256}, {MD5}")));
        assert_eq!(render(None, None), None);
        assert_eq!(repr_digest(&HeaderMap::new()), Ok(ExpectedDigests::default()));
        assert!(repr_digest(&map(REPR_DIGEST, &["sha=:2jmj7l5rSw0yVb/vlWAYkK/YBwk=:"])).is_err());
        assert!(repr_digest(&map(REPR_DIGEST, &["md5=:AAAA:"])).is_err());
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[ -~]{0,80}|(sha-256|md5|crc32c|,|=|:|[A-Za-z0-9+/]{1,9}){0,12}") {
            if let Ok(Some(_)) = content(&[&text]) {
                prop_assert!(text.contains("=:"));
            }
        }

        #[test]
        fn every_digest_comes_back(sha256: [u8; 32]) {
            let text = format!("sha-256=:{}:", STANDARD.encode(sha256));
            prop_assert_eq!(content(&[&text]), Ok(Some(ChunkChecksum::Sha256(sha256))));
        }
    }
}
