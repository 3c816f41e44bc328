//! Sends what is missing: a few slices at once, near each other, until the server has them all.

use std::time::Duration;

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    content::BackgroundDigests,
    error::ClientError,
    events::{Event, Phase, Sink},
    plan::{Plan, SliceSize},
    retry::{Policy, Trouble, millis},
    sender::{Sender, Verdict},
};
use crate::wire::native::{ByteRange, StateName, UploadState};

/// How often the position is reported.
const REPORT_EVERY: Duration = Duration::from_millis(200);
/// Damaged slices in a row before it is called an error: chance does not do that, broken memory does.
const DAMAGED_MAX: u32 = 5;

/// How a transfer ended without an error.
#[derive(Debug)]
pub enum End {
    /// Every byte is stored, or the job has reached a final state.
    Received(Box<UploadState>),
    /// The upload URL leads nowhere any more.
    Gone,
    /// It was told to stop.
    Stopped,
}

/// Limits of a transfer.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Slices at once.
    pub parallel: usize,
    /// Shortest slice, in bytes, to which errors bring it down.
    pub slice_bytes_min: u64,
    /// Longest slice in bytes. Of a file a slice is held in memory for each of `parallel`, of a stream twice as much.
    pub slice_bytes_max: u64,
}

impl Limits {
    /// How far the end of a slice may be from the lowest byte that is not stored, where up to `kept_beyond_bytes` more are kept than lie
    /// between them: at most `2 * parallel * slice_bytes_max` together. Enough for `parallel` slices in any case.
    pub(super) fn window_bytes(&self, kept_beyond_bytes: u64) -> u64 {
        let parallel = u64::try_from(self.parallel).unwrap_or(u64::MAX);
        let at_once = self.slice_bytes_max.saturating_mul(parallel);
        at_once.saturating_mul(2).saturating_sub(kept_beyond_bytes).max(at_once)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { parallel: 4, slice_bytes_min: 1 << 20, slice_bytes_max: 8 << 20 }
    }
}

/// One run over one upload URL.
pub struct Transfer<'a> {
    sender: &'a Sender,
    length: u64,
    limits: Limits,
    policy: &'a Policy,
    events: &'a Sink,
    stop: &'a CancellationToken,
    digests: Option<&'a BackgroundDigests>,
    plan: Plan,
    slice_size: SliceSize,
    trouble: Trouble,
    damaged: u32,
    paused_until: Option<Instant>,
    /// Missing bytes that the server's list was too short for.
    unlisted_bytes: u64,
    latest: Option<Box<UploadState>>,
    sent_bytes: u64,
}

struct Landing {
    slice: ByteRange,
    took: Duration,
    verdict: Verdict,
}

impl<'a> Transfer<'a> {
    /// A transfer of a file of `length` bytes through `sender`.
    pub fn new(
        sender: &'a Sender,
        length: u64,
        limits: Limits,
        policy: &'a Policy,
        events: &'a Sink,
        stop: &'a CancellationToken,
        digests: Option<&'a BackgroundDigests>,
    ) -> Self {
        Self {
            sender,
            length,
            limits,
            policy,
            events,
            stop,
            digests,
            plan: Plan::default(),
            slice_size: SliceSize::between(limits.slice_bytes_min, limits.slice_bytes_max),
            trouble: Trouble::default(),
            damaged: 0,
            paused_until: None,
            unlisted_bytes: 0,
            latest: None,
            sent_bytes: 0,
        }
    }

    /// Bytes of slices that this transfer brought to the server.
    pub const fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Runs to an end. Dropping it stops every slice at once.
    pub async fn run(&mut self) -> Result<End, ClientError> {
        let mut slices: JoinSet<Landing> = JoinSet::new();
        let mut report = tokio::time::interval(REPORT_EVERY);
        let mut ask = true;
        (self.events)(&Event::Phase { phase: Phase::Sending, percent: None });
        loop {
            if slices.is_empty() {
                if let Some(state) = self.latest.take_if(|state| is_complete(state, self.length)) {
                    self.report();
                    return Ok(End::Received(state));
                }
                if ask || self.plan.is_drained() {
                    if let Some(end) = self.ask().await? {
                        return Ok(end);
                    }
                    ask = false;
                    continue;
                }
            }
            if !ask && self.paused_until.is_none() {
                self.launch(&mut slices);
            }
            let wake = self.paused_until.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(End::Stopped),
                Some(landing) = slices.join_next(), if !slices.is_empty() => {
                    let landing = landing.map_err(|_| ClientError::Protocol {
                        words: "sending a slice was stopped from inside".to_owned(),
                    })?;
                    match self.landed(landing)? {
                        After::GoOn => {}
                        After::Ask => ask = true,
                        After::Gone => return Ok(End::Gone),
                    }
                }
                () = sleep_until(wake), if self.paused_until.is_some() => self.paused_until = None,
                _ = report.tick() => self.report(),
            }
        }
    }

    fn launch(&mut self, slices: &mut JoinSet<Landing>) {
        let window = self.limits.window_bytes(self.sender.kept_beyond_bytes());
        while slices.len() < self.limits.parallel {
            let Some(slice) = self.plan.next(self.slice_size.bytes(), window) else { break };
            let sender = self.sender.clone();
            slices.spawn(async move {
                let begun = Instant::now();
                let verdict = sender.send(slice).await;
                Landing { slice, took: begun.elapsed(), verdict }
            });
        }
    }

    fn landed(&mut self, landing: Landing) -> Result<After, ClientError> {
        let Landing { slice, took, verdict } = landing;
        let state = match verdict {
            Verdict::Stored(state) => state,
            other => {
                self.plan.failed(slice);
                return self.failed(other);
            }
        };
        self.plan.landed(slice);
        self.plan.stored_below(state.offset);
        self.sent_bytes += slice.len();
        self.trouble.over();
        self.damaged = 0;
        self.slice_size.landed(slice.len(), took.as_secs_f64());
        if let Some(digests) = self.digests {
            digests.sent(state.offset);
        }
        // Answers may overtake each other; an older one must not hide that all is there.
        if self.latest.as_ref().is_none_or(|old| !is_complete(old, self.length)) {
            self.latest = Some(state);
        }
        Ok(After::GoOn)
    }

    fn failed(&mut self, verdict: Verdict) -> Result<After, ClientError> {
        let (words, retry_after, after) = match verdict {
            Verdict::Stored(_) => return Ok(After::GoOn),
            Verdict::Fatal(error) => return Err(error),
            Verdict::Gone { .. } => return Ok(After::Gone),
            Verdict::Resync { words } => (words, None, After::Ask),
            Verdict::Damaged { words } => {
                self.damaged += 1;
                if self.damaged >= DAMAGED_MAX {
                    return Err(ClientError::Checksum {
                        words: format!(
                            "{DAMAGED_MAX} slices in a row arrived damaged ({words}). What was stored before is \
                             whole. Look for broken memory or a proxy that changes bodies, then run the same \
                             command again."
                        ),
                    });
                }
                (words, None, After::GoOn)
            }
            Verdict::Again { words, retry_after, slice_bytes_max } => {
                self.slice_size.failed();
                if let Some(bytes) = slice_bytes_max {
                    self.slice_size.limited(bytes);
                }
                // With nothing left on the wire the cheap question is asked before megabytes are sent in vain.
                let alone = self.plan.flying() == 0;
                (words, retry_after, if alone { After::Ask } else { After::GoOn })
            }
        };
        let wait = self.trouble.failed(Instant::now(), self.policy, &words, retry_after)?;
        (self.events)(&Event::Waiting { why: words, wait_ms: millis(wait) });
        let until = Instant::now() + wait;
        self.paused_until = Some(self.paused_until.map_or(until, |earlier| earlier.max(until)));
        Ok(after)
    }

    /// Asks for the state, patiently, and plans by it. Some: the transfer ends here.
    async fn ask(&mut self) -> Result<Option<End>, ClientError> {
        loop {
            if let Some(until) = self.paused_until.take() {
                tokio::select! {
                    () = self.stop.cancelled() => return Ok(Some(End::Stopped)),
                    () = sleep_until(until) => {}
                }
            }
            let verdict = tokio::select! {
                () = self.stop.cancelled() => return Ok(Some(End::Stopped)),
                verdict = self.sender.state() => verdict,
            };
            match verdict {
                Verdict::Stored(state) => return self.take(state),
                other => {
                    if let After::Gone = self.failed(other)? {
                        return Ok(Some(End::Gone));
                    }
                }
            }
        }
    }

    fn take(&mut self, state: Box<UploadState>) -> Result<Option<End>, ClientError> {
        if state.state == StateName::Canceling {
            let words = "it is being canceled".to_owned();
            return Err(ClientError::JobEnded { state: "Canceling".to_owned(), words });
        }
        if let Some(length) = state.length.filter(|&length| length != self.length) {
            return Err(ClientError::Protocol {
                words: format!(
                    "the server expects {length} bytes under this name, the file has {}; cancel the older upload \
                     with `longshore jobs cancel {}`",
                    self.length, state.job_uuid
                ),
            });
        }
        if is_complete(&state, self.length) {
            self.plan.reset(&[]);
            self.unlisted_bytes = 0;
            self.report();
            return Ok(Some(End::Received(state)));
        }
        let rest = [ByteRange { start: state.offset, end: self.length }];
        let missing = if state.missing.is_empty() { &rest[..] } else { &state.missing };
        if missing.iter().any(|range| range.end > self.length || range.start >= range.end) {
            let words = "the server misses bytes that the file does not have".to_owned();
            return Err(ClientError::Protocol { words });
        }
        let listed: u64 = missing.iter().map(|range| range.len()).sum();
        self.unlisted_bytes = self.length.saturating_sub(state.stored_bytes.saturating_add(listed));
        self.plan.reset(missing);
        if let Some(digests) = self.digests {
            digests.sent(state.offset);
        }
        self.report();
        Ok(None)
    }

    fn report(&self) {
        let left = self.plan.remaining_bytes().saturating_add(self.unlisted_bytes);
        let stored_bytes = self.length.saturating_sub(left);
        let moved_bytes = stored_bytes.saturating_add(self.sender.wire().bytes()).min(self.length);
        (self.events)(&Event::Progress { stored_bytes, moved_bytes, length: self.length });
    }
}

enum After {
    GoOn,
    Ask,
    Gone,
}

/// Nothing is left to send.
pub fn is_complete(state: &UploadState, length: u64) -> bool {
    state.state.is_final() || (state.missing.is_empty() && state.offset >= length)
}
