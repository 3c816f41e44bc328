//! Texts of clients in words of ours.

/// Characters of a client's text that an answer repeats.
const SHOWN_CHARS_MAX: usize = 64;

/// A client's text as an answer repeats it: short, so that no answer grows with what was sent.
pub fn shown(text: &str) -> String {
    at_most(text, SHOWN_CHARS_MAX)
}

/// At most `chars_max` characters of a text, with dots where something is left out.
pub fn at_most(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_long_is_cut() {
        assert_eq!(shown("zip"), "zip");
        assert_eq!(shown(&"é".repeat(64)), "é".repeat(64));
        assert_eq!(shown(&"é".repeat(65)), format!("{}...", "é".repeat(64)));
        assert_eq!(at_most("", 0), "");
    }
}
