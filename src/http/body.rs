//! The body of a request as a stream that ends: by its end, by a break, by silence or by slowness.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{HttpRequest, error::PayloadError, web::Payload};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{App, HttpSettings};
use crate::uploads::{BodyError, Party};

/// How long a body may be silent, and how slow.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Longest silence.
    pub idle: Duration,
    /// Fewest bytes a second.
    pub rate_min_bytes: u64,
    /// Time over which the rate is measured.
    pub rate_window: Duration,
}

impl BodyLimits {
    /// As configured.
    pub const fn of(settings: &HttpSettings) -> Self {
        Self {
            idle: settings.body_idle,
            rate_min_bytes: settings.body_rate_min_bytes,
            rate_window: settings.body_rate_window,
        }
    }

    fn window_bytes_min(&self) -> u64 {
        let window_ms = u64::try_from(self.rate_window.as_millis()).unwrap_or(u64::MAX);
        self.rate_min_bytes.saturating_mul(window_ms) / 1000
    }
}

/// A body under limits. Time counts only while we wait for the client: a slow disk of ours is not the client's fault.
///
/// After an error the stream has ended.
pub struct LimitedBody<S> {
    inner: S,
    limits: BodyLimits,
    alarm: Pin<Box<Sleep>>,
    /// Since when we have been waiting for the next bytes.
    waiting_since: Option<Instant>,
    /// Time waited for and bytes received in the window before that.
    window_waited: Duration,
    window_bytes: u64,
    has_ended: bool,
}

impl<S> LimitedBody<S> {
    /// Puts a body under limits.
    pub fn new(inner: S, limits: BodyLimits) -> Self {
        Self {
            inner,
            limits,
            alarm: Box::pin(sleep_until(Instant::now())),
            waiting_since: None,
            window_waited: Duration::ZERO,
            window_bytes: 0,
            has_ended: false,
        }
    }

    /// Whether the body is over: nothing of it is left to read.
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn received(&mut self, bytes: u64) -> Result<(), BodyError> {
        if let Some(since) = self.waiting_since.take() {
            self.window_waited += since.elapsed();
        }
        self.window_bytes = self.window_bytes.saturating_add(bytes);
        self.check_window(self.window_waited)
    }

    fn check_window(&mut self, waited: Duration) -> Result<(), BodyError> {
        if waited < self.limits.rate_window {
            return Ok(());
        }
        let enough = self.window_bytes >= self.limits.window_bytes_min();
        self.window_bytes = 0;
        self.window_waited = Duration::ZERO;
        if let Some(since) = &mut self.waiting_since {
            *since = Instant::now();
        }
        let slow = BodyError::TooSlow { bytes_per_sec: self.limits.rate_min_bytes };
        if enough { Ok(()) } else { Err(slow) }
    }
}

/// What a body says when it breaks off.
pub trait Broken {
    /// In our terms.
    fn as_body_error(&self) -> BodyError;
}

impl Broken for PayloadError {
    fn as_body_error(&self) -> BodyError {
        match self {
            Self::EncodingCorrupted => BodyError::Malformed("its transfer encoding is broken"),
            Self::Overflow | Self::UnknownLength => BodyError::Malformed("its length is not clear"),
            // Not our enum and not exhaustive: whatever comes, the connection is of no more use.
            _ => BodyError::Broken,
        }
    }
}

impl<S, E> Stream for LimitedBody<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Broken,
{
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.has_ended {
            return Poll::Ready(None);
        }
        loop {
            let result = match this.inner.poll_next_unpin(cx) {
                Poll::Ready(None) => {
                    this.has_ended = true;
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(bytes))) => {
                    this.received(bytes.len() as u64).map(|()| Some(bytes))
                }
                Poll::Ready(Some(Err(error))) => Err(error.as_body_error()),
                Poll::Pending => match this.poll_limits(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(error)) => Err(error),
                },
            };
            this.has_ended = result.is_err();
            return Poll::Ready(result.transpose());
        }
    }
}

impl<S> LimitedBody<S> {
    /// Ready when a limit was reached (error) or a window ended well (poll again).
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let now = Instant::now();
        let since = *self.waiting_since.get_or_insert(now);
        let window_left = self.limits.rate_window.saturating_sub(self.window_waited);
        self.alarm.as_mut().reset(since + self.limits.idle.min(window_left));
        if self.alarm.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let waited = now.duration_since(since);
        if waited >= self.limits.idle {
            return Poll::Ready(Err(BodyError::Idle { secs: self.limits.idle.as_secs() }));
        }
        Poll::Ready(self.check_window(self.window_waited + waited))
    }
}

/// A request's body under the configured limits.
pub type RequestBody = LimitedBody<Payload>;

/// Reads away what is left, as far as it is small: a client that is still sending when the answer comes may never read it.
/// Whether the end was reached; if not, the connection is closed after the answer.
pub async fn drain_rest<S>(body: &mut S, bytes_max: u64, wait_max: Duration) -> bool
where
    S: Stream<Item = Result<Bytes, BodyError>> + Unpin,
{
    let drained = async {
        let mut left = bytes_max;
        while let Some(bytes) = body.next().await {
            let Some(rest) = bytes.ok().and_then(|b| left.checked_sub(b.len() as u64)) else {
                return false;
            };
            left = rest;
        }
        true
    };
    tokio::time::timeout(wait_max, drained).await.unwrap_or(false)
}

/// The same for a body that is refused, as long as its address has not too many of them: then the connection is closed at once.
pub async fn drain_refused(
    app: &App,
    request: &HttpRequest,
    body: &mut RequestBody,
    bytes_max: u64,
    wait_max: Duration,
) {
    let party = Party::Refused(app.settings.trusted_proxies.client(request));
    if let Ok(_admission) = app.uploads.admit_request(party) {
        drain_rest(body, bytes_max, wait_max).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use tokio::time::sleep;

    use super::*;

    impl Broken for () {
        fn as_body_error(&self) -> BodyError {
            BodyError::Broken
        }
    }

    const fn limits(idle_ms: u64, window_ms: u64) -> BodyLimits {
        BodyLimits {
            idle: Duration::from_millis(idle_ms),
            rate_min_bytes: 1024,
            rate_window: Duration::from_millis(window_ms),
        }
    }

    /// Sends `bytes` every `pause_ms`, `times` times, then breaks off.
    fn drip(
        bytes: usize,
        pause_ms: u64,
        times: u64,
    ) -> impl Stream<Item = Result<Bytes, ()>> + Unpin {
        Box::pin(stream::unfold(0, move |done| async move {
            if done > times {
                return None;
            }
            sleep(Duration::from_millis(pause_ms)).await;
            let item = if done == times { Err(()) } else { Ok(Bytes::from(vec![7; bytes])) };
            Some((item, done + 1))
        }))
    }

    async fn read<S>(body: S, limits: BodyLimits) -> (usize, BodyError)
    where
        S: Stream<Item = Result<Bytes, ()>> + Unpin,
    {
        let mut body = LimitedBody::new(body, limits);
        let mut total = 0;
        loop {
            match body.next().await.expect("ends with an error") {
                Ok(bytes) => total += bytes.len(),
                Err(error) => {
                    assert!(body.next().await.is_none(), "nothing comes after an error");
                    return (total, error);
                }
            }
        }
    }

    #[tokio::test]
    async fn silence_ends_a_body_and_what_came_is_handed_on() {
        let (total, error) = read(drip(1 << 20, 5, 3), limits(60_000, 60_000)).await;
        assert_eq!((total, error), (3 << 20, BodyError::Broken), "short pauses are fine");

        let silent = stream::iter([Ok(Bytes::from(vec![0; 10]))]).chain(stream::pending());
        let begun = Instant::now();
        let (total, error) = read(silent, limits(200, 60_000)).await;
        assert_eq!((total, error), (10, BodyError::Idle { secs: 0 }));
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }

    #[tokio::test]
    async fn slowness_ends_a_body_after_a_window() {
        // 1 MiB every 5 ms over several windows: fast enough.
        let (total, error) = read(drip(1 << 20, 5, 40), limits(60_000, 50)).await;
        assert_eq!((total, error), (40 << 20, BodyError::Broken));

        // A byte every 5 ms is under 1 KiB/s.
        let begun = Instant::now();
        let (total, error) = read(drip(1, 5, 10_000), limits(60_000, 500)).await;
        assert_eq!(error, BodyError::TooSlow { bytes_per_sec: 1024 });
        assert!((1..=100).contains(&total), "{total}");
        assert!(begun.elapsed() >= Duration::from_millis(500));

        // One burst does not buy slowness for ever: the next window counts anew.
        let burst = stream::iter([Ok(Bytes::from(vec![0; 1 << 20]))]).chain(drip(1, 5, 10_000));
        let (_, error) = read(burst, limits(60_000, 200)).await;
        assert_eq!(error, BodyError::TooSlow { bytes_per_sec: 1024 });
    }

    #[tokio::test]
    async fn time_that_we_take_ourselves_does_not_count() {
        let ready = stream::iter((0..4).map(|_| Ok::<_, ()>(Bytes::from_static(b"x"))));
        let mut body = LimitedBody::new(ready.chain(stream::iter([Err(())])), limits(20, 20));
        for _ in 0..4 {
            assert!(body.next().await.unwrap().is_ok());
            sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(body.next().await, Some(Err(BodyError::Broken)));
    }

    #[tokio::test]
    async fn only_a_small_rest_is_drained() {
        let blocks = || stream::iter((0..8).map(|_| Ok(Bytes::from(vec![0; 1024]))));
        let wait = Duration::from_millis(100);
        assert!(drain_rest(&mut blocks(), 8192, wait).await);
        assert!(!drain_rest(&mut blocks(), 8191, wait).await);
        let mut silent = stream::pending::<Result<Bytes, BodyError>>();
        assert!(!drain_rest(&mut silent, 8192, wait).await);
    }
}
