//! What is sent: a local file, read by ranges, hashed in the background, watched for changes; or a stream.

use std::{
    fs::{File, Metadata},
    io::Read,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    buffers::Buffers,
    digests::{LocalDigests, RunningDigests},
    error::ClientError,
    stream::{PIECE_BYTES, Stream},
};
use crate::{domain::tag::hex, wire::native::ByteRange};

/// Bytes that the background hash reads at once.
const HASH_BLOCK_BYTES: usize = 1 << 20;
/// Bytes of a slice that are read and checked at once.
const READ_BYTES: usize = 256 << 10;
/// How far the background hash runs ahead of what is being sent: near enough that the file is read from disk once.
const HASH_LEAD_BYTES: u64 = 64 << 20;
/// How often a hash that waits for the sender looks again.
const HASH_PAUSE: Duration = Duration::from_millis(20);

/// What is to be sent.
#[derive(Debug)]
pub struct Content {
    path: PathBuf,
    size: u64,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    /// An open file, with the mark by which a change is seen.
    File { file: File, modified: (i64, i64), buffers: Buffers },
    /// Bytes that come once.
    Stream(Box<Stream>),
}

fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

impl Content {
    /// Opens a regular file that is not empty. Blocks.
    pub fn open(path: &Path) -> Result<Self, ClientError> {
        let failed =
            |doing| move |source| ClientError::File { path: path.to_path_buf(), doing, source };
        // Asked before the file is opened: opening a named pipe would wait for a writer.
        let metadata = std::fs::metadata(path).map_err(failed("open it"))?;
        let refuse =
            |why: &str| Err(ClientError::Usage { words: format!("{}: {why}", path.display()) });
        if !metadata.is_file() {
            return refuse("not a regular file; give an image file");
        }
        if metadata.len() == 0 {
            return refuse("the file is empty; there is nothing to upload");
        }
        let file = File::open(path).map_err(failed("open it"))?;
        let metadata = file.metadata().map_err(failed("look at it"))?;
        let (modified, buffers) = (modified(&metadata), Buffers::default());
        let origin = Origin::File { file, modified, buffers };
        Ok(Self { path: path.to_path_buf(), size: metadata.len(), origin })
    }

    /// `size` bytes of a reader that cannot go back. Not empty. What is read is held in memory until the server has it.
    pub fn stream(reader: Box<dyn Read + Send>, size: u64) -> Result<Self, ClientError> {
        if size == 0 {
            let words = "the input is empty; there is nothing to upload".to_owned();
            return Err(ClientError::Usage { words });
        }
        let origin = Origin::Stream(Box::new(Stream::new(reader, size)));
        Ok(Self { path: "-".into(), size, origin })
    }

    /// Bytes of the file when it was opened.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The open file, if it is one.
    pub const fn file(&self) -> Option<&File> {
        match &self.origin {
            Origin::File { file, .. } => Some(file),
            Origin::Stream(_) => None,
        }
    }

    /// Everything below `offset` is durable on the server: a stream need not hold it any longer.
    pub fn release(&self, offset: u64) {
        match &self.origin {
            Origin::File { .. } => {}
            Origin::Stream(stream) => stream.release(offset),
        }
    }

    /// Lets go of the memory that the next slices would use.
    pub(super) fn free_buffers(&self) {
        match &self.origin {
            Origin::File { buffers, .. } => buffers.clear(),
            Origin::Stream(_) => {}
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the file was written to last: seconds and nanoseconds since the epoch. `None` of a stream.
    pub const fn modified(&self) -> Option<(i64, i64)> {
        match &self.origin {
            Origin::File { modified, .. } => Some(*modified),
            Origin::Stream(_) => None,
        }
    }

    /// SHA-256 of a range of the file, lower-case hex; empty of a stream, which cannot go back. Blocks.
    pub fn sha256_of(&self, range: ByteRange) -> Result<String, ClientError> {
        let Some(file) = self.file() else { return Ok(String::new()) };
        let length = usize::try_from(range.len()).map_err(|_| {
            self.failed("read so much at once of it", std::io::ErrorKind::OutOfMemory.into())
        })?;
        let mut buffer = vec![0; length];
        let read = file.read_exact_at(&mut buffer, range.start);
        read.map_err(|source| self.failed("read it", source))?;
        Ok(hex(&Sha256::digest(&buffer)))
    }

    /// What differs from when the file was opened, if anything. Blocks.
    pub fn change(&self) -> Result<Option<&'static str>, ClientError> {
        let (file, before) = match &self.origin {
            Origin::File { file, modified, .. } => (file, modified),
            Origin::Stream(_) => return Ok(None),
        };
        let metadata = file.metadata().map_err(|source| self.failed("look at it", source))?;
        if metadata.len() != self.size {
            return Ok(Some("its size"));
        }
        Ok((modified(&metadata) != *before).then_some("its modification time"))
    }

    /// Most bytes that are kept below the lowest that is asked for again, since they came in one piece with it.
    pub const fn kept_beyond_bytes(&self) -> u64 {
        match &self.origin {
            Origin::File { .. } => 0,
            Origin::Stream(_) => PIECE_BYTES,
        }
    }

    /// The bytes of a slice, in pieces, and their CRC-32C. Those of a stream are the ones that it keeps, no copies. Blocks. Looks for
    /// a change after reading, so that bytes of a changed file are not sent; a write between two looks is found at the end, by the
    /// digests of the whole.
    pub fn slice(&self, range: ByteRange, job: &str) -> Result<(Vec<Bytes>, u32), ClientError> {
        match &self.origin {
            Origin::File { file, buffers, .. } => {
                let (slice, checksum) = self.file_slice(file, buffers, range, job)?;
                Ok((vec![slice], checksum))
            }
            Origin::Stream(stream) => {
                let pieces = stream.slice(range)?;
                let checksum =
                    pieces.iter().fold(0, |sum, piece| crc32c::crc32c_append(sum, piece));
                Ok((pieces, checksum))
            }
        }
    }

    fn file_slice(
        &self,
        file: &File,
        buffers: &Buffers,
        range: ByteRange,
        job: &str,
    ) -> Result<(Bytes, u32), ClientError> {
        let length = usize::try_from(range.len()).map_err(|_| {
            self.failed("read so much at once of it", std::io::ErrorKind::OutOfMemory.into())
        })?;
        let mut buffer = buffers.take(length);
        let read = read_with_checksum(file, range.start, &mut buffer);
        // A file that was cut short shows as a failed read, but the change is what the person has to know.
        if let Some(what) = self.change()? {
            return Err(ClientError::FileChanged {
                path: self.path.clone(),
                what,
                job: job.to_owned(),
            });
        }
        let checksum = read.map_err(|source| self.failed("read it", source))?;
        Ok((buffers.lend(buffer), checksum))
    }

    fn failed(&self, doing: &'static str, source: std::io::Error) -> ClientError {
        ClientError::File { path: self.path.clone(), doing, source }
    }

    /// MD5 and SHA-256 of the whole; `None` if stopped. Blocks, so for a blocking thread.
    fn digests(&self, pace: &Pace) -> Result<Option<LocalDigests>, ClientError> {
        match &self.origin {
            Origin::File { file, .. } => self.file_digests(file, pace),
            Origin::Stream(stream) => stream_digests(stream, pace),
        }
    }

    fn file_digests(&self, file: &File, pace: &Pace) -> Result<Option<LocalDigests>, ClientError> {
        let mut digests = RunningDigests::new();
        let mut buffer = vec![0; HASH_BLOCK_BYTES];
        let mut at = 0;
        while at < self.size {
            if pace.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if at >= pace.limit.load(Ordering::Relaxed) {
                std::thread::sleep(HASH_PAUSE);
                continue;
            }
            let left = usize::try_from(self.size - at).unwrap_or(usize::MAX);
            let block = &mut buffer[..left.min(HASH_BLOCK_BYTES)];
            let read = file.read_exact_at(block, at);
            read.map_err(|source| self.failed("read it", source))?;
            digests.update(block);
            at += block.len() as u64;
            pace.hashed.store(at, Ordering::Relaxed);
        }
        Ok(Some(digests.finish()))
    }
}

/// Fills the buffer; its CRC-32C, taken of each part while it is in the processor's cache.
fn read_with_checksum(file: &File, start: u64, buffer: &mut [u8]) -> std::io::Result<u32> {
    let (mut at, mut checksum) = (start, 0);
    for part in buffer.chunks_mut(READ_BYTES) {
        file.read_exact_at(part, at)?;
        checksum = crc32c::crc32c_append(checksum, part);
        at += part.len() as u64;
    }
    Ok(checksum)
}

/// A stream is hashed by whoever reads it; at the end what nobody had to read is read here.
fn stream_digests(stream: &Stream, pace: &Pace) -> Result<Option<LocalDigests>, ClientError> {
    loop {
        if pace.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (read, digests) = stream.digests();
        pace.hashed.fetch_max(read, Ordering::Relaxed);
        if digests.is_some() {
            return Ok(digests);
        }
        if pace.limit.load(Ordering::Relaxed) == u64::MAX {
            stream.skip()?;
        } else {
            std::thread::sleep(HASH_PAUSE);
        }
    }
}

#[derive(Debug, Default)]
struct Pace {
    limit: AtomicU64,
    hashed: AtomicU64,
    stop: AtomicBool,
}

/// Digests of the whole file, computed on a thread of their own; stops when dropped.
#[derive(Debug)]
pub struct BackgroundDigests {
    pace: Arc<Pace>,
    task: Option<tokio::task::JoinHandle<Result<Option<LocalDigests>, ClientError>>>,
}

impl BackgroundDigests {
    /// Begins at the first byte and stays near what [`Self::sent`] reports.
    pub fn start(content: &Arc<Content>) -> Self {
        let pace = Arc::new(Pace::default());
        pace.limit.store(HASH_LEAD_BYTES, Ordering::Relaxed);
        let (content, theirs) = (Arc::clone(content), Arc::clone(&pace));
        let task = tokio::task::spawn_blocking(move || content.digests(&theirs));
        Self { pace, task: Some(task) }
    }

    /// Everything below `offset` is sent.
    pub fn sent(&self, offset: u64) {
        self.pace.limit.fetch_max(offset.saturating_add(HASH_LEAD_BYTES), Ordering::Relaxed);
    }

    /// Bytes that are hashed.
    pub fn hashed(&self) -> u64 {
        self.pace.hashed.load(Ordering::Relaxed)
    }

    /// Whether [`Self::finish`] will not wait.
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(tokio::task::JoinHandle::is_finished)
    }

    /// Lets it run to the end of the file and waits for it.
    pub async fn finish(mut self) -> Result<LocalDigests, ClientError> {
        self.pace.limit.store(u64::MAX, Ordering::Relaxed);
        let stopped = || ClientError::Protocol {
            words: "the local digests were stopped before their end".to_owned(),
        };
        // Awaited in place: if this future is dropped, the thread is told to stop.
        let Some(task) = self.task.as_mut() else { return Err(stopped()) };
        let digests = task.await;
        self.task = None;
        digests.map_err(|_| stopped())??.ok_or_else(stopped)
    }

    /// Lets it run to the end of the file without waiting.
    pub fn run_free(&self) {
        self.pace.limit.store(u64::MAX, Ordering::Relaxed);
    }
}

impl Drop for BackgroundDigests {
    fn drop(&mut self) {
        if self.task.is_some() {
            self.pace.stop.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[tokio::test]
    async fn digests_are_those_of_the_whole_file() {
        let file = file_of(b"abc");
        let content = Arc::new(Content::open(file.path()).unwrap());
        let digests = BackgroundDigests::start(&content).finish().await.unwrap();
        assert_eq!(digests.md5, "900150983cd24fb0d6963f7d28e17f72");
        assert!(digests.sha256.starts_with("ba7816bf8f01cfea"));
    }

    #[test]
    fn a_slice_has_its_bytes_and_their_checksum() {
        let file = file_of(b"--123456789--");
        let content = Content::open(file.path()).unwrap();
        let (pieces, checksum) = content.slice(ByteRange { start: 2, end: 11 }, "job").unwrap();
        assert_eq!((pieces.concat(), checksum), (b"123456789".to_vec(), 0xe306_9283));
    }

    #[test]
    fn a_change_of_size_or_time_is_an_error_in_words() {
        let mut file = file_of(b"0123456789");
        let content = Content::open(file.path()).unwrap();
        let range = ByteRange { start: 0, end: 10 };
        assert!(content.slice(range, "job").is_ok());
        let later = std::time::SystemTime::now() + Duration::from_secs(5);
        file.as_file().set_modified(later).unwrap();
        let error = content.slice(range, "job7").unwrap_err().to_string();
        assert!(error.contains("modification time") && error.contains("cancel job7"), "{error}");
        file.as_file_mut().set_len(3).unwrap();
        let error = content.slice(range, "job7").unwrap_err();
        assert!(matches!(error, ClientError::FileChanged { what: "its size", .. }), "{error}");
    }

    #[test]
    fn what_is_no_image_file_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let words = |path: &Path| Content::open(path).unwrap_err().to_string();
        assert!(words(folder.path()).contains("regular file"));
        assert!(words(file_of(b"").path()).contains("empty"));
        assert!(words(&folder.path().join("none")).contains("cannot open"));
    }
}
