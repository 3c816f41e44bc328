//! The data plane: one upload URL, one slice per request.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use reqwest::{Url, header};
use tokio::time::Instant;

use super::{
    api::body_text, content::Content, error::ClientError, http_client, rate::RateLimit, retry,
};
use crate::wire::{
    native::{ByteRange, UploadState},
    problem::{Problem, code},
    reason::ReasonName,
};

/// Bytes handed to the connection at once: the grain of the progress and of the watch for silence.
const GRAIN_BYTES: usize = 64 << 10;
/// Asking for the state is small; longer silence is a broken connection.
const STATE_TIMEOUT: Duration = Duration::from_secs(30);

/// What an answer (or none) means for a slice.
#[derive(Debug)]
pub enum Verdict {
    /// The slice is durable; the state after it.
    Stored(Box<UploadState>),
    /// Time may heal it: send it again.
    Again {
        /// What happened.
        words: String,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
        /// The longest slice that the server takes, where it said so.
        slice_bytes_max: Option<u64>,
    },
    /// The bytes do not fit where the upload stands: ask for the state.
    Resync {
        /// What the server said.
        words: String,
    },
    /// The slice did not match its checksum on arrival.
    Damaged {
        /// What the server said.
        words: String,
    },
    /// The upload URL leads nowhere any more.
    Gone {
        /// What the server said.
        words: String,
    },
    /// It will not get better.
    Fatal(ClientError),
}

/// Reads an answer of the upload URL. Pure: status, `Retry-After` and body decide.
pub fn judge(status: u16, retry_after: Option<Duration>, body: &str) -> Verdict {
    if (200..300).contains(&status) {
        return match serde_json::from_str(body) {
            Ok(state) => Verdict::Stored(Box::new(state)),
            Err(error) => Verdict::Fatal(ClientError::Protocol {
                words: format!("the upload URL answered {status} with {error}"),
            }),
        };
    }
    let problem = serde_json::from_str(body).unwrap_or_else(|_| {
        Problem::new(status, "", "", format!("the upload URL answered HTTP {status}"))
    });
    let words = match problem.request_id.as_str() {
        "" => problem.words().to_owned(),
        id => format!("{} (request {id})", problem.words()),
    };
    let retry_after = problem.retry_after_ms.map(Duration::from_millis).or(retry_after);
    let slice_bytes_max = problem.suggested_chunk_bytes;
    let again = |words| Verdict::Again { words, retry_after, slice_bytes_max };
    match (status, problem.code.as_str()) {
        (_, code::CHECKSUM_MISMATCH) => Verdict::Damaged { words },
        _ if problem.reason == Some(ReasonName::Digests) => {
            Verdict::Fatal(ClientError::Checksum { words })
        }
        (_, code::SUSPENDED) => Verdict::Fatal(ClientError::Suspended { words }),
        (507, _) | (_, code::NO_SPACE | code::QUOTA) => {
            Verdict::Fatal(ClientError::Space { words })
        }
        (401 | 403, _) => Verdict::Fatal(ClientError::Auth { words }),
        (404 | 410, _) => Verdict::Gone { words },
        (413, _) if slice_bytes_max.is_some() => again(words),
        (409 | 416, _) => Verdict::Resync { words },
        (408 | 423 | 425 | 429 | 500..=599, _) => again(words),
        (_, code) => Verdict::Fatal(ClientError::Refused { status, code: code.to_owned(), words }),
    }
}

/// Bytes on the wire that no answer has confirmed yet.
#[derive(Debug, Default)]
pub struct Wire(AtomicU64);

impl Wire {
    /// How many.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one attempt has handed to its connection; taken off the wire when the attempt ends, however it ends.
struct Attempt {
    wire: Arc<Wire>,
    handed: AtomicU64,
}

impl Attempt {
    fn hand(&self, bytes: u64) {
        self.handed.fetch_add(bytes, Ordering::Relaxed);
        self.wire.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.wire.0.fetch_sub(self.handed.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Sends slices of one file to one upload URL.
#[derive(Clone)]
pub struct Sender {
    http: reqwest::Client,
    url: Url,
    content: Arc<Content>,
    job: String,
    silence_max: Duration,
    wire: Arc<Wire>,
    rate: Option<Arc<RateLimit>>,
}

impl Sender {
    /// For the upload URL of `job`. An attempt in which nothing moves for `silence_max` is given up.
    pub fn new(
        url: &str,
        content: Arc<Content>,
        job: &str,
        silence_max: Duration,
    ) -> Result<Self, ClientError> {
        let url: Url = url.parse().map_err(|_| ClientError::Protocol {
            words: "the server gave an upload URL that is none".to_owned(),
        })?;
        let http = http_client(&url)?;
        let wire = Arc::default();
        Ok(Self { http, url, content, job: job.to_owned(), silence_max, wire, rate: None })
    }

    /// The same under a limit, which others may share.
    #[must_use]
    pub fn with_rate(self, rate: Option<Arc<RateLimit>>) -> Self {
        Self { rate, ..self }
    }

    /// The counter of bytes on the wire.
    pub fn wire(&self) -> Arc<Wire> {
        Arc::clone(&self.wire)
    }

    /// Most bytes that the content keeps although nobody asks for them again.
    pub(super) fn kept_beyond_bytes(&self) -> u64 {
        self.content.kept_beyond_bytes()
    }

    /// The state of the upload, in one attempt.
    pub async fn state(&self) -> Verdict {
        let answer = self.http.get(self.url.clone()).timeout(STATE_TIMEOUT).send().await;
        self.noted(read_verdict(answer).await)
    }

    /// What the server has made durable need not be held here.
    fn noted(&self, verdict: Verdict) -> Verdict {
        if let Verdict::Stored(state) = &verdict {
            self.content.release(state.offset);
        }
        verdict
    }

    /// Reads a slice from the file on a blocking thread and sends it, in one attempt.
    pub async fn send(&self, slice: ByteRange) -> Verdict {
        let (content, job) = (Arc::clone(&self.content), self.job.clone());
        let read = tokio::task::spawn_blocking(move || content.slice(slice, &job)).await;
        let (pieces, checksum) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Verdict::Fatal(error),
            Err(_) => {
                return again("reading the slice was stopped");
            }
        };
        let attempt = Arc::new(Attempt { wire: self.wire(), handed: AtomicU64::new(0) });
        let total = self.content.size();
        let range = format!("bytes {}-{}/{total}", slice.start, slice.end - 1);
        let request = self
            .http
            .put(self.url.clone())
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_RANGE, range)
            .header(header::CONTENT_LENGTH, slice.len())
            .header("Content-Digest", content_digest(checksum))
            .body(body(pieces, Arc::clone(&attempt), self.rate.clone()));
        tokio::select! {
            verdict = async { read_verdict(request.send().await).await } => self.noted(verdict),
            () = silence(&attempt, self.silence_max) => again("the server took no bytes for too long"),
        }
    }
}

fn again(words: &str) -> Verdict {
    Verdict::Again { words: words.to_owned(), retry_after: None, slice_bytes_max: None }
}

/// `Content-Digest` of RFC 9530 with a CRC-32C, big-endian.
pub fn content_digest(checksum: u32) -> String {
    format!("crc32c=:{}:", BASE64_STANDARD.encode(checksum.to_be_bytes()))
}

/// The slice in grains, counted as the connection takes them.
fn body(pieces: Vec<Bytes>, attempt: Arc<Attempt>, rate: Option<Arc<RateLimit>>) -> reqwest::Body {
    let grain_bytes = rate.as_ref().map_or(GRAIN_BYTES, |rate| rate.grain_bytes());
    let pieces = VecDeque::from(pieces);
    reqwest::Body::wrap_stream(futures::stream::unfold(pieces, move |mut left| {
        let grain = next_grain(&mut left, grain_bytes);
        let (attempt, rate) = (Arc::clone(&attempt), rate.clone());
        async move {
            let grain = grain?;
            if let Some(rate) = rate {
                rate.take(grain.len()).await;
            }
            attempt.hand(grain.len() as u64);
            Some((Ok::<_, std::io::Error>(grain), left))
        }
    }))
}

/// A piece goes as soon as its last byte is handed over.
fn next_grain(left: &mut VecDeque<Bytes>, grain_bytes: usize) -> Option<Bytes> {
    let first = left.front_mut()?;
    let grain = first.split_to(first.len().min(grain_bytes));
    if first.is_empty() {
        left.pop_front();
    }
    Some(grain)
}

/// Ends when nothing was handed over for `limit`. After the last byte the same limit holds for the answer.
async fn silence(attempt: &Attempt, limit: Duration) {
    let (mut seen, mut since) = (0, Instant::now());
    while since.elapsed() < limit {
        tokio::time::sleep((limit / 4).min(Duration::from_secs(1))).await;
        let handed = attempt.handed.load(Ordering::Relaxed);
        if handed != seen {
            (seen, since) = (handed, Instant::now());
        }
    }
}

async fn read_verdict(answer: reqwest::Result<reqwest::Response>) -> Verdict {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return verdict_of(ClientError::of_request(&error)),
    };
    let status = answer.status().as_u16();
    let retry_after = retry::retry_after(answer.headers());
    match body_text(answer).await {
        Ok(text) => judge(status, retry_after, &text),
        Err(error) => verdict_of(error),
    }
}

fn verdict_of(error: ClientError) -> Verdict {
    match error {
        ClientError::Transient { words, retry_after } => {
            Verdict::Again { words, retry_after, slice_bytes_max: None }
        }
        fatal => Verdict::Fatal(fatal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::error::ErrorKind;

    fn kind_of(status: u16, code: &str) -> String {
        let body = serde_json::to_string(&Problem::new(status, code, "t", "d")).unwrap();
        match judge(status, None, &body) {
            Verdict::Stored(_) => "stored".to_owned(),
            Verdict::Again { .. } => "again".to_owned(),
            Verdict::Resync { .. } => "resync".to_owned(),
            Verdict::Damaged { .. } => "damaged".to_owned(),
            Verdict::Gone { .. } => "gone".to_owned(),
            Verdict::Fatal(error) => format!("{:?}", error.kind()),
        }
    }

    #[test]
    fn every_answer_of_the_protocol_has_its_meaning() {
        for (status, code, meaning) in [
            (400, code::CHECKSUM_MISMATCH, "damaged"),
            (409, code::WRONG_OFFSET, "resync"),
            (409, code::SUSPENDED, "Resumable"),
            (410, code::GONE, "gone"),
            (404, code::NOT_FOUND, "gone"),
            (416, code::BAD_RANGE, "resync"),
            (413, code::QUOTA, "Space"),
            (413, code::CHUNK_TOO_LARGE, "Server"),
            (423, code::LOCKED, "again"),
            (429, "", "again"),
            (500, "", "again"),
            (503, code::BUSY, "again"),
            (507, code::NO_SPACE, "Space"),
            (401, code::UNAUTHENTICATED, "Auth"),
            (422, code::UNSAFE_IMAGE, "Server"),
            (400, "bad_header", "Server"),
        ] {
            assert_eq!(kind_of(status, code), meaning, "{status} {code}");
        }
    }

    #[test]
    fn other_digests_than_declared_are_told_by_the_reason() {
        let mut problem = Problem::new(422, code::UNSAFE_IMAGE, "t", "in other words");
        let kind = |problem: &Problem| {
            let body = serde_json::to_string(problem).unwrap();
            let Verdict::Fatal(error) = judge(422, None, &body) else { panic!("not fatal") };
            error.kind()
        };
        problem.reason = Some(ReasonName::Digests);
        assert_eq!(kind(&problem), ErrorKind::Checksum);
        problem.reason = Some(ReasonName::Content);
        "it does not have the declared form".clone_into(&mut problem.detail);
        assert_eq!(kind(&problem), ErrorKind::Server);
    }

    #[test]
    fn what_the_server_suggests_is_taken() {
        let mut problem = Problem::new(413, code::CHUNK_TOO_LARGE, "t", "d");
        problem.suggested_chunk_bytes = Some(5);
        problem.retry_after_ms = Some(1500);
        problem.request_id = "r1".to_owned();
        let body = serde_json::to_string(&problem).unwrap();
        let Verdict::Again { words, retry_after, slice_bytes_max } =
            judge(413, Some(Duration::from_secs(9)), &body)
        else {
            panic!("not again");
        };
        assert_eq!((words.as_str(), slice_bytes_max), ("d (request r1)", Some(5)));
        assert_eq!(retry_after, Some(Duration::from_millis(1500)), "the finer one wins");
        assert_eq!(judge_error_kind(200, "no json"), ErrorKind::Server);
    }

    fn judge_error_kind(status: u16, body: &str) -> ErrorKind {
        let Verdict::Fatal(error) = judge(status, None, body) else { panic!("not fatal") };
        error.kind()
    }

    #[test]
    fn the_checksum_is_a_byte_sequence_in_base64() {
        assert_eq!(content_digest(0xe306_9283), "crc32c=:4waSgw==:");
    }
}
