//! Sizes and counts on the command line.

/// A number with `k`, `m`, `g` or `t` (powers of 1,024) or without a unit; at least 1.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let words = || "give a number and k, m, g or t, as 16m".to_owned();
    let unit = text.chars().last().map(|unit| unit.to_ascii_lowercase());
    let shift = match unit {
        Some('k') => 10,
        Some('m') => 20,
        Some('g') => 30,
        Some('t') => 40,
        Some('0'..='9') => 0,
        Some(_) | None => return Err(words()),
    };
    let number = if shift == 0 { text } else { &text[..text.len() - 1] };
    let number: u64 = number.parse().map_err(|_| words())?;
    number.checked_mul(1 << shift).filter(|&bytes| bytes > 0).ok_or_else(words)
}

/// A number from 0 on, with a fraction perhaps.
pub(super) fn count(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "give a number".to_owned())?;
    if (0.0..=1e6).contains(&number) {
        Ok(number)
    } else {
        Err("give a number from 0 to 1000000".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in
            [("64k", 65_536), ("16M", 16 << 20), ("4g", 4 << 30), ("1t", 1 << 40), ("777", 777)]
        {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in ["", "k", "0", "0m", "1x", "-1m", "1.5g", "99999999t", "\u{e9}"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn interruptions_are_a_number_that_makes_sense() {
        assert_eq!(count("0.5"), Ok(0.5));
        for bad in ["-1", "nan", "inf", "x", "1e9"] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }
}
