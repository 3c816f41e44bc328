//! `Range` of a download (RFC 9110 section 14).

use std::ops::Range;

use super::digits;

/// What of a whole is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: no range, one that cannot be read, or several at once (which nobody needs here).
    Whole,
    /// This part, not empty, inside the whole.
    Part(Range<u64>),
    /// Nothing of it exists.
    Unsatisfiable,
}

/// What a `Range` header asks of `length` bytes.
pub fn wanted(header: Option<&str>, length: u64) -> Wanted {
    let Some(spec) = header.and_then(spec) else { return Wanted::Whole };
    let range = match spec {
        Spec::From { first, last } => {
            first..last.map_or(length, |last| last.saturating_add(1).min(length))
        }
        Spec::Last(count) => length.saturating_sub(count)..length,
    };
    if range.start < range.end { Wanted::Part(range) } else { Wanted::Unsatisfiable }
}

enum Spec {
    From { first: u64, last: Option<u64> },
    Last(u64),
}

fn spec(header: &str) -> Option<Spec> {
    let (unit, range) = header.split_once('=')?;
    if !unit.trim_ascii().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim_ascii().split_once('-')?;
    match (first, last) {
        ("", count) => position(count).map(Spec::Last),
        (first, "") => position(first).map(|first| Spec::From { first, last: None }),
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            (first <= last).then_some(Spec::From { first, last: Some(last) })
        }
    }
}

/// A position; one beyond 64 bits is well formed and lies behind every image.
fn position(text: &str) -> Option<u64> {
    let only_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    only_digits.then(|| digits(text).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_range_is_honoured_and_what_is_no_range_is_ignored() {
        let part = |range| Wanted::Part(range);
        for (header, expected) in [
            ("bytes=0-0", part(0..1)),
            ("bytes=0-9", part(0..10)),
            ("bytes=0-99", part(0..10)),
            ("bytes=0-99999999999999999999999", part(0..10)),
            ("BYTES = 4-", part(4..10)),
            ("bytes=-3", part(7..10)),
            ("bytes=-30", part(0..10)),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=10-20", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=1-2\u{a0}", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("0-1", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(header), 10), expected, "{header:?}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_part_lies_inside_the_whole(header in "(bytes=)?[0-9,-]{0,45}", length: u64) {
            if let Wanted::Part(range) = wanted(Some(&header), length) {
                prop_assert!(range.start < range.end && range.end <= length);
            }
        }
    }
}
