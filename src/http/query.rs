//! The query string of a URL as decoded pairs, for every dialect that reads one.

use percent_encoding::percent_decode_str;

/// Longest query string in bytes.
pub const QUERY_BYTES_MAX: usize = 16 * 1024;

/// Why a query string is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    /// It is too long.
    #[error("the query string has more than {QUERY_BYTES_MAX} bytes")]
    TooLong,
    /// What it encodes is no text.
    #[error("Invalid query string: it is not UTF-8")]
    NoText,
    /// No record can hold it, and PostgreSQL does not take it.
    #[error("the query string holds a NUL character (U+0000)")]
    Nul,
}

/// The pairs in their order, `+` for a blank; a name without a value has an empty one.
pub fn pairs(query_string: &str) -> Result<Vec<(String, String)>, BadQuery> {
    if query_string.len() > QUERY_BYTES_MAX {
        return Err(BadQuery::TooLong);
    }
    let pairs = query_string.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(name)?, decoded(value)?))
    });
    pairs.collect()
}

fn decoded(text: &str) -> Result<String, BadQuery> {
    let spaced = text.replace('+', " ");
    let text = percent_decode_str(&spaced).decode_utf8().map_err(|_| BadQuery::NoText)?;
    if text.contains('\0') {
        return Err(BadQuery::Nul);
    }
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_in_their_order() {
        let read = |text: &str| {
            let pairs = pairs(text).unwrap();
            pairs.iter().map(|(name, value)| format!("{name}|{value}")).collect::<Vec<_>>()
        };
        assert_eq!(read(""), [""; 0]);
        assert_eq!(read("q=a%3Db+c&&q=2&x&n%C3%A4=%2b%zz"), ["q|a=b c", "q|2", "x|", "nä|+%zz"]);
    }

    #[test]
    fn what_is_too_long_or_no_text_is_refused() {
        let long = "x".repeat(QUERY_BYTES_MAX);
        assert!(pairs(&long).is_ok());
        assert_eq!(pairs(&(long + "x")), Err(BadQuery::TooLong));
        for (text, error) in [
            ("a=%ff", BadQuery::NoText),
            ("%ff=a", BadQuery::NoText),
            ("a=%00", BadQuery::Nul),
            ("%00=a", BadQuery::Nul),
        ] {
            assert_eq!(pairs(text), Err(error), "{text}");
        }
    }
}
