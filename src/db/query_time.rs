//! Times in queries: as the wire shows them, as ISO 8601, or as epoch milliseconds.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// A time as exact as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Epoch milliseconds.
    Millisecond(i64),
    /// Whole seconds since the epoch: any millisecond in it.
    Second(i64),
}

/// Reads a time; without an offset it is UTC. `None` if it is none.
pub(super) fn moment(text: &str) -> Option<Moment> {
    // Java writes U+202F before AM and PM since version 20.
    let text = text.trim().replace('\u{202f}', " ");
    if let Ok(ms) = text.parse::<i64>() {
        return Some(Moment::Millisecond(ms));
    }
    let timestamp = wire_form(&text)
        .or_else(|| text.parse::<Timestamp>().ok())
        .or_else(|| text.parse::<DateTime>().ok().and_then(utc))?;
    let ms = timestamp.as_millisecond();
    let whole = ms.rem_euclid(1000) == 0;
    Some(if whole { Moment::Second(ms.div_euclid(1000)) } else { Moment::Millisecond(ms) })
}

/// `Nov 21, 2026 1:02:03 AM`
fn wire_form(text: &str) -> Option<Timestamp> {
    utc(DateTime::strptime("%b %d, %Y %I:%M:%S %p", text).ok()?)
}

fn utc(civil: DateTime) -> Option<Timestamp> {
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_same_second() {
        let second = Some(Moment::Second(1_795_222_923));
        for text in [
            "Nov 21, 2026 1:02:03 AM",
            "Nov 21, 2026 1:02:03\u{202f}AM",
            "Nov 21, 2026 01:02:03 am",
            "2026-11-21T01:02:03Z",
            "2026-11-21T02:02:03+01:00",
            "2026-11-21T01:02:03",
            " 2026-11-21 01:02:03 ",
        ] {
            assert_eq!(moment(text), second, "{text}");
        }
        assert_eq!(moment("Nov 1, 2026 12:00:00 AM"), Some(Moment::Second(1_793_491_200)));
        assert_eq!(moment("2026-11-21"), Some(Moment::Second(1_795_219_200)));
    }

    #[test]
    fn milliseconds_stay_exact() {
        assert_eq!(moment("1795222923000"), Some(Moment::Millisecond(1_795_222_923_000)));
        let exact = Some(Moment::Millisecond(1_795_222_923_456));
        assert_eq!(moment("2026-11-21T01:02:03.456Z"), exact);
    }

    #[test]
    fn what_is_no_time() {
        for text in
            ["", "yesterday", "21.11.2026", "Foo 1, 2026 1:02:03 AM", "99999999999999999999"]
        {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
