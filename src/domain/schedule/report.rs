//! The time that a report is about, cut into equal pieces.

use jiff::{Timestamp, ToSpan, tz::TimeZone};

use crate::domain::clock::EpochMs;

/// What one piece of a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportUnit {
    /// An hour.
    Hour,
    /// A day of 24 hours.
    Day,
    /// A month of the calendar, UTC.
    Month,
}

impl ReportUnit {
    /// ZStack's names of them.
    pub const NAMES: [&str; 3] = ["Hour", "Day", "Month"];

    /// The unit with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "Hour" => Some(Self::Hour),
            "Day" => Some(Self::Day),
            "Month" => Some(Self::Month),
            _ => None,
        }
    }

    /// The bounds of `range` pieces from `start_ms` on: one more than there are pieces, ascending. `None` beyond the calendar.
    pub fn bounds(self, start_ms: EpochMs, range: u8) -> Option<Vec<EpochMs>> {
        let start = Timestamp::from_millisecond(start_ms).ok()?.to_zoned(TimeZone::UTC);
        let bound = |piece: u8| {
            let span = match self {
                Self::Hour => i64::from(piece).hours(),
                Self::Day => (i64::from(piece) * 24).hours(),
                Self::Month => i64::from(piece).months(),
            };
            start.checked_add(span).ok().map(|at| at.timestamp().as_millisecond())
        };
        (0..=range).map(bound).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lie_side_by_side() {
        // 2026-01-31 00:00 UTC.
        let start_ms = 1_769_817_600_000;
        let day = 86_400_000;
        assert_eq!(
            ReportUnit::Day.bounds(start_ms, 2),
            Some(vec![start_ms, start_ms + day, start_ms + 2 * day])
        );
        assert_eq!(ReportUnit::Hour.bounds(start_ms, 1).unwrap()[1] - start_ms, 3_600_000);
        let months = ReportUnit::Month.bounds(start_ms, 2).unwrap();
        assert_eq!(months[1] - months[0], 28 * day, "to the end of February");
        assert_eq!(ReportUnit::Day.bounds(start_ms, 0), Some(vec![start_ms]));
        assert_eq!(ReportUnit::Day.bounds(i64::MAX, 1), None);
        assert_eq!(ReportUnit::from_name("day"), None);
    }
}
