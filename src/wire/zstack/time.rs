//! Timestamps in the form of Java's default style for US English: `Nov 14, 2017 10:20:57 PM`, without a zone.

use jiff::{Timestamp, civil, tz::TimeZone};

use crate::domain::clock::EpochMs;

/// What is written: an ASCII space before AM or PM (the SDK's parser throws on U+202F).
const WRITTEN: &str = "%b %-d, %Y %-I:%M:%S %p";
/// What is read besides: the comma of newer Java versions, and the two ISO forms that people type.
const READ: [&str; 4] =
    [WRITTEN, "%b %d, %Y, %I:%M:%S %p", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"];

/// The wire form of a point in time. Times outside the years that a calendar has are shown as 1970.
pub fn timestamp(time_ms: EpochMs, zone: &TimeZone) -> String {
    let time = Timestamp::from_millisecond(time_ms).unwrap_or_default();
    time.to_zoned(zone.clone()).strftime(WRITTEN).to_string()
}

/// Reads a wire timestamp, whole seconds as milliseconds; also ISO 8601 with and without a zone.
pub fn read_timestamp(text: &str, zone: &TimeZone) -> Option<EpochMs> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    READ.iter().find_map(|form| {
        let local = civil::DateTime::strptime(form, text).ok()?;
        Some(local.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nov 20, 2026 4:05:00 PM UTC.
    const FOUR_PM: EpochMs = 1_795_190_700_000;

    #[test]
    fn the_form_is_javas() {
        let utc = TimeZone::UTC;
        assert_eq!(timestamp(FOUR_PM, &utc), "Nov 20, 2026 4:05:00 PM");
        assert_eq!(timestamp(0, &utc), "Jan 1, 1970 12:00:00 AM");
        assert_eq!(timestamp(FOUR_PM - 4 * 3_600_000, &utc), "Nov 20, 2026 12:05:00 PM");
        assert_eq!(timestamp(EpochMs::MAX, &utc), "Jan 1, 1970 12:00:00 AM");
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        assert_eq!(timestamp(FOUR_PM, &shanghai), "Nov 21, 2026 12:05:00 AM");
        assert!(timestamp(FOUR_PM, &shanghai).is_ascii());
    }

    #[test]
    fn what_is_written_is_read_and_so_are_the_usual_other_forms() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        assert_eq!(read_timestamp(&timestamp(FOUR_PM, &zone), &zone), Some(FOUR_PM));
        for text in [
            "Nov 20, 2026, 4:05:00 PM",
            "2026-11-20 16:05:00",
            "2026-11-20T16:05:00",
            "2026-11-20T16:05:00Z",
        ] {
            assert_eq!(read_timestamp(text, &TimeZone::UTC), Some(FOUR_PM), "{text}");
        }
        for text in ["", "yesterday", "Nov 31, 2026 4:05:00 PM"] {
            assert_eq!(read_timestamp(text, &zone), None, "{text}");
        }
    }
}
