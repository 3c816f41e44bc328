//! When a trigger fires: pure arithmetic over UTC, in which no hour is missing and none comes twice.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, tz::TimeZone};

use crate::domain::{clock::EpochMs, text::shown};

/// Seconds between two fires, and fires in all: what Java's `int` holds, as ZStack has it.
const SECS: RangeInclusive<i64> = 1..=2_147_483_647;
/// 9999-12-30 22:00 UTC, the last moment that can be shown in every time zone: no trigger begins later, and none fires later.
const LAST_MS: EpochMs = 253_402_207_200_000;
/// Longest cron expression.
const CRON_CHARS_MAX: usize = 255;

/// Why something is no timing; the words name the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTiming(String);

/// When a trigger fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timing {
    /// At its start, and then every so many seconds.
    Simple {
        /// The first fire; when it is bound, if there is none.
        start_ms: Option<EpochMs>,
        /// Seconds between two fires.
        interval_secs: i64,
        /// Fires in all, the first one among them; 0 for as long as it is bound.
        repeat_count: i64,
    },
    /// As a cron expression says, in UTC.
    Cron {
        /// No fire comes before.
        start_ms: Option<EpochMs>,
        /// The expression.
        cron: CronText,
    },
}

impl Timing {
    /// A simple one, within its bounds.
    pub fn simple(
        start_ms: Option<EpochMs>,
        interval_secs: i64,
        repeat_count: i64,
    ) -> Result<Self, InvalidTiming> {
        if !SECS.contains(&interval_secs) {
            return Err(InvalidTiming(format!(
                "field[schedulerInterval] has to be {} to {} seconds, but {interval_secs} found",
                SECS.start(),
                SECS.end()
            )));
        }
        if repeat_count != 0 && !SECS.contains(&repeat_count) {
            return Err(InvalidTiming(format!(
                "field[repeatCount] has to be 0 (for ever) to {}, but {repeat_count} found",
                SECS.end()
            )));
        }
        Ok(Self::Simple { start_ms, interval_secs, repeat_count })
    }

    /// When it begins, if that was said.
    pub const fn start_ms(&self) -> Option<EpochMs> {
        match self {
            Self::Simple { start_ms, .. } | Self::Cron { start_ms, .. } => *start_ms,
        }
    }

    /// The first fire later than `after_ms`, counted from `anchor_ms`; `None` if none is left. Fires are fixed moments, so that
    /// whoever asks later than a fire has missed it, and never gets one in the past.
    pub fn next_after(&self, anchor_ms: EpochMs, after_ms: EpochMs) -> Option<EpochMs> {
        let next_ms = match self {
            Self::Simple { .. } if after_ms < anchor_ms => Some(anchor_ms),
            Self::Simple { interval_secs, repeat_count, .. } => {
                let interval_ms = interval_secs.checked_mul(1000)?;
                let fired = after_ms.checked_sub(anchor_ms)?.checked_div(interval_ms)?;
                let fire = fired.checked_add(1)?;
                let is_left = *repeat_count == 0 || fire < *repeat_count;
                let next_ms = fire.checked_mul(interval_ms)?.checked_add(anchor_ms)?;
                is_left.then_some(next_ms)
            }
            Self::Cron { cron, .. } => cron.next_after(after_ms.max(anchor_ms.checked_sub(1)?)),
        };
        next_ms.filter(|next_ms| *next_ms <= LAST_MS)
    }

    /// The last fire, where that is known beforehand.
    pub fn stop_ms(&self) -> Option<EpochMs> {
        match self {
            Self::Simple { start_ms: Some(start_ms), interval_secs, repeat_count }
                if *repeat_count > 0 =>
            {
                let rest_ms = (repeat_count - 1).checked_mul(interval_secs.checked_mul(1000)?)?;
                start_ms.checked_add(rest_ms).filter(|stop_ms| *stop_ms <= LAST_MS)
            }
            Self::Simple { .. } | Self::Cron { .. } => None,
        }
    }
}

/// ZStack's `startTime` in milliseconds: seconds since the epoch, or milliseconds where it is too large to be seconds of this age.
/// 0 is when the trigger is bound.
pub fn start_ms_of(start_time: i64) -> Result<Option<EpochMs>, InvalidTiming> {
    let start_ms = match start_time {
        0 => return Ok(None),
        1..100_000_000_000 => start_time * 1000,
        _ => start_time,
    };
    if (1..=LAST_MS).contains(&start_ms) {
        return Ok(Some(start_ms));
    }
    Err(InvalidTiming(format!(
        "field[startTime] has to be seconds or milliseconds since 1970, or 0 for at once, but {start_time} found"
    )))
}

/// A cron expression as Quartz has it: seconds, minutes, hours, day of month, month, day of week (1 is Sunday), and perhaps year;
/// `?`, `L`, `W`, `#` and names are taken. It fires at least once.
#[derive(Clone)]
pub struct CronText {
    text: String,
    /// Some 500 bytes; a simple timing beside it has 32.
    cron: Box<Cron>,
}

impl CronText {
    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn next_after(&self, after_ms: EpochMs) -> Option<EpochMs> {
        // Fires are on whole seconds: from inside a second the first one is the next second's.
        let after = Timestamp::from_second(after_ms.div_euclid(1000)).ok()?;
        let after = after.to_zoned(TimeZone::UTC);
        let next = self.cron.find_next_occurrence(&after, false).ok()?;
        Some(next.timestamp().as_millisecond()).filter(|next_ms| *next_ms > after_ms)
    }
}

impl FromStr for CronText {
    type Err = InvalidTiming;

    fn from_str(text: &str) -> Result<Self, InvalidTiming> {
        let told = |why: &str| {
            InvalidTiming(format!(
                "field[cron] has to be a cron expression such as [0 0 2 * * ?] (second, minute, hour, day of month, month, day of week, and perhaps year; UTC), but [{}] found: {why}",
                shown(text)
            ))
        };
        if text.chars().count() > CRON_CHARS_MAX {
            return Err(told("it is too long"));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Optional)
            .alternative_weekdays(true)
            .sloppy_ranges(true)
            .build();
        let cron = parser.parse(text).map_err(|error| told(&error.to_string()))?;
        Ok(Self { text: text.trim().to_owned(), cron: Box::new(cron) })
    }
}

impl CronText {
    /// Refuses an expression that never fires after `now_ms`.
    pub fn that_fires(self, now_ms: EpochMs) -> Result<Self, InvalidTiming> {
        if self.next_after(now_ms).is_some_and(|next_ms| next_ms <= LAST_MS) {
            return Ok(self);
        }
        Err(InvalidTiming(format!("field[cron]: [{}] never fires", shown(&self.text))))
    }
}

impl fmt::Debug for CronText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CronText({:?})", self.text)
    }
}

impl PartialEq for CronText {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for CronText {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-21 01:02:03.456 UTC.
    const NOW_MS: EpochMs = 1_795_222_923_456;

    fn cron(text: &str) -> Timing {
        Timing::Cron { start_ms: None, cron: text.parse().unwrap() }
    }

    fn shown_next(timing: &Timing, after_ms: EpochMs) -> String {
        let next_ms = timing.next_after(after_ms, after_ms);
        next_ms.map_or_else(
            || "never".to_owned(),
            |next_ms| Timestamp::from_millisecond(next_ms).unwrap().to_string(),
        )
    }

    #[test]
    fn a_cron_expression_is_quartzs() {
        for (text, next) in [
            ("0 0 2 * * ?", "2026-11-21T02:00:00Z"),
            ("0 0/5 * * * ?", "2026-11-21T01:05:00Z"),
            ("4 2 1 * * ?", "2026-11-21T01:02:04Z"),
            ("3 2 1 * * ?", "2026-11-22T01:02:03Z"),
            ("0 0 12 ? * 4", "2026-11-25T12:00:00Z"),
            ("0 0 12 ? * WED", "2026-11-25T12:00:00Z"),
            ("0 0 12 ? * SUN", "2026-11-22T12:00:00Z"),
            ("0 0 12 ? * 1", "2026-11-22T12:00:00Z"),
            ("0 0 0 L * ?", "2026-11-30T00:00:00Z"),
            ("0 15 10 ? * 6L", "2026-11-27T10:15:00Z"),
            ("0 0 0 29 2 ?", "2028-02-29T00:00:00Z"),
            ("0 0 0 1 1 ? 2099", "2099-01-01T00:00:00Z"),
            ("0 0 0 30 2 ?", "never"),
            ("0 0 0 1 1 ? 1999", "never"),
        ] {
            assert_eq!(shown_next(&cron(text), NOW_MS), next, "{text}");
        }
        assert!(CronText::from_str("0 0 0 30 2 ?").unwrap().that_fires(NOW_MS).is_err());
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        let long = "1,".repeat(200) + "1 * * * * ?";
        for text in [
            "",
            " ",
            "x",
            "* * * * *",
            "* * * * * * * *",
            "99 * * * * ?",
            "*/0 * * * * ?",
            "0 0 0 0 * ?",
            "0 0 0 * * 8",
            "1-999999999999 * * * * ?",
            "é * * * * ?",
            "0 0 1 * * ? 20000",
            "5-1 * * * * ?",
            "0 0 0 ? * MON#6",
            "\0",
            &long,
        ] {
            let error = text.parse::<CronText>().unwrap_err().to_string();
            assert!(
                error.starts_with("field[cron] has to be a cron expression"),
                "{text}: {error}"
            );
            assert!(error.len() < 600, "{error}");
        }
    }

    #[test]
    fn bounds_are_told() {
        for (interval, repeats, field) in [
            (0, 0, "schedulerInterval"),
            (-1, 0, "schedulerInterval"),
            (i64::MAX, 0, "schedulerInterval"),
            (i64::MIN, 0, "schedulerInterval"),
            (1, -1, "repeatCount"),
            (1, i64::MAX, "repeatCount"),
        ] {
            let error = Timing::simple(None, interval, repeats).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
        assert_eq!(start_ms_of(0), Ok(None));
        assert_eq!(start_ms_of(1_795_222_923), Ok(Some(1_795_222_923_000)));
        assert_eq!(start_ms_of(NOW_MS), Ok(Some(NOW_MS)));
        // Whatever is taken can be shown.
        assert!(Timestamp::from_millisecond(LAST_MS).is_ok() && start_ms_of(LAST_MS).is_ok());
        for bad in [-1, i64::MAX, i64::MIN, LAST_MS + 1, 253_402_300_799_000] {
            assert!(start_ms_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_simple_one_fires_at_its_start_and_exactly_so_often() {
        let timing = Timing::simple(Some(NOW_MS), 60, 3).unwrap();
        assert_eq!(timing.stop_ms(), Some(NOW_MS + 120_000));
        let mut fires = Vec::new();
        let mut at = NOW_MS - 5;
        while let Some(next_ms) = timing.next_after(NOW_MS, at) {
            fires.push(next_ms - NOW_MS);
            at = next_ms;
        }
        assert_eq!(fires, [0, 60_000, 120_000]);
        let once = Timing::simple(None, 1, 1).unwrap();
        assert_eq!((once.next_after(5, 4), once.next_after(5, 5)), (Some(5), None));
    }

    proptest! {
        #[test]
        fn a_next_fire_is_later_and_on_the_grid(
            anchor in 0..LAST_MS, after in i64::MIN..i64::MAX,
            interval in 1..=2_147_483_647_i64, repeats in 0..1000_i64,
        ) {
            let timing = Timing::simple(None, interval, repeats).unwrap();
            if let Some(next_ms) = timing.next_after(anchor, after) {
                prop_assert!(next_ms > after && next_ms >= anchor && next_ms <= LAST_MS);
                let fire = (next_ms - anchor) / (interval * 1000);
                prop_assert_eq!((next_ms - anchor) % (interval * 1000), 0);
                prop_assert!(repeats == 0 || fire < repeats);
                // The smallest: nothing lies between.
                prop_assert_eq!(timing.next_after(anchor, next_ms - 1), Some(next_ms));
                // Whoever missed fires gets the next one, not those that are gone.
                if let Some(then_ms) = timing.next_after(anchor, next_ms) {
                    prop_assert!(then_ms - next_ms == interval * 1000);
                }
            }
        }

        #[test]
        fn so_many_fires_and_no_more(repeats in 1..50_i64, interval in 1..100_000_i64, late in 0..100_000_i64) {
            let timing = Timing::simple(None, interval, repeats).unwrap();
            let fires = std::iter::successors(timing.next_after(NOW_MS, NOW_MS - 1 - late), |at| {
                timing.next_after(NOW_MS, *at)
            });
            prop_assert_eq!(i64::try_from(fires.take(60).count()), Ok(repeats));
        }

        #[test]
        fn a_cron_fire_is_later_and_none_is_skipped(after in 0..LAST_MS, which in 0..5_usize) {
            let texts =
                ["*/7 * * * * ?", "0 30 2 * * ?", "0 0 1 ? * 1", "59 59 23 L * ?", "0 30 1,2,3 * 3,10 ?"];
            let timing = cron(texts[which]);
            if let Some(next_ms) = timing.next_after(0, after) {
                prop_assert!(next_ms > after && next_ms % 1000 == 0);
                prop_assert_eq!(timing.next_after(0, next_ms - 1), Some(next_ms));
                let then_ms = timing.next_after(0, next_ms);
                prop_assert!(then_ms.is_none_or(|then_ms| then_ms > next_ms));
            }
        }

        #[test]
        fn whatever_is_given_as_cron_is_answered(text in "\\PC{0,40}") {
            if let Ok(cron) = text.parse::<CronText>() {
                let _ = cron.that_fires(NOW_MS);
            }
        }

        #[test]
        fn cron_like_texts_are_answered(text in "([0-9*?/,LW#-]{1,5} ){5,6}[0-9*?/,A-Z#-]{1,4}") {
            if let Ok(cron) = text.parse::<CronText>() {
                let _ = cron.that_fires(NOW_MS);
            }
        }
    }
}
