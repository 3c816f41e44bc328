//! A limit of the rate that all connections share.

use std::{sync::Mutex, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::locked;

/// What may be sent at once after a pause, as time: a burst of so much of the rate.
const BURST: Duration = Duration::from_millis(250);
/// Bounds of what is handed to a connection at once.
const GRAIN_BYTES_MIN: u64 = 1 << 10;
const GRAIN_BYTES_MAX: u64 = 64 << 10;

/// One bucket of tokens. Whoever takes gets its turn in the order of asking, so that no connection starves.
#[derive(Debug)]
pub struct RateLimit {
    bytes_per_sec: u64,
    free_at: Mutex<Option<Instant>>,
}

impl RateLimit {
    /// `bytes_per_sec` for everybody who takes from it, at least 1.
    pub fn new(bytes_per_sec: u64) -> Self {
        Self { bytes_per_sec: bytes_per_sec.max(1), free_at: Mutex::new(None) }
    }

    /// What is handed over at once: an eighth of a second's worth, so that a slow connection is never silent for long.
    pub fn grain_bytes(&self) -> usize {
        let grain = (self.bytes_per_sec / 8).clamp(GRAIN_BYTES_MIN, GRAIN_BYTES_MAX);
        usize::try_from(grain).unwrap_or(usize::MAX)
    }

    /// Returns once `bytes` may go. What was waited for and then not sent is lost: a little less than the rate is used.
    pub async fn take(&self, bytes: usize) {
        sleep_until(self.reserve(Instant::now(), bytes as u64)).await;
    }

    fn reserve(&self, now: Instant, bytes: u64) -> Instant {
        let mut free_at = locked(&self.free_at);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let begin = free_at.unwrap_or(earliest).max(earliest);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_sec);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        *free_at.insert(begin + takes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_shared_and_a_pause_saves_up_a_burst_only() {
        let limit = RateLimit::new(1 << 20);
        let start = Instant::now();
        let waits = |now: Instant, bytes| limit.reserve(now, bytes).saturating_duration_since(now);
        assert_eq!(waits(start, 1 << 18), Duration::ZERO, "the burst");
        assert_eq!(waits(start, 1 << 20), Duration::from_secs(1));
        assert_eq!(waits(start, 1 << 20), Duration::from_secs(2), "the next one waits for both");
        let later = start + Duration::from_hours(1);
        assert_eq!(waits(later, 1 << 18), Duration::ZERO);
        assert_eq!(waits(later, 1 << 20), Duration::from_secs(1), "an hour saves up no more");
    }

    #[test]
    fn grains_are_small_where_the_rate_is() {
        for (rate, grain) in [(1, 1 << 10), (16 << 10, 2 << 10), (1 << 30, 64 << 10)] {
            assert_eq!(RateLimit::new(rate).grain_bytes(), grain);
        }
    }
}
