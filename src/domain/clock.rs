//! Time as a parameter: the only place that asks the system for it.

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
