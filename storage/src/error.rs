//! What can go wrong with stored bytes, a variant for each thing that a caller can decide.

use std::io;

use crate::store::{ImageKey, UploadKey};

/// Result of every operation of this crate.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why an operation on stored bytes was refused or failed. Nothing that was acknowledged is lost by any of them.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The store holds no such upload: never created, discarded, or lost behind our back.
    #[error("no upload {key} in the store")]
    NotFound {
        /// The upload that was asked for.
        key: UploadKey,
    },
    /// The store holds no such image.
    #[error("no image {image} in the store")]
    ImageNotFound {
        /// The image that was asked for.
        image: ImageKey,
    },
    /// The upload is there already with another specification, or published.
    #[error("upload {key} already exists")]
    AlreadyExists {
        /// The upload that was to be created.
        key: UploadKey,
    },
    /// The chunk ends beyond the declared length; no byte of it was written.
    #[error("the chunk ends at {end}, the declared length is {length}")]
    BeyondLength {
        /// First byte after the chunk.
        end: u64,
        /// Length of the whole upload.
        length: u64,
    },
    /// Another length was declared before, or bytes are stored beyond the offered one. The first one stands.
    #[error("the length {offered} was declared, {declared} stands")]
    LengthConflict {
        /// The length that came now.
        offered: u64,
        /// The length (or the end of the stored bytes) that stands.
        declared: u64,
    },
    /// The bytes of the chunk do not have the checksum that came with it; its range is missing as before.
    #[error("the chunk at {offset} does not match its checksum")]
    ChecksumMismatch {
        /// First byte of the chunk.
        offset: u64,
        /// What the bytes really hash to, lower-case hex.
        actual: String,
    },
    /// A chunk with a checksum is larger than what is checked in one piece.
    #[error("a checked chunk may have {max} bytes, this one has {offered}")]
    CheckedChunkTooLarge {
        /// Bytes of the offered chunk.
        offered: u64,
        /// Bytes that a checked chunk may have.
        max: u64,
    },
    /// The body of the chunk had fewer or more bytes than announced.
    #[error("the chunk has {received} of {announced} bytes")]
    WrongChunkLength {
        /// Bytes that the request announced.
        announced: u64,
        /// Bytes that came.
        received: u64,
    },
    /// All places for writers are taken, or the range is being written by a request that is alive. Come again later.
    #[error("upload {key} is busy")]
    Busy {
        /// The upload.
        key: UploadKey,
        /// When it is worth trying again.
        retry_after_ms: u64,
    },
    /// The chunk would add one more island of bytes than the store keeps track of. Send from `offset` on first.
    #[error("too many separate ranges are stored; {offset} is the first missing byte")]
    TooManyExtents {
        /// First missing byte.
        offset: u64,
    },
    /// Another request took the range over because this one had been silent.
    #[error("another request took over")]
    Superseded,
    /// Writing has been revoked (the upload is suspended, canceled or discarded) or the upload is complete and closed.
    #[error("upload {key} takes no bytes at present")]
    Revoked {
        /// The upload.
        key: UploadKey,
    },
    /// Another process owns the upload now; nothing was changed.
    #[error("upload {key} belongs to epoch {current} now")]
    Fenced {
        /// The upload.
        key: UploadKey,
        /// The epoch that owns it.
        current: u64,
    },
    /// The upload was to be finished, but bytes are missing.
    #[error("bytes are missing from {offset} on")]
    Incomplete {
        /// First missing byte.
        offset: u64,
    },
    /// The storage has no space left. What was acknowledged is kept.
    #[error("no space left in the storage")]
    NoSpace,
    /// The storage failed. What was acknowledged is kept; the upload was reopened from its last checkpoint.
    #[error("{action} failed: {message}")]
    Io {
        /// What was being done, in the infinitive: "write data", "sync checkpoint".
        action: &'static str,
        /// The system's own words.
        message: String,
    },
    /// A record of the store cannot be read: neither slot of a checkpoint is whole, or the format is unknown.
    #[error("{what} is damaged: {message}")]
    Damaged {
        /// Which record.
        what: String,
        /// What is wrong with it.
        message: String,
    },
    /// The data directory cannot be used: other format, other store, or in use by another process.
    #[error("{message}")]
    Unusable {
        /// What is wrong, and what to do.
        message: String,
    },
}

impl StoreError {
    /// Turns an error of the system into the variant that callers can act on.
    pub fn from_io(action: &'static str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Io { action, message: error.to_string() },
        }
    }

    /// Whether the same request may succeed later without anybody repairing anything.
    /// Exhaustive on purpose: a new variant must choose.
    pub fn retryable(&self) -> bool {
        match self {
            Self::ChecksumMismatch { .. }
            | Self::WrongChunkLength { .. }
            | Self::Busy { .. }
            | Self::TooManyExtents { .. }
            | Self::Superseded
            | Self::NoSpace
            | Self::Io { .. } => true,
            Self::NotFound { .. }
            | Self::ImageNotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::BeyondLength { .. }
            | Self::LengthConflict { .. }
            | Self::CheckedChunkTooLarge { .. }
            | Self::Revoked { .. }
            | Self::Fenced { .. }
            | Self::Incomplete { .. }
            | Self::Damaged { .. }
            | Self::Unusable { .. } => false,
        }
    }
}
