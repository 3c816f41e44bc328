//! Values of options: times, sizes, rates, digests.

use std::time::Duration;

/// A number with `s`, `m` or `h`; seconds without.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, factor) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) if text.ends_with('h') => (number, 3600),
        Some(number) if text.ends_with('m') => (number, 60),
        Some(number) => (number, 1),
        None => (text, 1),
    };
    let number: u32 =
        number.parse().map_err(|_| "give a number and s, m or h, as 10m".to_owned())?;
    Ok(Duration::from_secs(u64::from(number) * factor))
}

/// A number with `k` or `m`, from 64 KiB to what every server takes with a checksum.
pub(super) fn slice_bytes(text: &str) -> Result<u64, String> {
    let bytes = scaled(text).filter(|bytes| {
        text.ends_with(['k', 'm', 'K', 'M']) && (64 << 10..=16 << 20).contains(bytes)
    });
    bytes.ok_or_else(|| "give a number and k or m, from 64k to 16m".to_owned())
}

/// Bytes per second. Below 16 KiB the server would take a slice for one that has stalled.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    let bytes = scaled(text.strip_suffix("/s").unwrap_or(text));
    bytes
        .filter(|&bytes| bytes >= 16 << 10)
        .ok_or_else(|| "give a number and k, m or g per second, at least 16k, as 10m".to_owned())
}

/// Bytes, with or without a unit; at least 1.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let bytes = scaled(text).filter(|&bytes| bytes > 0);
    bytes.ok_or_else(|| "give the number of bytes, or a number and k, m, g or t".to_owned())
}

fn scaled(text: &str) -> Option<u64> {
    let shift = match text.chars().last()?.to_ascii_lowercase() {
        'k' => 10,
        'm' => 20,
        'g' => 30,
        't' => 40,
        _ => 0,
    };
    let number = if shift == 0 { text } else { &text[..text.len() - 1] };
    // `parse` takes a sign, which nobody means.
    let number = number.bytes().all(|b| b.is_ascii_digit()).then_some(number)?;
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// 32 hexadecimal digits.
pub(super) fn md5(text: &str) -> Result<String, String> {
    digest(text, 32)
}

/// 64 hexadecimal digits.
pub(super) fn sha256(text: &str) -> Result<String, String> {
    digest(text, 64)
}

fn digest(text: &str, digits: usize) -> Result<String, String> {
    if text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("give {digits} hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, secs) in [("90s", 90), ("10m", 600), ("2h", 7200), ("7", 7)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for bad in ["", "m", "-1s", "1d", "99999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_of_slices_have_a_unit_and_bounds() {
        assert_eq!(slice_bytes("64k"), Ok(65_536));
        assert_eq!(slice_bytes("16m"), Ok(16 << 20));
        for bad in ["", "k", "63k", "17m", "1", "1g", "é", "99999999999m", "1048576", "+1m"] {
            assert!(slice_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_and_sizes_have_units() {
        for (text, bytes) in [("16k", 16 << 10), ("10m", 10 << 20), ("1G/s", 1 << 30)] {
            assert_eq!(rate(text), Ok(bytes), "{text}");
        }
        for bad in ["", "0", "15k", "-1m", "fast", "10m/h"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        assert_eq!((size("1"), size("2t")), (Ok(1), Ok(2 << 40)));
        assert!(size("0").is_err() && size("1x").is_err() && size("99999999t").is_err());
    }

    #[test]
    fn digests_are_hexadecimal_and_whole() {
        assert_eq!(md5(&"AB".repeat(16)), Ok("ab".repeat(16)));
        assert!(md5(&"ab".repeat(32)).is_err() && sha256(&"xy".repeat(32)).is_err());
    }
}
