//! How fast bytes may go, and when a connection is cut.

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

use super::source::split_mix;
use crate::client::locked;

/// A sleep ends up to this much too late on a busy machine; what it cost is made up for.
const LATE_MAX: Duration = Duration::from_millis(100);
/// Pieces per second, so that a slow stream is slow and does not send once a minute.
const PIECES_PER_SEC: u64 = 20;
const PIECE_BYTES_MIN: u64 = 1 << 10;
const PIECE_BYTES_MAX: u64 = 256 << 10;

/// A limit of bytes per second, for one stream or for all that share it.
#[derive(Debug)]
pub struct Pace {
    rate: u64,
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    /// `rate` bytes per second; 0 counts as 1.
    pub fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), free_at: Mutex::default() }
    }

    /// Longest piece to send between two calls of [`Self::take`].
    pub fn piece_bytes(&self) -> u64 {
        (self.rate / PIECES_PER_SEC).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX)
    }

    /// Returns when `bytes` may be sent.
    pub async fn take(&self, bytes: u64) {
        tokio::time::sleep_until(self.turn(Instant::now(), bytes)).await;
    }

    /// When the next `bytes` may be sent, and books them.
    fn turn(&self, now: Instant, bytes: u64) -> Instant {
        let cost = Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / self.rate);
        let mut free_at = locked(&self.free_at);
        let earliest = now.checked_sub(LATE_MAX).unwrap_or(now);
        let turn = free_at.unwrap_or(now).max(earliest);
        *free_at = Some(turn + cost);
        turn
    }
}

/// When connections break: at random, on average so many times per GiB.
#[derive(Debug)]
pub struct Cuts {
    /// Bytes between two cuts, on average; `None`: never.
    mean: Option<u64>,
    random: u64,
    left: u64,
}

impl Cuts {
    /// `per_gib` cuts in a GiB; none if it is not a positive number.
    pub fn new(per_gib: f64, seed: u64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive number of bytes; the cast saturates"
        )]
        let mean = (per_gib.is_finite() && per_gib > 0.0)
            .then(|| ((f64::from(1 << 30) / per_gib) as u64).max(1));
        let mut cuts = Self { mean, random: seed, left: 0 };
        cuts.draw();
        cuts
    }

    fn draw(&mut self) {
        // Evenly from half to one and a half of the mean: the number of cuts of a run is near what was asked for.
        let mean = self.mean.unwrap_or(0);
        self.left = mean / 2 + split_mix(&mut self.random) % mean.max(1);
    }

    /// How many of the next `bytes` go before the connection is cut; `None`: all of them, uncut.
    pub fn within(&mut self, bytes: u64) -> Option<u64> {
        self.mean?;
        if self.left >= bytes {
            self.left -= bytes;
            return None;
        }
        let at = self.left;
        self.draw();
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_wait_their_turn_and_a_late_sleeper_catches_up_a_little() {
        let pace = Pace::new(1000);
        let start = Instant::now();
        assert_eq!(pace.turn(start, 500), start);
        assert_eq!(pace.turn(start, 500), start + Duration::from_millis(500));
        let late = start + Duration::from_millis(1050);
        assert_eq!(pace.turn(late, 500), start + Duration::from_secs(1), "50 ms late is made up");
        let later = start + Duration::from_mins(1);
        assert_eq!(pace.turn(later, 500), later - LATE_MAX, "a minute of silence is no credit");
    }

    #[test]
    fn pieces_are_neither_tiny_nor_huge() {
        for (rate, bytes) in [(0, 1 << 10), (1 << 20, (1 << 20) / 20), (u64::MAX, 256 << 10)] {
            assert_eq!(Pace::new(rate).piece_bytes(), bytes);
        }
    }

    #[test]
    fn cuts_come_as_often_as_asked_for_and_inside_the_request() {
        let mut cuts = Cuts::new(64.0, 3);
        let (mut sent, mut seen) = (0_u64, 0);
        while sent < 4 << 30 {
            match cuts.within(1 << 20) {
                Some(at) => {
                    assert!(at < 1 << 20);
                    seen += 1;
                    sent += at;
                }
                None => sent += 1 << 20,
            }
        }
        assert!((230..=285).contains(&seen), "{seen} cuts in 4 GiB instead of 256");
        for never in [0.0, -1.0, f64::NAN] {
            assert_eq!(Cuts::new(never, 3).within(u64::MAX), None);
        }
    }
}
