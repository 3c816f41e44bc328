//! `Content-Range: bytes a-b/total` of a request: where its body belongs.

use actix_web::http::header::HeaderMap;

use super::{BadHeader, digits, shown, text};

/// Name of the header.
pub const CONTENT_RANGE: &str = "content-range";

/// A range of bytes, both ends included, and the length of the whole where it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// First byte.
    pub first: u64,
    /// Last byte; never before `first`, never `u64::MAX`.
    pub last: u64,
    /// Length of the whole; `None` for `*`. Greater than `last`.
    pub total: Option<u64>,
}

impl ContentRange {
    /// The one that the request carries, if it carries one.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, BadHeader> {
        let Some(value) = text(headers, CONTENT_RANGE)? else { return Ok(None) };
        Self::parse(value).map(Some).ok_or_else(|| {
            BadHeader::new(
                CONTENT_RANGE,
                format!("[{}] is not of the form bytes first-last/total", shown(value)),
            )
        })
    }

    /// Bytes in it, at least 1.
    pub const fn length(self) -> u64 {
        self.last - self.first + 1
    }

    fn parse(value: &str) -> Option<Self> {
        let (unit, rest) = value.split_once(' ')?;
        let (range, total) = rest.trim_start().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (digits(first)?, digits(last)?);
        let total = match total {
            "*" => None,
            total => Some(digits(total)?),
        };
        let fits = first <= last && last < total.unwrap_or(u64::MAX);
        (unit.eq_ignore_ascii_case("bytes") && fits).then_some(Self { first, last, total })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_that_are_read() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        for (text, expected) in [
            ("bytes 0-9/10", range(0, 9, Some(10))),
            ("Bytes 3-3/*", range(3, 3, None)),
            ("bytes  5-9/100", range(5, 9, Some(100))),
            ("bytes 0-18446744073709551614/*", range(0, u64::MAX - 1, None)),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes 0-18446744073709551616/*", None),
            ("bytes 9-0/10", None),
            ("bytes 0-10/10", None),
            ("bytes */10", None),
            ("bytes -5/10", None),
            ("bytes 0-/10", None),
            ("bytes +0-1/10", None),
            ("bytes 0-1/-1", None),
            ("bytes=0-1/10", None),
            ("items 0-1/10", None),
            ("bytes 0-1", None),
            ("bytes 0-1/", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "(bytes )?[0-9*/ -]{0,50}") {
            if let Some(range) = ContentRange::parse(&text) {
                prop_assert!(range.length() >= 1);
                prop_assert!(range.total.is_none_or(|total| range.last < total));
            }
        }
    }
}
