//! When to try again, and when to give up.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    error::ClientError,
    events::{Event, Sink},
};

/// A random number in `0.0..1.0`, a parameter so that tests know it.
pub type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Longest wait that a server may ask for; a wrong header must not stop a client for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);
/// Failures in a row before giving up is considered. One failure after a slice of half an hour proves nothing.
const FAILURES_MIN: u32 = 3;

/// Jitter from the system's random numbers.
pub fn random_jitter() -> Jitter {
    Arc::new(|| {
        // Without random numbers all clients wait the middle of the interval, which still is a wait.
        getrandom::u32().map_or(0.5, |random| f64::from(random) / (f64::from(u32::MAX) + 1.0))
    })
}

/// Exponential back-off with full jitter: the n-th wait in a row is random in `0..=min(cap, base * 2^n)`.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Longest first wait.
    pub base: Duration,
    /// Longest wait.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(500), cap: Duration::from_secs(20) }
    }
}

impl Backoff {
    /// Longest wait after `failures` failures in a row, counted from 1.
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }

    /// The wait after `failures` failures in a row. What the server asks for (at most 5 minutes of it) is waited in
    /// full; the jitter comes on top, so that clients told the same second do not come back in the same second.
    pub fn wait(&self, failures: u32, jitter: f64, retry_after: Option<Duration>) -> Duration {
        let jitter = jitter.clamp(0.0, 1.0);
        match retry_after {
            Some(asked) => asked.min(RETRY_AFTER_MAX) + self.base.mul_f64(jitter),
            None => self.ceiling(failures).mul_f64(jitter),
        }
    }
}

/// Whether a `Retry-After` header or field says when to come back. Only the form in seconds is understood.
pub fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// How a caller retries.
#[derive(Clone)]
pub struct Policy {
    /// Waits between attempts.
    pub backoff: Backoff,
    /// How long nothing may move.
    pub give_up_after: Duration,
    /// Where randomness comes from.
    pub jitter: Jitter,
}

impl Policy {
    /// The default waits, giving up after `give_up_after` without progress.
    pub fn giving_up_after(give_up_after: Duration) -> Self {
        Self { backoff: Backoff::default(), give_up_after, jitter: random_jitter() }
    }
}

/// Failures in a row. Progress ends the row.
#[derive(Debug, Default)]
pub struct Trouble {
    since: Option<Instant>,
    failures: u32,
}

impl Trouble {
    /// Something moved.
    pub fn over(&mut self) {
        *self = Self::default();
    }

    /// Something failed at `now`: how long to wait before the next attempt.
    ///
    /// # Errors
    /// [`ClientError::GaveUp`] once the row has lasted as long as the policy allows.
    pub fn failed(
        &mut self,
        now: Instant,
        policy: &Policy,
        words: &str,
        retry_after: Option<Duration>,
    ) -> Result<Duration, ClientError> {
        let since = *self.since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
        let after = now.duration_since(since);
        if after >= policy.give_up_after && self.failures >= FAILURES_MIN {
            return Err(ClientError::GaveUp { after, last: words.to_owned() });
        }
        Ok(policy.backoff.wait(self.failures, (policy.jitter)(), retry_after))
    }

    /// Failures in the row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

/// Runs `attempt` until it succeeds, fails for good, or the policy gives up.
pub async fn patiently<T, F, A>(
    policy: &Policy,
    events: &Sink,
    mut attempt: A,
) -> Result<T, ClientError>
where
    A: FnMut() -> F,
    F: Future<Output = Result<T, ClientError>>,
{
    let mut trouble = Trouble::default();
    loop {
        let (words, retry_after) = match attempt().await {
            Err(ClientError::Transient { words, retry_after }) => (words, retry_after),
            settled => return settled,
        };
        let wait = trouble.failed(Instant::now(), policy, &words, retry_after)?;
        events(&Event::Waiting { why: words, wait_ms: millis(wait) });
        tokio::time::sleep(wait).await;
    }
}

/// A duration in whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(20) };

    #[test]
    fn waits_double_up_to_the_cap_and_jitter_spans_all_of_it() {
        let ceilings: Vec<_> = (1..=8).map(|n| millis(BACKOFF.ceiling(n))).collect();
        assert_eq!(ceilings, [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]);
        assert_eq!(BACKOFF.ceiling(u32::MAX), BACKOFF.cap);
        for failures in [1, 4, 40] {
            assert_eq!(BACKOFF.wait(failures, 0.0, None), Duration::ZERO);
            assert_eq!(BACKOFF.wait(failures, 0.5, None), BACKOFF.ceiling(failures) / 2);
            assert_eq!(BACKOFF.wait(failures, 7.0, None), BACKOFF.ceiling(failures));
        }
    }

    #[test]
    fn the_server_is_never_asked_earlier_than_it_said_nor_a_day_later() {
        let asked = Some(Duration::from_secs(7));
        assert_eq!(BACKOFF.wait(1, 0.0, asked), Duration::from_secs(7));
        assert_eq!(BACKOFF.wait(9, 1.0, asked), Duration::from_millis(7500));
        assert_eq!(BACKOFF.wait(1, 0.0, Some(Duration::from_hours(24))), RETRY_AFTER_MAX);
    }

    #[test]
    fn random_jitter_stays_in_its_interval_and_varies() {
        let jitter = random_jitter();
        let drawn: Vec<f64> = (0..100).map(|_| jitter()).collect();
        assert!(drawn.iter().all(|x| (0.0..1.0).contains(x)));
        assert!(drawn.iter().any(|x| (x - drawn[0]).abs() > 1e-9));
    }

    #[test]
    fn giving_up_takes_time_and_several_failures_and_progress_resets_both() {
        let policy = Policy {
            backoff: BACKOFF,
            give_up_after: Duration::from_mins(10),
            jitter: Arc::new(|| 0.0),
        };
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut trouble = Trouble::default();
        assert!(trouble.failed(at(0), &policy, "a", None).is_ok());
        assert!(trouble.failed(at(900), &policy, "b", None).is_ok(), "two failures prove little");
        let gave_up = trouble.failed(at(901), &policy, "c", None).unwrap_err();
        assert!(matches!(gave_up, ClientError::GaveUp { ref last, .. } if last == "c"));
        trouble.over();
        for secs in [901, 1000, 1200, 1400] {
            assert!(trouble.failed(at(secs), &policy, "d", None).is_ok());
        }
        assert!(trouble.failed(at(1501), &policy, "e", None).is_err());
    }
}
