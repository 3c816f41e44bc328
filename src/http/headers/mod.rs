//! Header fields that clients send, read strictly: what is not understood is refused by name, never guessed.

pub mod content_range;
pub mod digest;
pub mod disposition;
pub mod etag;
pub mod params;
pub mod range;

use actix_web::http::header::{HeaderMap, HeaderValue};

/// A header that cannot be taken; answered as 400 with these words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("header {name}: {words}")]
pub struct BadHeader {
    /// Which one.
    pub name: &'static str,
    /// What is wrong with it, and what would be right.
    pub words: String,
}

impl BadHeader {
    /// This header, with these words.
    pub fn new(name: &'static str, words: impl Into<String>) -> Self {
        Self { name, words: words.into() }
    }
}

/// The one value of a header, without blanks around it. Two different values are refused: which of them counts is a guess.
pub fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, BadHeader> {
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else { return Ok(None) };
    if values.any(|other| other != value) {
        return Err(BadHeader::new(name, "it is given twice with different values"));
    }
    readable(name, value).map(Some)
}

/// All values of a header that is a list, joined as HTTP has it.
pub fn list(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, BadHeader> {
    let mut joined: Option<String> = None;
    for value in headers.get_all(name) {
        let value = readable(name, value)?;
        match &mut joined {
            None => joined = Some(value.to_owned()),
            Some(joined) => {
                joined.push_str(", ");
                joined.push_str(value);
            }
        }
    }
    Ok(joined)
}

/// A number of bytes: digits only, at most 2^64 - 1.
pub fn number(headers: &HeaderMap, name: &'static str) -> Result<Option<u64>, BadHeader> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    digits(text).map(Some).ok_or_else(|| {
        BadHeader::new(name, format!("[{}] is not a whole number of bytes", shown(text)))
    })
}

/// Digits and nothing else (no sign, no blank), within 64 bits.
pub fn digits(text: &str) -> Option<u64> {
    let only_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    only_digits.then(|| text.parse().ok()).flatten()
}

/// A value as an error may show it: short, and free of control characters.
pub fn shown(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn readable<'a>(name: &'static str, value: &'a HeaderValue) -> Result<&'a str, BadHeader> {
    let text = std::str::from_utf8(value.as_bytes());
    text.map(str::trim_ascii).map_err(|_| BadHeader::new(name, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderName;
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        map
    }

    #[test]
    fn numbers_are_digits_within_64_bits() {
        for (text, value) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("+1", None),
            ("-1", None),
            ("1 2", None),
            ("0x10", None),
            ("1e3", None),
            ("", None),
            ("１", None),
        ] {
            assert_eq!(digits(text), value, "{text:?}");
        }
        let error = number(&headers(&[("x-slice-offset", "-1")]), "x-slice-offset").unwrap_err();
        assert_eq!(error.to_string(), "header x-slice-offset: [-1] is not a whole number of bytes");
        assert_eq!(number(&headers(&[("x-slice-offset", " 5 ")]), "x-slice-offset"), Ok(Some(5)));
        assert_eq!(number(&headers(&[]), "x-slice-offset"), Ok(None));
    }

    #[test]
    fn a_header_given_twice_must_agree() {
        let twice = headers(&[("x-slice-size", "1"), ("x-slice-size", "1")]);
        assert_eq!(text(&twice, "x-slice-size"), Ok(Some("1")));
        let torn = headers(&[("x-slice-size", "1"), ("x-slice-size", "2")]);
        assert!(text(&torn, "x-slice-size").is_err());
        assert_eq!(list(&torn, "x-slice-size"), Ok(Some("1, 2".to_owned())));
    }

    proptest! {
        #[test]
        fn what_is_read_as_a_number_is_that_number(text in "\\PC{0,24}") {
            if let Some(value) = digits(&text) {
                prop_assert_eq!(value.to_string(), text.trim_start_matches('0').to_owned().parse::<u64>().unwrap_or(0).to_string());
                prop_assert!(text.bytes().all(|b| b.is_ascii_digit()));
            }
        }
    }
}
