//! An image to a local file: goes on where an earlier call stopped, and is renamed only when its digests are right.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use reqwest::{Method, Response, header};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    api::{Api, segment},
    digests::{LocalDigests, RunningDigests},
    error::ClientError,
    events::{Event, Phase, Sink},
    records::ImageView,
    retry::{self, Policy, Trouble, millis, patiently},
};

/// Parts of the body on their way to the disk.
const QUEUE_PARTS: usize = 64;
/// Between two reports.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// A download that is to be done.
pub struct Download<'a> {
    /// Where from.
    pub api: &'a Api,
    /// When to try again and when to give up.
    pub policy: &'a Policy,
    /// A connection in which no byte moves for so long is given up.
    pub silence_max: Duration,
    /// Who is told.
    pub events: &'a Sink,
    /// Ends it, with everything that came kept.
    pub stop: &'a CancellationToken,
}

/// How a download ended without an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Downloaded {
    /// The file is whole and in its place.
    Done {
        /// Its bytes.
        bytes: u64,
        /// Whether the server knew a digest to compare with.
        verified: bool,
    },
    /// It was stopped; the same call goes on.
    Stopped {
        /// Where the bytes are that came.
        part: PathBuf,
    },
}

/// Where the bytes of an image lie until they are whole: beside the target, with the image's uuid in the name, so that
/// two images never share a part.
pub fn part_path(target: &Path, uuid: &str) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".{}.part", uuid.chars().take(8).collect::<String>()));
    name.into()
}

impl Download<'_> {
    /// Brings a Ready image to `target`, which must not exist unless `replace`.
    ///
    /// # Errors
    /// [`ClientError::Checksum`] if the digests are not those of the record; the part is removed then, since nobody
    /// knows which of its bytes are wrong.
    pub async fn run(
        &self,
        image: &ImageView,
        target: &Path,
        replace: bool,
    ) -> Result<Downloaded, ClientError> {
        if image.status != "Ready" {
            return Err(ClientError::Refused {
                status: 0,
                code: "not_ready".to_owned(),
                words: format!("image {} is {}, not Ready", image.uuid, image.status),
            });
        }
        let part = part_path(target, &image.uuid);
        let place = target.to_path_buf();
        if blocking(move || Ok(!replace && place.exists())).await? {
            let words = format!("{} exists; give --force to replace it", target.display());
            return Err(ClientError::Usage { words });
        }
        (self.events)(&Event::Opened {
            file: target.display().to_string(),
            length: image.actual_size,
        });
        let Some(digests) = self.fetch(image, &part).await? else {
            return Ok(Downloaded::Stopped { part });
        };
        let verified = match compare(image, &digests) {
            Ok(verified) => verified,
            Err(error) => {
                blocking(move || remove(&part)).await?;
                return Err(error);
            }
        };
        let place = target.to_path_buf();
        blocking(move || {
            std::fs::rename(&part, &place).map_err(failed(&place, "put the whole file there"))
        })
        .await?;
        (self.events)(&Event::Phase { phase: Phase::Ready, percent: None });
        Ok(Downloaded::Done { bytes: image.actual_size, verified })
    }

    /// Fills the part; its digests, or `None` if stopped.
    async fn fetch(
        &self,
        image: &ImageView,
        part: &Path,
    ) -> Result<Option<LocalDigests>, ClientError> {
        let mut trouble = Trouble::default();
        let mut writer = Writer::open(part, image.actual_size).await?;
        (self.events)(&Event::Phase { phase: Phase::Receiving, percent: None });
        while writer.have < image.actual_size {
            let before = writer.have;
            let end = tokio::select! {
                () = self.stop.cancelled() => {
                    writer.close().await?;
                    return Ok(None);
                }
                end = self.attempt(image, &mut writer) => end,
            };
            if writer.have > before {
                trouble.over();
            }
            let (words, retry_after) = match end {
                Ok(Attempted::Moved) if writer.have > before => continue,
                Ok(Attempted::Moved) => ("the server sent no bytes".to_owned(), None),
                // The thread ends early only with an error, which closing brings to light.
                Ok(Attempted::NotWritten) => return writer.close().await.map(|_| None),
                Ok(Attempted::FromTheStart) => {
                    writer.close().await?;
                    let stale = part.to_path_buf();
                    blocking(move || remove(&stale)).await?;
                    writer = Writer::open(part, image.actual_size).await?;
                    ("the server began the image again".to_owned(), None)
                }
                Err(ClientError::Transient { words, retry_after }) => (words, retry_after),
                Err(fatal) => {
                    writer.close().await?;
                    return Err(fatal);
                }
            };
            let wait = trouble.failed(Instant::now(), self.policy, &words, retry_after)?;
            (self.events)(&Event::Waiting { why: words, wait_ms: millis(wait) });
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.report(writer.have, image.actual_size);
        (self.events)(&Event::Phase { phase: Phase::Verifying, percent: None });
        writer.close().await.map(Some)
    }

    async fn attempt(
        &self,
        image: &ImageView,
        writer: &mut Writer,
    ) -> Result<Attempted, ClientError> {
        let url = self.api.url(&format!("images/{}/content", segment(&image.uuid)))?;
        let mut request = self.api.request(Method::GET, url);
        if writer.have > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", writer.have));
        }
        let silent = |_| ClientError::Transient {
            words: "the server sent no bytes for too long".to_owned(),
            retry_after: None,
        };
        let answer = timeout(self.silence_max, request.send()).await.map_err(silent)?;
        let mut answer = answer.map_err(|error| ClientError::of_request(&error))?;
        match answer.status().as_u16() {
            200 if writer.have > 0 => return Ok(Attempted::FromTheStart),
            206 if range_start(&answer) != Some(writer.have) => {
                return Err(ClientError::Protocol {
                    words: "the server sent another range than was asked for".to_owned(),
                });
            }
            200 | 206 => {}
            416 => return Ok(Attempted::FromTheStart),
            status => return Err(refusal(status, &answer)),
        }
        let mut reported = Instant::now();
        loop {
            let piece = timeout(self.silence_max, answer.chunk()).await.map_err(silent)?;
            let Some(piece) = piece.map_err(|error| ClientError::of_request(&error))? else {
                return Ok(Attempted::Moved);
            };
            if writer.have + piece.len() as u64 > image.actual_size {
                let words = "the server sent more bytes than the image has".to_owned();
                return Err(ClientError::Protocol { words });
            }
            if !writer.write(piece).await {
                return Ok(Attempted::NotWritten);
            }
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                self.report(writer.have, image.actual_size);
            }
        }
    }

    fn report(&self, have: u64, length: u64) {
        (self.events)(&Event::Progress { stored_bytes: have, moved_bytes: have, length });
    }
}

enum Attempted {
    Moved,
    NotWritten,
    FromTheStart,
}

/// The record of an image, patiently.
pub async fn find_image(
    api: &Api,
    policy: &Policy,
    events: &Sink,
    uuid: &str,
) -> Result<ImageView, ClientError> {
    let found = patiently(policy, events, || api.image(uuid)).await?;
    found.ok_or_else(|| ClientError::Refused {
        status: 404,
        code: "not_found".to_owned(),
        words: format!("there is no image {uuid}; `longshore images list` shows those you have"),
    })
}

fn range_start(answer: &Response) -> Option<u64> {
    let text = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

fn refusal(status: u16, answer: &Response) -> ClientError {
    let words = format!("the server answered HTTP {status} to the download");
    match status {
        401 | 403 => ClientError::Auth {
            words: format!("{words}: log in with `longshore login`, then run the command again"),
        },
        408 | 425 | 429 | 500..=599 => {
            ClientError::Transient { words, retry_after: retry::retry_after(answer.headers()) }
        }
        _ => ClientError::Refused { status, code: String::new(), words },
    }
}

fn compare(
    image: &ImageView,
    LocalDigests { md5, sha256 }: &LocalDigests,
) -> Result<bool, ClientError> {
    let mut compared = false;
    for (name, theirs, ours) in [("SHA-256", image.sha256(), sha256), ("MD5", image.md5(), md5)] {
        let Some(theirs) = theirs else { continue };
        if !theirs.eq_ignore_ascii_case(ours) {
            return Err(ClientError::Checksum {
                words: format!(
                    "what arrived is not the image: its {name} is {ours}, the record says {theirs}. The bytes that \
                     came are removed; run the same command again, and if it happens again look for a proxy that \
                     changes bodies or a broken disk."
                ),
            });
        }
        compared = true;
    }
    Ok(compared)
}

fn remove(part: &Path) -> Result<(), ClientError> {
    match std::fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(part, "remove it")(error))
        }
        _ => Ok(()),
    }
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> ClientError {
    let path = path.to_path_buf();
    move |source| ClientError::File { path, doing, source }
}

/// A thread that writes and hashes; the part's earlier bytes are hashed first.
struct Writer {
    parts: mpsc::Sender<Bytes>,
    thread: JoinHandle<Result<LocalDigests, ClientError>>,
    have: u64,
}

impl Writer {
    async fn open(part: &Path, length_max: u64) -> Result<Self, ClientError> {
        let (parts, queue) = mpsc::channel(QUEUE_PARTS);
        let (tell, told) = oneshot::channel();
        let path = part.to_path_buf();
        let mut thread = tokio::task::spawn_blocking(move || write(&path, length_max, tell, queue));
        match told.await {
            Ok(have) => Ok(Self { parts, thread, have }),
            Err(_) => Err(joined((&mut thread).await).err().unwrap_or_else(stopped)),
        }
    }

    /// `false`: the thread has failed; [`Self::close`] tells why.
    async fn write(&mut self, piece: Bytes) -> bool {
        let bytes = piece.len() as u64;
        let taken = self.parts.send(piece).await.is_ok();
        self.have += if taken { bytes } else { 0 };
        taken
    }

    /// Waits until everything is on the disk: MD5 and SHA-256 of the part.
    async fn close(self) -> Result<LocalDigests, ClientError> {
        drop(self.parts);
        joined(self.thread.await)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ClientError> + Send + 'static,
) -> Result<T, ClientError> {
    joined(tokio::task::spawn_blocking(work).await)
}

fn joined<T>(
    result: Result<Result<T, ClientError>, tokio::task::JoinError>,
) -> Result<T, ClientError> {
    result.unwrap_or_else(|_| Err(stopped()))
}

fn stopped() -> ClientError {
    ClientError::Protocol { words: "writing the file was stopped from inside".to_owned() }
}

fn write(
    path: &Path,
    length_max: u64,
    tell: oneshot::Sender<u64>,
    mut queue: mpsc::Receiver<Bytes>,
) -> Result<LocalDigests, ClientError> {
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(false).open(path);
    let mut file = file.map_err(failed(path, "write it"))?;
    let mut have = file.metadata().map_err(failed(path, "look at it"))?.len();
    if have > length_max {
        file.set_len(0).map_err(failed(path, "write it"))?;
        have = 0;
    }
    let mut digests = RunningDigests::new();
    let mut buffer = vec![0; 1 << 20];
    let mut left = have;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = file.read(&mut buffer[..want]).map_err(failed(path, "read it"))?;
        if read == 0 {
            return Err(failed(path, "read it")(io::ErrorKind::UnexpectedEof.into()));
        }
        digests.update(&buffer[..read]);
        left -= read as u64;
    }
    if tell.send(have).is_err() {
        return Err(stopped());
    }
    while let Some(piece) = queue.blocking_recv() {
        file.write_all(&piece).map_err(failed(path, "write it"))?;
        digests.update(&piece);
    }
    file.sync_all().map_err(failed(path, "write it"))?;
    Ok(digests.finish())
}
