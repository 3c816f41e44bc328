//! Entity tags (RFC 9110 sections 8.8 and 13.1): ours are strong, the digest of the content in quotes.

/// Whether `If-None-Match` or `If-Match` names this tag. Weak tags count as the strong ones that they contain, which is right
/// for `If-None-Match` and harmless for content that never changes.
pub fn any_matches(header: &str, tag: &str) -> bool {
    header.trim() == "*"
        || header.split(',').map(str::trim).any(|one| one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// Whether `If-Range` lets the range stand: only for exactly this strong tag. A date never does, there is none to compare with.
pub fn if_range_holds(header: Option<&str>, tag: &str) -> bool {
    header.is_none_or(|header| header.trim() == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_whole() {
        let tag = "\"abc\"";
        for (header, matches) in [
            ("\"abc\"", true),
            ("*", true),
            ("W/\"abc\"", true),
            ("\"x\", \"abc\"", true),
            ("\"x\"", false),
            ("abc", false),
            ("\"abcd\"", false),
            ("", false),
        ] {
            assert_eq!(any_matches(header, tag), matches, "{header}");
        }
        assert!(if_range_holds(None, tag));
        assert!(if_range_holds(Some("\"abc\""), tag));
        assert!(!if_range_holds(Some("W/\"abc\""), tag), "a weak tag never holds a range");
        assert!(!if_range_holds(Some("Wed, 21 Oct 2015 07:28:00 GMT"), tag));
    }
}
