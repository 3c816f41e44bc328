//! One file from the disk to a Ready image; the same call again goes on where an earlier one stopped.

use std::{io::Read, path::Path, sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    api::{Api, JobAction},
    changed::{IfChanged, Noted, Notes},
    compare::{announce, as_declared, compare, ended_as, finish_with_events},
    content::{BackgroundDigests, Content},
    error::ClientError,
    events::{Event, Phase, Sink},
    fingerprint,
    locate::{Located, Wanted, locate, relocate},
    rate::RateLimit,
    records::NewImage,
    retry::{Backoff, Policy, Trouble, millis, patiently},
    sender::{Sender, Verdict},
    transfer::{End, Limits, Transfer, is_complete},
};
use crate::{
    domain::image_id::ImageId,
    wire::native::{StateName, UploadState},
};

/// Between two looks at a job that the server is finishing. A short image is ready within milliseconds; the digests of a long one may
/// take minutes.
const FINISH_PAUSES: Backoff =
    Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(500) };
/// How long suspending may take after Ctrl-C. The server does it by itself after half a minute of silence.
const SUSPEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How an upload is done.
#[derive(Clone)]
pub struct UploadOptions {
    /// Slices at once and their sizes.
    pub limits: Limits,
    /// An attempt in which no byte moves for so long is given up.
    pub silence_max: Duration,
    /// Whether the whole file is hashed here too and compared at the end.
    pub verify: bool,
    /// The rate that all slices share; those of other uploaders too, where it is given to them.
    pub rate: Option<Arc<RateLimit>>,
    /// The name by which the server finds the upload; by the content of the file if none is given.
    pub image_id: Option<ImageId>,
    /// What to do with a file that is not what its unfinished upload was begun with.
    pub if_changed: IfChanged,
    /// Where to note what an upload was begun with, so that a change between two calls is seen; without it samples alone show one.
    pub notes: Option<Notes>,
    /// When to try again and when to give up.
    pub policy: Policy,
}

impl UploadOptions {
    /// The defaults: 4 slices of at most 8 MiB, verified, given up after 10 minutes without progress.
    pub fn new() -> Self {
        Self {
            limits: Limits::default(),
            silence_max: Duration::from_mins(2),
            verify: true,
            rate: None,
            image_id: None,
            if_changed: IfChanged::Refuse,
            notes: None,
            policy: Policy::giving_up_after(Duration::from_mins(10)),
        }
    }
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The image an upload became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyImage {
    /// The image.
    pub image_uuid: String,
    /// The job, if one ran.
    pub job_uuid: Option<String>,
    /// MD5 by the server.
    pub md5: Option<String>,
    /// SHA-256 by the server.
    pub sha256: Option<String>,
    /// Whether the server's digests were compared with the local file's.
    pub verified: bool,
    /// Bytes that this call brought to the server.
    pub sent_bytes: u64,
}

/// How an upload ended without an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The image is there.
    Ready(ReadyImage),
    /// It was stopped; the same call goes on.
    Interrupted {
        /// The job, if it was known already.
        job_uuid: Option<String>,
        /// Whether the server confirmed that the job is suspended. If not it suspends the job itself after a while.
        suspended: bool,
        /// Whether every byte is there, so that the server finishes alone.
        all_sent: bool,
    },
}

/// Uploads files to one server.
pub struct Uploader {
    api: Api,
    options: UploadOptions,
    events: Sink,
    stop: CancellationToken,
}

impl Uploader {
    /// An uploader that reports to `events`.
    pub fn new(api: Api, options: UploadOptions, events: Sink) -> Self {
        Self { api, options, events, stop: CancellationToken::new() }
    }

    /// Ends every running and coming call of [`Self::upload`]: slices on the wire are dropped, the job is suspended,
    /// what is stored is kept. Returns at once; the calls return [`Outcome::Interrupted`].
    pub fn suspend(&self) {
        self.stop.cancel();
    }

    /// Uploads a file, or goes on with its upload, until the image is Ready and, where asked, its digests are compared.
    pub async fn upload(&self, path: &Path, image: &NewImage) -> Result<Outcome, ClientError> {
        let (content, image_id, noted) = self.open(path).await?;
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let end = self.send_all(content, image_id, &file_name, image, noted.clone()).await;
        if let (Ok(Outcome::Ready(_)), Some(noted)) = (&end, noted) {
            let _ = tokio::task::spawn_blocking(move || noted.forget()).await;
        }
        end
    }

    /// Uploads `size` bytes of a reader under `image_id`. What is not durable on the server yet is held in memory: at most
    /// `2 * parallel * slice_bytes_max`, what is on the wire among it. The same call with the same bytes from their beginning goes on
    /// with the upload: what the server has is read and hashed, and not sent.
    pub async fn upload_stream(
        &self,
        reader: Box<dyn Read + Send>,
        size: u64,
        image_id: ImageId,
        image: &NewImage,
    ) -> Result<Outcome, ClientError> {
        let content = Arc::new(Content::stream(reader, size)?);
        (self.events)(&Event::Opened { file: "-".to_owned(), length: size });
        self.send_all(content, image_id, "stdin", image, None).await
    }

    async fn send_all(
        &self,
        content: Arc<Content>,
        image_id: ImageId,
        file_name: &str,
        image: &NewImage,
        noted: Option<Noted>,
    ) -> Result<Outcome, ClientError> {
        let if_changed = self.options.if_changed;
        let wanted =
            Wanted { content: &content, image_id: &image_id, image, file_name, if_changed };
        let located = tokio::select! {
            () = self.stop.cancelled() => return Ok(stopped_before_the_job()),
            located = self.find(&wanted, noted) => located?,
        };
        let mut job = match located {
            Located::Job(job) => job,
            Located::Image(ready) => return Ok(Outcome::Ready(ready)),
        };
        let digests = self.options.verify.then(|| BackgroundDigests::start(&content));
        let (mut sent_bytes, mut fruitless) = (0, 0);
        loop {
            let silence = self.options.silence_max;
            let sender =
                Sender::new(&job.upload_url, Arc::clone(&content), &job.job_uuid, silence)?
                    .with_rate(self.options.rate.clone());
            let (end, sent) =
                self.transfer(&sender, &job.job_uuid, &content, digests.as_ref()).await?;
            sent_bytes += sent;
            fruitless = if sent > 0 { 0 } else { fruitless + 1 };
            let received = match end {
                End::Received(state) => self.settle(&sender, state, content.size()).await?,
                End::Stopped => return Ok(self.suspend_job(&job.job_uuid).await),
                End::Gone => Settled::Gone,
            };
            match received {
                Settled::Final(state) => {
                    return self.conclude(&content, *state, image, digests, sent_bytes).await;
                }
                Settled::Left => return Ok(left_to_the_server(job.job_uuid)),
                Settled::Unfinished => {}
                Settled::Gone => {
                    let lost = relocate(
                        &self.api,
                        &self.options.policy,
                        &self.events,
                        &image_id,
                        &job.job_uuid,
                        fruitless > 1,
                    );
                    let found = tokio::select! {
                        () = self.stop.cancelled() => {
                            return Ok(self.suspend_job(&job.job_uuid).await);
                        }
                        found = lost => found?,
                    };
                    match found {
                        Located::Job(again) => job = again,
                        Located::Image(ready) => {
                            let state = state_of(&ready, &job.job_uuid, content.size());
                            return self
                                .conclude(&content, state, image, digests, sent_bytes)
                                .await;
                        }
                    }
                }
            }
        }
    }

    /// Finds or makes the job, after a look whether the file is what an earlier call has begun with.
    async fn find(
        &self,
        wanted: &Wanted<'_>,
        noted: Option<Noted>,
    ) -> Result<Located, ClientError> {
        let calls = (&self.api, &self.options.policy, &self.events);
        if let Some(noted) = &noted {
            noted.check(wanted.if_changed, wanted.content.path(), calls).await?;
        }
        let located = locate(calls.0, calls.1, calls.2, wanted).await?;
        if let (Located::Job(job), Some(noted)) = (&located, noted) {
            let job = job.job_uuid.clone();
            // Before the first byte is sent: a kill right after it must find the note.
            let _ = tokio::task::spawn_blocking(move || noted.keep(&job)).await;
        }
        Ok(located)
    }

    async fn open(
        &self,
        path: &Path,
    ) -> Result<(Arc<Content>, ImageId, Option<Noted>), ClientError> {
        (self.events)(&Event::Phase { phase: Phase::Fingerprint, percent: None });
        let (owned, given) = (path.to_path_buf(), self.options.image_id.clone());
        let (kept_in, server) = (self.options.notes.clone(), self.api.server().to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let content = Content::open(&owned)?;
            let is_given = given.is_some();
            let image_id = match (given, content.file()) {
                (Some(given), _) => given,
                (None, Some(file)) => {
                    fingerprint::image_id(file, content.size()).map_err(|source| {
                        ClientError::File { path: owned, doing: "read it", source }
                    })?
                }
                (None, None) => {
                    let words = "a stream has no name of its own".to_owned();
                    return Err(ClientError::Usage { words });
                }
            };
            let noted = kept_in
                .and_then(|place| Noted::read(&place, &server, &content, &image_id, is_given));
            Ok((Arc::new(content), image_id, noted))
        });
        let stopped =
            |_| ClientError::Protocol { words: "reading the file was stopped".to_owned() };
        let (content, image_id, noted) = read.await.map_err(stopped)??;
        let file = path.display().to_string();
        (self.events)(&Event::Opened { file, length: content.size() });
        Ok((content, image_id, noted))
    }

    async fn transfer(
        &self,
        sender: &Sender,
        job: &str,
        content: &Content,
        digests: Option<&BackgroundDigests>,
    ) -> Result<(End, u64), ClientError> {
        let UploadOptions { limits, policy, .. } = &self.options;
        let (events, stop) = (&self.events, &self.stop);
        let mut transfer =
            Transfer::new(sender, content.size(), *limits, policy, events, stop, digests);
        let end = transfer.run().await;
        // The server may take minutes for the digests.
        content.free_buffers();
        let end = end.map_err(|error| suspended_by_somebody(error, job))?;
        Ok((end, transfer.sent_bytes()))
    }

    /// Waits until the server has made an image of the bytes, or says that it cannot.
    async fn settle(
        &self,
        sender: &Sender,
        mut state: Box<UploadState>,
        length: u64,
    ) -> Result<Settled, ClientError> {
        let mut trouble = Trouble::default();
        let mut looks = 0;
        loop {
            if state.state.is_final() {
                return Ok(Settled::Final(state));
            }
            if !is_complete(&state, length) {
                return Ok(Settled::Unfinished);
            }
            let wait = if state.state == StateName::Suspended {
                let why = state.detail.clone().or(state.waits_for.clone());
                let why = why.unwrap_or_else(|| "the job is suspended".to_owned());
                self.trouble(&mut trouble, why, None)?
            } else {
                trouble.over();
                let phase = Phase::of_stage(&state.stage).unwrap_or(Phase::Verifying);
                (self.events)(&Event::Phase { phase, percent: Some(state.stage_percent.min(100)) });
                looks += 1;
                FINISH_PAUSES.ceiling(looks)
            };
            match self.look(sender, wait, &mut trouble).await? {
                Looked::State(next) => state = next,
                Looked::Gone => return Ok(Settled::Gone),
                Looked::Stopped => return Ok(Settled::Left),
            }
        }
    }

    async fn look(
        &self,
        sender: &Sender,
        mut wait: Duration,
        trouble: &mut Trouble,
    ) -> Result<Looked, ClientError> {
        loop {
            let verdict = tokio::select! {
                () = self.stop.cancelled() => return Ok(Looked::Stopped),
                verdict = async { tokio::time::sleep(wait).await; sender.state().await } => verdict,
            };
            wait = match verdict {
                Verdict::Stored(state) => return Ok(Looked::State(state)),
                Verdict::Gone { .. } => return Ok(Looked::Gone),
                Verdict::Fatal(error) => return Err(error),
                Verdict::Resync { words } | Verdict::Damaged { words } => {
                    self.trouble(trouble, words, None)?
                }
                Verdict::Again { words, retry_after, .. } => {
                    self.trouble(trouble, words, retry_after)?
                }
            };
        }
    }

    fn trouble(
        &self,
        trouble: &mut Trouble,
        why: String,
        retry_after: Option<Duration>,
    ) -> Result<Duration, ClientError> {
        let wait = trouble.failed(Instant::now(), &self.options.policy, &why, retry_after)?;
        (self.events)(&Event::Waiting { why, wait_ms: millis(wait) });
        Ok(wait)
    }

    /// Compares the digests and says what became of the upload.
    async fn conclude(
        &self,
        content: &Arc<Content>,
        state: UploadState,
        image: &NewImage,
        digests: Option<BackgroundDigests>,
        sent_bytes: u64,
    ) -> Result<Outcome, ClientError> {
        as_declared(&state, &image.expected)?;
        if state.state != StateName::Succeeded {
            let words = state.detail.unwrap_or_else(|| "the server gives no reason".to_owned());
            let name = if state.state == StateName::Canceled { "Canceled" } else { "Failed" };
            return Err(ended_as(name, words, state.reason));
        }
        let mut verified = false;
        if let Some(digests) = digests {
            let local = tokio::select! {
                () = self.stop.cancelled() => return Ok(left_to_the_server(state.job_uuid)),
                local = finish_with_events(digests, content.size(), &self.events) => local?,
            };
            verified = compare(content, &state, &local)?;
            if !verified {
                let words =
                    "the server keeps no digest of this image; nothing was compared".to_owned();
                (self.events)(&Event::Note { words });
            }
        }
        let UploadState { job_uuid, image_uuid, md5, sha256, .. } = state;
        let job_uuid = Some(job_uuid);
        let ready = ReadyImage { image_uuid, job_uuid, md5, sha256, verified, sent_bytes };
        announce(&self.events, &ready);
        Ok(Outcome::Ready(ready))
    }

    async fn suspend_job(&self, job: &str) -> Outcome {
        let suspend = || self.api.act(job, JobAction::Suspend);
        let patient = patiently(&self.options.policy, &self.events, suspend);
        let suspended = matches!(tokio::time::timeout(SUSPEND_TIMEOUT, patient).await, Ok(Ok(())));
        Outcome::Interrupted { job_uuid: Some(job.to_owned()), suspended, all_sent: false }
    }
}

enum Settled {
    Final(Box<UploadState>),
    Unfinished,
    Gone,
    Left,
}

enum Looked {
    State(Box<UploadState>),
    Gone,
    Stopped,
}

fn state_of(ready: &ReadyImage, job: &str, length: u64) -> UploadState {
    UploadState {
        upload_uuid: String::new(),
        job_uuid: job.to_owned(),
        image_uuid: ready.image_uuid.clone(),
        state: StateName::Succeeded,
        stage: "publishing".to_owned(),
        stage_percent: 100,
        waits_for: None,
        length: Some(length),
        offset: length,
        stored_bytes: length,
        missing: Vec::new(),
        md5: ready.md5.clone(),
        sha256: ready.sha256.clone(),
        detail: None,
        reason: None,
    }
}

/// The server speaks of jobs; a person at this end needs the command.
fn suspended_by_somebody(error: ClientError, job: &str) -> ClientError {
    let ClientError::Suspended { .. } = error else { return error };
    let words = format!(
        "job {job} was suspended while it was being sent. What was sent is kept; the same command resumes it and sends \
         the rest (`longshore jobs resume {job}` only resumes it)"
    );
    ClientError::Suspended { words }
}

fn stopped_before_the_job() -> Outcome {
    Outcome::Interrupted { job_uuid: None, suspended: false, all_sent: false }
}

fn left_to_the_server(job: String) -> Outcome {
    Outcome::Interrupted { job_uuid: Some(job), suspended: false, all_sent: true }
}
