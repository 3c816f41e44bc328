//! Time as a parameter: the only place that asks the system for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01 UTC, the only form in which rows hold time.
pub type EpochMs = i64;

/// Where the service takes the time from.
pub trait Clock: Send + Sync + 'static {
    /// Now. May step back when the system's clock is set; never use it to measure a duration of bytes in flight.
    fn now_ms(&self) -> EpochMs;
}

/// The system's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> EpochMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        EpochMs::try_from(since.as_millis()).unwrap_or(EpochMs::MAX)
    }
}

/// A clock that goes ahead of a steady one by more than this between two looks has been set.
const JUMP_MS: i64 = 600_000;
/// A clock that was set forward is believed after so long: by then whoever set it wrongly has set it back.
const BELIEVED_AFTER_MS: i64 = 86_400_000;

/// Jumps that are told apart; of more, the two oldest count as one.
const JUMPS_MAX: usize = 64;

/// How far the clock is ahead of what it is believed. What is counted in hours and days, and cannot be undone, does not trust a clock
/// that jumps: it is looked at together with a steady one, and a jump forward counts only when it has stood for a day.
///
/// Each jump by itself: a machine that sleeps every night jumps every morning, and is not doubted for longer than for one night.
#[derive(Debug, Clone, Default)]
pub struct ClockDoubt {
    last: Option<Look>,
    jumps: VecDeque<Jump>,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    now_ms: EpochMs,
    steady_ms: i64,
}

/// A jump forward that is not believed yet.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "units stand last in every name")]
struct Jump {
    by_ms: i64,
    seen_steady_ms: i64,
    /// What the clock showed afterwards: what bears a later time is younger than the jump.
    at_ms: EpochMs,
}

impl ClockDoubt {
    /// At the start of the process, before the first look: a clock that shows more than a day after the newest time in the records
    /// may have been off for as long, or be wrong (a machine whose clock has lost its battery). A day later it is believed.
    pub fn begin(&mut self, newest_ms: EpochMs, now_ms: EpochMs) {
        let by_ms = now_ms.saturating_sub(newest_ms);
        if by_ms > BELIEVED_AFTER_MS {
            self.add(Jump { by_ms, seen_steady_ms: 0, at_ms: now_ms });
        }
    }

    /// Looks at both clocks. Answers by how much the clock was set forward since the last look, if it was.
    pub fn look(&mut self, now_ms: EpochMs, steady_ms: i64) -> Option<i64> {
        let last = self.last.replace(Look { now_ms, steady_ms })?;
        self.jumps.retain(|jump| steady_ms - jump.seen_steady_ms < BELIEVED_AFTER_MS);
        let gone_ms = steady_ms - last.steady_ms;
        let set_by_ms = now_ms - last.now_ms - gone_ms;
        if set_by_ms > JUMP_MS {
            self.add(Jump { by_ms: set_by_ms, seen_steady_ms: steady_ms, at_ms: now_ms });
            return Some(set_by_ms);
        }
        if set_by_ms < -JUMP_MS {
            self.take_back(-set_by_ms);
        }
        None
    }

    fn add(&mut self, jump: Jump) {
        self.jumps.push_back(jump);
        if self.jumps.len() > JUMPS_MAX
            && let Some(oldest) = self.jumps.pop_front()
            && let Some(next) = self.jumps.front_mut()
        {
            next.by_ms += oldest.by_ms;
        }
    }

    /// As far as it had been set forward before, that is made good: the last jump first.
    fn take_back(&mut self, mut by_ms: i64) {
        while by_ms > 0
            && let Some(jump) = self.jumps.back_mut()
        {
            if jump.by_ms > by_ms {
                jump.by_ms -= by_ms;
                return;
            }
            by_ms -= jump.by_ms;
            self.jumps.pop_back();
        }
    }

    /// How long ago `since_ms` is believed to be when the clock shows `now_ms`. Jumps before that moment are no part of it.
    pub fn believed_age_ms(&self, since_ms: EpochMs, now_ms: EpochMs) -> i64 {
        let later = self.jumps.iter().filter(|jump| jump.at_ms > since_ms);
        now_ms - since_ms - later.map(|jump| jump.by_ms).sum::<i64>()
    }

    /// The moment that is believed when the clock shows `now_ms`.
    pub fn believed(&self, now_ms: EpochMs) -> EpochMs {
        now_ms - self.jumps.iter().map(|jump| jump.by_ms).sum::<i64>()
    }
}

/// A clock that stands still until it is told to move: for tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now_ms`.
    pub const fn at(now_ms: EpochMs) -> Self {
        Self(AtomicI64::new(now_ms))
    }

    /// Moves the hands on.
    pub fn advance_ms(&self, by_ms: i64) {
        self.0.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> EpochMs {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_clock_that_is_far_ahead_at_the_start_is_believed_after_a_day() {
        let (newest, now) = (1_000, 1_000 + 8 * 24 * HOUR_MS);
        let mut doubt = ClockDoubt::default();
        doubt.begin(newest, now);
        assert_eq!(doubt.believed(now), newest);
        assert_eq!(doubt.look(now, 0), None);
        assert_eq!(doubt.look(now + 23 * HOUR_MS, 23 * HOUR_MS), None);
        assert_eq!(doubt.believed(now + 23 * HOUR_MS), newest + 23 * HOUR_MS);
        // What was made since then is as old as it is.
        assert_eq!(doubt.believed_age_ms(now + HOUR_MS, now + 3 * HOUR_MS), 2 * HOUR_MS);
        assert_eq!(doubt.believed_age_ms(newest, now + HOUR_MS), HOUR_MS);
        doubt.look(now + 24 * HOUR_MS, 24 * HOUR_MS);
        assert_eq!(doubt.believed(now + 24 * HOUR_MS), now + 24 * HOUR_MS);
        // A night without news is none.
        let mut calm = ClockDoubt::default();
        calm.begin(newest, newest + 12 * HOUR_MS);
        assert_eq!(calm.believed(now), now);
    }

    #[test]
    fn a_clock_that_jumps_forward_is_believed_after_a_day() {
        let mut doubt = ClockDoubt::default();
        let eight_days = 8 * 24 * HOUR_MS;
        assert_eq!(doubt.look(1_000, 0), None);
        // As the steady one goes, with a little drift.
        assert_eq!(doubt.look(1_000 + HOUR_MS + 5_000, HOUR_MS), None);
        assert_eq!(doubt.believed(2_000), 2_000);
        let jumped = 1_000 + 2 * HOUR_MS + eight_days;
        assert_eq!(doubt.look(jumped, 2 * HOUR_MS), Some(eight_days - 5_000));
        assert_eq!(doubt.believed(jumped), 6_000 + 2 * HOUR_MS, "as if it had not been set");
        assert_eq!(doubt.look(jumped + 23 * HOUR_MS, 25 * HOUR_MS), None);
        assert_eq!(doubt.believed(jumped), 6_000 + 2 * HOUR_MS);
        assert_eq!(doubt.look(jumped + 24 * HOUR_MS, 26 * HOUR_MS), None);
        assert_eq!(doubt.believed(jumped), jumped, "it has stood for a day");
    }

    #[test]
    fn a_jump_that_is_taken_back_leaves_no_doubt() {
        let mut doubt = ClockDoubt::default();
        let _ = doubt.look(0, 0);
        assert!(doubt.look(50 * HOUR_MS, HOUR_MS).is_some());
        assert_eq!(doubt.look(2 * HOUR_MS, 2 * HOUR_MS), None);
        assert_eq!(doubt.believed(7), 7);
        // A clock that was only ever set back is not ahead.
        assert_eq!(doubt.look(-5 * HOUR_MS, 3 * HOUR_MS), None);
        assert_eq!(doubt.believed(7), 7);
    }

    /// The steady clock stands still while the machine sleeps.
    #[test]
    fn a_machine_that_sleeps_every_night_is_not_doubted_more_and_more() {
        let mut doubt = ClockDoubt::default();
        let (mut now_ms, mut steady_ms) = (0, 0);
        let _ = doubt.look(now_ms, steady_ms);
        for day in 0..100 {
            (now_ms, steady_ms) = (now_ms + 16 * HOUR_MS, steady_ms + 16 * HOUR_MS);
            assert_eq!(doubt.look(now_ms, steady_ms), None);
            now_ms += 8 * HOUR_MS;
            assert!(doubt.look(now_ms, steady_ms).is_some());
            let behind_ms = now_ms - doubt.believed(now_ms);
            assert!((8 * HOUR_MS..=16 * HOUR_MS).contains(&behind_ms), "day {day}: {behind_ms}");
        }
        let (now_ms, steady_ms) = (now_ms + 24 * HOUR_MS, steady_ms + 24 * HOUR_MS);
        assert_eq!(doubt.look(now_ms, steady_ms), None);
        assert_eq!(doubt.believed(now_ms), now_ms);
    }

    #[test]
    fn what_is_remembered_of_jumps_is_bounded() {
        let mut doubt = ClockDoubt::default();
        let _ = doubt.look(0, 0);
        for n in 1..=1_000 {
            assert!(doubt.look(n * HOUR_MS, n).is_some());
        }
        assert!(doubt.jumps.len() <= JUMPS_MAX);
        assert_eq!(doubt.believed(1_000 * HOUR_MS), 1_000, "none of them is forgotten");
        // Set back over several of them.
        assert_eq!(doubt.look(998 * HOUR_MS - HOUR_MS / 2, 1_001), None);
        assert_eq!(doubt.believed(998 * HOUR_MS - HOUR_MS / 2), 1_001);
    }
}
