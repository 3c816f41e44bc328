//! One upload of a load test: from its place to the verdict, over cuts and errors.

use std::{
    io,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::future::try_join_all;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    Load,
    pace::{Cuts, Pace},
    protocol::{Place, head},
    tally::Tally,
    wire::{Answer, Connection},
};
use crate::{
    client::{
        api::auth,
        error::ClientError,
        locked,
        plan::Plan,
        retry::{Backoff, Trouble},
        sender::{Verdict, judge},
    },
    wire::native::{ByteRange, StateName, UploadState},
};

/// How long a server that closes while it is being sent to gets for its answer.
const EARLY_ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long a server may work on an upload that has all its bytes.
const FINISH_MAX: Duration = Duration::from_mins(30);
/// Between a cut and the next request: no client notices at once, and the server works on what had arrived.
const CUT_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at such an upload.
const FINISH_PAUSES: Backoff =
    Backoff { base: Duration::from_millis(5), cap: Duration::from_millis(250) };
/// Connections that were idle for longer are not used again: the server may be about to close them.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// What one sequence of requests keeps from upload to upload.
pub(super) struct Lane {
    pub(super) connection: Option<Connection>,
    pub(super) cuts: Cuts,
    pub(super) scratch: Vec<u8>,
}

/// How one request ended.
enum Sent {
    Stored(Answer),
    /// Cut on purpose.
    Cut,
    /// It may be tried again.
    Broken {
        what: String,
        words: String,
        retry_after: Option<Duration>,
    },
    /// It will not get better.
    Refused(ClientError),
}

/// An upload on its way.
pub(super) struct Upload<'l> {
    load: &'l Load,
    place: &'l Place,
    limit: Option<&'l Pace>,
    plan: Mutex<Plan>,
    sent: AtomicU64,
    /// The state in the answer to the last request, where there was one.
    last: Mutex<Option<UploadState>>,
}

impl<'l> Upload<'l> {
    pub(super) fn new(load: &'l Load, place: &'l Place, limit: Option<&'l Pace>) -> Self {
        let mut plan = Plan::default();
        plan.reset(&[ByteRange { start: 0, end: load.plan.size }]);
        let (plan, last) = (Mutex::new(plan), Mutex::new(None));
        Self { load, place, limit, plan, sent: AtomicU64::new(0), last }
    }

    /// Sends all of it and waits for the verdict.
    pub(super) async fn run(&self, lanes: &mut [Lane]) -> Result<UploadState, ClientError> {
        let begun = Instant::now();
        let sent = try_join_all(lanes.iter_mut().map(|lane| self.send(lane))).await;
        if let Err(error) = sent {
            // Others were stopped in the middle of a request.
            close(lanes);
            return Err(error);
        }
        let all_sent = Instant::now();
        let state = self.settle(&mut lanes[0].connection).await?;
        let tally = &self.load.tally;
        tally.upload.add(begun.elapsed());
        Tally::add(&tally.done, 1);
        let again = self.sent.load(Relaxed).saturating_sub(self.load.plan.size);
        Tally::add(&tally.resent, again);
        if all_sent.elapsed() > IDLE_MAX {
            close(lanes);
        }
        Ok(state)
    }

    /// One request after the other, until no byte is left to send.
    async fn send(&self, lane: &mut Lane) -> Result<(), ClientError> {
        let (tally, policy) = (&self.load.tally, &self.load.policy);
        let mut trouble = Trouble::default();
        let most = self.load.plan.protocol.request_bytes(self.load.plan.chunk_bytes);
        loop {
            let next = locked(&self.plan).next(most, u64::MAX);
            let Some(range) = next else { return Ok(()) };
            match self.request(lane, range).await {
                Sent::Stored(answer) => {
                    self.stored(range, &answer);
                    trouble.over();
                }
                Sent::Cut => {
                    Tally::add(&tally.interruptions, 1);
                    sleep(CUT_PAUSE).await;
                    self.resync(&mut lane.connection, range).await?;
                }
                Sent::Broken { what, words, retry_after } => {
                    tally.error(&what, &words);
                    sleep(trouble.failed(Instant::now(), policy, &words, retry_after)?).await;
                    self.resync(&mut lane.connection, range).await?;
                }
                Sent::Refused(error) => return Err(error),
            }
        }
    }

    fn stored(&self, range: ByteRange, answer: &Answer) {
        Tally::add(&self.load.tally.stored, range.len());
        Tally::add(&self.load.tally.requests, 1);
        let mut plan = locked(&self.plan);
        plan.landed(range);
        // Before that the state is of no interest, and reading it costs time.
        if plan.is_drained() {
            *locked(&self.last) = serde_json::from_slice(&answer.body).ok();
        }
    }

    /// One request, and what became of it.
    async fn request(&self, lane: &mut Lane, range: ByteRange) -> Sent {
        let begun = Instant::now();
        let answer = match self.exchange(lane, range).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return Sent::Cut,
            Err(error) => {
                lane.connection = None;
                let what = format!("connection: {}", error.kind());
                return Sent::Broken { what, words: error.to_string(), retry_after: None };
            }
        };
        if !answer.keeps_alive {
            lane.connection = None;
        }
        if (200..300).contains(&answer.status) {
            self.load.tally.request.add(begun.elapsed());
            return Sent::Stored(answer);
        }
        refused(&answer)
    }

    /// The request itself; `None` if it was cut.
    async fn exchange(&self, lane: &mut Lane, range: ByteRange) -> io::Result<Option<Answer>> {
        if lane.connection.is_none() {
            lane.connection = Some(Connection::open(&self.place.data).await?);
        }
        let Some(connection) = &mut lane.connection else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let frame = self.load.plan.protocol.frame(self.place, range, self.load.plan.size);
        connection.write_all(frame.before.as_bytes()).await?;
        let cut = lane.cuts.within(range.len());
        let end = range.start + cut.unwrap_or(range.len());
        let body = ByteRange { start: range.start, end };
        if let Err(error) = self.body(connection, body, &mut lane.scratch).await {
            // A server that refuses may answer and close without reading on.
            let early = tokio::time::timeout(EARLY_ANSWER_MAX, connection.answer()).await;
            lane.connection = None;
            return early.ok().and_then(Result::ok).map_or(Err(error), |answer| Ok(Some(answer)));
        }
        if cut.is_some() {
            // Closed, not reset: a reset on loopback would throw away what the server has received and not read yet, which a
            // broken network does not.
            lane.connection = None;
            return Ok(None);
        }
        connection.write_all(frame.after.as_bytes()).await?;
        connection.answer().await.map(Some)
    }

    async fn body(
        &self,
        connection: &mut Connection,
        range: ByteRange,
        scratch: &mut Vec<u8>,
    ) -> io::Result<()> {
        let (source, total) = (&self.load.source, self.load.pace.as_ref());
        let paces = || self.limit.iter().copied().chain(total);
        let grain = paces().map(Pace::piece_bytes).min().unwrap_or(u64::MAX);
        let mut at = range.start;
        while at < range.end {
            let piece = source.piece(at, grain.min(range.end - at), scratch).await?;
            for pace in paces() {
                pace.take(piece.len() as u64).await;
            }
            let mut done = 0;
            while done < piece.len() {
                let written = source.send(connection, at + done as u64, &piece[done..]).await?;
                done += written;
                // Counted as it goes, so that what a cut or an error ended in the middle is counted too.
                self.sent.fetch_add(written as u64, Relaxed);
                Tally::add(&self.load.tally.sent, written as u64);
            }
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// After a request without an answer: what of its range has to be sent again.
    async fn resync(
        &self,
        connection: &mut Option<Connection>,
        range: ByteRange,
    ) -> Result<(), ClientError> {
        let missing = match self.state(connection).await? {
            Some(state) if state.state == StateName::Succeeded => Vec::new(),
            Some(state) if state.state.is_final() => return Err(ended(&state)),
            Some(state) => state.missing,
            // The cut came before the request had made the job.
            None if !self.load.plan.protocol.needs_job() => vec![range],
            None => {
                let words = "the upload URL leads nowhere any more".to_owned();
                return Err(ClientError::Refused { status: 404, code: String::new(), words });
            }
        };
        let again: Vec<_> = missing
            .iter()
            .map(|gap| ByteRange { start: gap.start.max(range.start), end: gap.end.min(range.end) })
            .filter(|part| part.len() > 0)
            .collect();
        let left: u64 = again.iter().map(|part| part.len()).sum();
        Tally::add(&self.load.tally.stored, range.len().saturating_sub(left));
        let mut plan = locked(&self.plan);
        plan.landed(range);
        for part in again {
            plan.failed(part);
        }
        Ok(())
    }

    /// Waits until the server has made an image of it.
    async fn settle(
        &self,
        connection: &mut Option<Connection>,
    ) -> Result<UploadState, ClientError> {
        let begun = Instant::now();
        let mut looks = 0;
        let mut known = locked(&self.last).take();
        loop {
            match known {
                Some(state) if state.state == StateName::Succeeded => return Ok(state),
                Some(state) if state.state.is_final() => return Err(ended(&state)),
                Some(_) | None => {}
            }
            if begun.elapsed() > FINISH_MAX {
                let words = "all bytes are there, but the server does not finish".to_owned();
                return Err(ClientError::Protocol { words });
            }
            looks += 1;
            sleep(FINISH_PAUSES.ceiling(looks)).await;
            known = self.state(connection).await?;
        }
    }

    /// What the server says of the upload; `None` if it knows none. Tries again as long as the policy allows.
    async fn state(
        &self,
        connection: &mut Option<Connection>,
    ) -> Result<Option<UploadState>, ClientError> {
        let mut trouble = Trouble::default();
        loop {
            let (words, retry_after) = match self.ask(connection).await {
                Ok(answer) => match judge(answer.status, answer.retry_after(), &answer.text()) {
                    Verdict::Stored(state) => return Ok(Some(*state)),
                    Verdict::Gone { .. } => return Ok(None),
                    Verdict::Fatal(error) => return Err(error),
                    Verdict::Again { words, retry_after, .. } => (words, retry_after),
                    Verdict::Resync { words } | Verdict::Damaged { words } => (words, None),
                },
                Err(error) => {
                    *connection = None;
                    (error.to_string(), None)
                }
            };
            let wait = trouble.failed(Instant::now(), &self.load.policy, &words, retry_after)?;
            self.load.tally.error("asking for the state", &words);
            sleep(wait).await;
        }
    }

    async fn ask(&self, connection: &mut Option<Connection>) -> io::Result<Answer> {
        if connection.is_none() {
            *connection = Some(Connection::open(&self.place.state).await?);
        }
        let Some(open) = connection else { return Err(io::ErrorKind::NotConnected.into()) };
        let head = head("GET", &self.place.state, self.place.authorization.as_deref()) + "\r\n";
        open.write_all(head.as_bytes()).await?;
        let answer = open.answer().await?;
        if !answer.keeps_alive {
            *connection = None;
        }
        Ok(answer)
    }
}

fn close(lanes: &mut [Lane]) {
    for lane in lanes {
        lane.connection = None;
    }
}

/// What an answer that is no success means.
fn refused(answer: &Answer) -> Sent {
    let text = answer.text();
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let part = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let what = format!("{} {}", answer.status, part("code")).trim_end().to_owned();
    let retry_after = answer.retry_after();
    match judge(answer.status, retry_after, &text) {
        Verdict::Again { words, retry_after, .. } => {
            // A refused slice has its words elsewhere.
            let words = if words.is_empty() { part("message").to_owned() } else { words };
            Sent::Broken { what, words, retry_after }
        }
        Verdict::Resync { words } | Verdict::Damaged { words } => {
            Sent::Broken { what, words, retry_after }
        }
        Verdict::Gone { words } => {
            let code = part("code").to_owned();
            Sent::Refused(ClientError::Refused { status: answer.status, code, words })
        }
        Verdict::Fatal(ClientError::Auth { words }) => Sent::Refused(auth(&words, part("code"))),
        Verdict::Fatal(error) => Sent::Refused(error),
        Verdict::Stored(_) => Sent::Broken { what, words: text, retry_after },
    }
}

fn ended(state: &UploadState) -> ClientError {
    let words = state.detail.clone().unwrap_or_else(|| "the server gives no reason".to_owned());
    ClientError::JobEnded { state: format!("{:?}", state.state), words }
}
