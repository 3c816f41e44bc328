//! The contract of a store: what every backend promises.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::{
    digest::{ChunkChecksum, DigestChoice, Digests},
    error::Result,
};

/// Name of one upload in the store: new for every run of a job. Made by the server, never by a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadKey(pub Uuid);

/// Name of one published image in the store. Made by the server, never by a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageKey(pub Uuid);

impl fmt::Display for UploadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl fmt::Display for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// An upload together with the fencing number of the process that owns it.
///
/// A store remembers the highest epoch it has seen for an upload and answers every lower one with
/// [`StoreError::Fenced`](crate::StoreError::Fenced), changing nothing (invariant I4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// The upload.
    pub key: UploadKey,
    /// Issued by whoever leases uploads to processes; only ever grows.
    pub epoch: u64,
}

/// What is known of an upload when it is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadSpec {
    /// Length of the whole, where it is known already.
    pub declared_length: Option<u64>,
    /// Which digests follow the bytes.
    pub digests: DigestChoice,
}

/// What a store knows of an upload. Every range in it is on stable storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadState {
    /// Length of the whole, once declared.
    pub declared_length: Option<u64>,
    /// The durable extents: sorted, disjoint, not touching.
    pub extents: Vec<Range<u64>>,
    /// First missing byte: the end of the extent that begins at 0, else 0.
    pub offset: u64,
    /// How far the digests of the last checkpoint are; at most `offset`.
    pub hashed_offset: u64,
    /// Which digests follow the bytes; fixed by [`UploadSpec`].
    pub digests: DigestChoice,
    /// Requests that hold a claim at this moment.
    pub writers: u32,
    /// Where the upload stands between its first byte and its image.
    pub phase: UploadPhase,
}

impl UploadState {
    /// Bytes stored, in whatever order they came.
    pub fn stored_bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.end - extent.start).sum()
    }

    /// Whether every byte of the declared length is stored.
    pub fn is_complete(&self) -> bool {
        self.declared_length == Some(self.offset)
    }
}

/// Where an upload stands between its first byte and its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadPhase {
    /// Takes bytes.
    Open,
    /// Takes no bytes until [`UploadStore::admit`].
    Revoked,
    /// Its bytes are an image; it has no staging entry any more.
    Published,
}

/// One request body and where it belongs.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Position of its first byte.
    pub offset: u64,
    /// Bytes that it announced; `None` reads to the end of the body.
    pub length: Option<u64>,
    /// Checksum of the whole body, where the client sent one. Needs a `length`.
    pub checksum: Option<ChunkChecksum>,
}

/// Outcome of asking for the right to write.
#[must_use]
pub enum Claimed {
    /// The missing sub-ranges of the chunk belong to this writer alone.
    Writer(Box<dyn RangeWriter>),
    /// Every byte of the chunk is stored durably already: read the body away and answer as stored.
    AlreadyStored(UploadState),
}

/// Why a writer has to stop although its body goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was silent and another request asked for its range or its place.
    Superseded,
    /// The upload was revoked.
    Revoked,
    /// The storage failed under it.
    Failed,
}

/// What a writer has achieved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Bytes of the chunk that count now, including those that were stored before.
    pub counted_bytes: u64,
    /// The upload after it; durable.
    pub state: UploadState,
}

/// Bytes of uploads on their way to become images.
///
/// Invariants I1 to I8 stand in the documentation of this crate; every backend passes the same conformance suite.
/// All methods may be called from any task at any time. None blocks the calling thread on I/O or hashing.
#[async_trait]
pub trait UploadStore: Send + Sync + 'static {
    /// Makes an empty upload that survives a power cut from the moment this returns.
    ///
    /// Calling it again with the same specification changes nothing; with another one it is `AlreadyExists`. A specification
    /// without a length is also the same as one whose length was declared later. After [`discard`](Self::discard), and after
    /// [`publish`](Self::publish) has returned, the key is free and makes a new, empty upload: keys are never reused by callers.
    async fn create(&self, owned: Owned, spec: UploadSpec) -> Result<()>;

    /// Answers the durable truth of one upload: never less than what was acknowledged, never a byte that is not on
    /// stable storage. Reads at most one checkpoint, never the bytes; needs no ownership.
    async fn state(&self, key: UploadKey) -> Result<UploadState>;

    /// Fixes the length of the whole durably. The first declared length wins: the same again changes nothing,
    /// another one, or one below a stored byte, is `LengthConflict`.
    async fn declare_length(&self, owned: Owned, length: u64) -> Result<()>;

    /// Gives the caller alone the right to write those sub-ranges of the chunk that are missing.
    ///
    /// # Guarantees
    /// * Claims never overlap; stored bytes are never written again (I3).
    /// * Refused before any byte is written: beyond the declared length, a checked chunk that is too large, one island too many.
    /// * While another request writes into the range, this waits (at most `Limits::claim_wait`, then `Busy`). A holder that has been
    ///   silent for `Limits::claim_silent` is ended: what it had received counts (unless it carries a checksum), and once
    ///   its last write has returned the newcomer claims. Two live clients never evict each other.
    /// * At `Limits::writers_max` the longest-silent writer is ended if it has been silent for `Limits::writer_evict_silent`;
    ///   if none is, `Busy`.
    async fn write(&self, owned: Owned, chunk: Chunk) -> Result<Claimed>;

    /// Copies `range` of another upload of this store to `offset`, as a request would that brought these bytes: under a claim of its
    /// own, what is stored already is left as it is (I3), the digests follow. When it returns the copy is durable; the same call again
    /// copies what is missing, also after a crash in the middle. The source is not changed and need not be owned: it may go as soon as
    /// this has returned.
    ///
    /// `NotFound` names the source if that is not there, `Incomplete` its first missing byte if it does not have all of `range`. A
    /// [`revoke`](Self::revoke) ends it with `Revoked`: what was copied until then counts. `Io` with the key of the source in its words
    /// says that the source cannot be read: this upload and its other writers go on.
    async fn copy(
        &self,
        owned: Owned,
        offset: u64,
        source: UploadKey,
        range: Range<u64>,
    ) -> Result<UploadState>;

    /// Ends all writers and takes no new ones until [`admit`](Self::admit). When it returns, every write has returned and what
    /// the ended writers had received (unless under a checksum) is durable. Idempotent. Not remembered over a restart:
    /// whether an upload may be written is decided by the caller's own records.
    async fn revoke(&self, owned: Owned) -> Result<UploadState>;

    /// Takes writers again after [`revoke`](Self::revoke). Idempotent.
    async fn admit(&self, owned: Owned) -> Result<()>;

    /// Brings the digests to the end of the declared length and answers them. Durable and repeatable: the same call
    /// again, also after a crash, gives the same answer. `Incomplete` while bytes are missing. `progress` sees the hashed
    /// offset as it grows. Takes no bytes any more from its call on (writers find everything stored).
    async fn finish(
        &self,
        owned: Owned,
        progress: Arc<dyn Fn(u64) + Send + Sync>,
    ) -> Result<Finished>;

    /// Turns the finished upload into the image `image` atomically: afterwards the image is there whole under its name, durable,
    /// or not at all (I5). Idempotent, also when a crash came between any two of its steps; the same pair must be given, another
    /// image, or one that is there already, is `AlreadyExists`. Finishes first where that was not done.
    ///
    /// Once this has returned the store knows nothing of the upload (`NotFound`): keep what [`finish`](Self::finish) answered
    /// before calling. Between a crash in the middle and the repetition, the state has the phase `Published` and finishing
    /// still answers.
    async fn publish(&self, owned: Owned, image: ImageKey) -> Result<()>;

    /// Ends all writers and removes the upload, leaving nothing behind (I6). Idempotent: an upload that is not there is success.
    /// A published image is not touched.
    async fn discard(&self, owned: Owned) -> Result<()>;
}

/// An upload whose bytes are all there and hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Length in bytes.
    pub length: u64,
    /// The digests that were chosen when the upload was created.
    pub digests: Digests,
}

/// What an owner of a store does at its start, and its housekeeping.
#[async_trait]
pub trait StoreRecovery: Send + Sync + 'static {
    /// Identity of the store, stable over its life; also kept in the database so that the two are never mixed up.
    fn store_uuid(&self) -> Uuid;

    /// Every upload that has a staging entry.
    async fn uploads(&self) -> Result<Vec<UploadKey>>;

    /// Every published image that is settled.
    async fn images(&self) -> Result<Vec<ImageKey>>;

    /// Moves a staging entry that no record knows to `lost+found`, never deletes it (I7). Idempotent.
    async fn set_aside(&self, key: UploadKey) -> Result<()>;

    /// Deletes what has lain in `lost+found` for `age`; answers names and bytes.
    async fn purge_set_aside(&self, age: Duration) -> Result<Vec<(String, u64)>>;

    /// Bytes that the storage has, and that are free for us.
    async fn space(&self) -> Result<Space>;

    /// Fails when the store cannot be written at this moment, in words.
    async fn probe(&self) -> Result<()>;

    /// Numbers for metrics; all zero where a backend counts nothing.
    fn statistics(&self) -> Statistics {
        Statistics::default()
    }
}

/// What a store has done since its start, and what it holds at this moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes of the global block pool in use.
    pub buffer_bytes: u64,
    /// Jobs that wait for an I/O thread.
    pub queued_io_jobs: u64,
    /// Uploads whose files are open.
    pub open_uploads: u64,
    /// Bytes written to data files.
    pub written_bytes: u64,
    /// Of these, bytes that went past the cache of the system.
    pub past_cache_bytes: u64,
    /// Bytes ahead of the digests that the cache of the system is to keep, at this moment.
    pub ahead_cache_bytes: u64,
    /// Bytes that went into the digests of uploads.
    pub hashed_bytes: u64,
    /// Of these, bytes that had to be read back.
    pub read_back_bytes: u64,
    /// Waits for stable storage.
    pub syncs: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
}

/// Room in the storage, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total_bytes: u64,
    /// What we may still write.
    pub free_bytes: u64,
}

/// Published images.
#[async_trait]
pub trait ImageStore: Send + Sync + 'static {
    /// Length of an image in bytes.
    async fn image_length(&self, image: ImageKey) -> Result<u64>;

    /// Reads `range` of an image; short only at its end. At most 4 MiB a call.
    async fn read_image(&self, image: ImageKey, range: Range<u64>) -> Result<Bytes>;

    /// The same as the disk has it now, not as memory remembers it, and without pushing out what memory holds for others: for whoever
    /// looks for bit rot. Where a backend cannot tell the two apart, as [`read_image`](Self::read_image).
    async fn read_image_past_cache(&self, image: ImageKey, range: Range<u64>) -> Result<Bytes>;

    /// Reads the stored prefix of an upload that is not published yet: what lies below its offset. For inspection.
    async fn read_upload(&self, key: UploadKey, range: Range<u64>) -> Result<Bytes>;

    /// Reads stored bytes of an upload that is not published yet, also behind its offset: from the start of `range` on, as far as they
    /// reach without a gap; at most 4 MiB a call. Nothing where the first byte is missing. For samples.
    async fn read_stored(&self, key: UploadKey, range: Range<u64>) -> Result<Bytes>;

    /// Removes an image durably. Idempotent.
    async fn delete_image(&self, image: ImageKey) -> Result<()>;
}

/// Images whose bytes are all here at once: they need no upload and no checkpoint.
///
/// Such an image is *unsettled* from [`put_whole`](Self::put_whole) to [`settle`](Self::settle): the caller records it in between, so
/// that after a crash its records decide what becomes of it. All other calls find it all the same.
#[async_trait]
pub trait WholeImages: Send + Sync + 'static {
    /// The digests of `bytes`. With a checksum that they do not have: `ChecksumMismatch`.
    async fn digest(
        &self,
        bytes: Bytes,
        choice: DigestChoice,
        checksum: Option<ChunkChecksum>,
    ) -> Result<Digests>;

    /// Makes the image `image` of `bytes`: when this returns it is there whole under its name and survives a power cut; or there
    /// is an error, and no image that was not there before (a crash while it fails may leave one that is unsettled). It replaces
    /// nothing: `AlreadyExists`.
    ///
    /// Knows no owner epoch: its name has never been used, so that nobody can have been fenced off from it.
    async fn put_whole(&self, image: ImageKey, bytes: Bytes) -> Result<()>;

    /// Its record is durable: the image is one like any other. Idempotent; `ImageNotFound` if there is none.
    async fn settle(&self, image: ImageKey) -> Result<()>;

    /// Every image that has been unsettled for `age`. With none, those that are being made at this moment may be among them: whoever
    /// looks for strays leaves time for the record to come.
    async fn unsettled(&self, age: Duration) -> Result<Vec<ImageKey>>;

    /// Moves an unsettled image that no record knows to `lost+found`, never deletes it. Idempotent; a settled one stays.
    async fn set_image_aside(&self, image: ImageKey) -> Result<()>;
}

/// The right to write one chunk, and the way its bytes go.
///
/// # Cancellation
/// Dropping the writer, or the future of [`append`](Self::append), never tears a write: blocks that were handed over are still written and the
/// claim is released when the last of them has returned. A dropped writer counts nothing of a checked chunk. After a dropped `append`
/// nobody knows how much of its bytes was taken: go on with [`interrupt`](Self::interrupt) or drop; everything else is refused.
#[async_trait]
pub trait RangeWriter: Send {
    /// Takes the next bytes of the body, in order. Waits while the bounded queue of this writer is full, so that a slow
    /// disk pushes back to the client. More bytes than announced are `WrongChunkLength`.
    async fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Hands over a block that is not full: called when the body has been quiet for a moment.
    async fn flush(&mut self) -> Result<()>;

    /// Resolves when this writer has to stop. Cancel-safe. The caller then calls [`interrupt`](Self::interrupt).
    async fn ended(&self) -> Ended;

    /// Counts the chunk and answers when it is durable. With a checksum: only if it matched, else `ChecksumMismatch` and the range
    /// stays missing. Fewer bytes than announced are `WrongChunkLength`, and count as in [`interrupt`](Self::interrupt).
    async fn acknowledge(self: Box<Self>) -> Result<Acknowledged>;

    /// The body broke off: counts what arrived (nothing of a checked chunk) and answers when that is durable.
    async fn interrupt(self: Box<Self>) -> Result<Acknowledged>;
}
