//! Why bytes, or a question about them, are refused: one variant for each thing that a dialect answers differently.

use longshore_storage::StoreError;

use super::PartFault;
use crate::{
    db::DbError,
    domain::{job_state::JobState, upload::UploadFate},
};

/// How the body of a request ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// No byte for too long.
    #[error("no byte came for {secs} seconds")]
    Idle {
        /// The limit.
        secs: u64,
    },
    /// Bytes came more slowly than the minimum rate.
    #[error("bytes came more slowly than {bytes_per_sec} bytes a second")]
    TooSlow {
        /// The limit.
        bytes_per_sec: u64,
    },
    /// The framing around the bytes (multipart, chunked) is broken.
    #[error("the body is not well formed: {0}")]
    Malformed(&'static str),
}

/// Why a request about an upload is refused. Whatever was acknowledged before is kept, unless the variant says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UploadError {
    /// Never existed, or belongs to somebody else.
    #[error("there is no such upload")]
    NotFound,
    /// Its bytes are gone for good.
    #[error("the upload was {} and its bytes are gone; start a new one", fate.name())]
    Gone {
        /// Why.
        fate: UploadFate,
    },
    /// Its bytes come from its partial uploads, and from no request.
    #[error("the upload is joined from partial uploads and takes no bytes")]
    Joined,
    /// It is a partial upload: its bytes come in order alone ([`append_partial`](super::Uploads::append_partial)).
    #[error("the upload is a partial one, and takes its bytes from the client that made it")]
    Partial,
    /// A partial upload is a part of an upload, and goes with that.
    #[error("the partial upload is a part of another upload")]
    PartInUse,
    /// An upload cannot be a part of another.
    #[error("part {number}: {fault}")]
    Part {
        /// Which of the parts, from 1 on.
        number: usize,
        /// Why not.
        fault: PartFault,
    },
    /// An upload of too many parts.
    #[error("an upload may be joined from {max} partial ones")]
    TooManyParts {
        /// The limit.
        max: usize,
    },
    /// Its job takes no bytes in this state.
    #[error("the upload takes no bytes: its job is {state}")]
    NotTaking {
        /// `Suspended(user)`, `Canceling`, or a final state.
        state: JobState,
    },
    /// The offset of a sequential append is not the first missing byte.
    #[error("the upload continues at {expected}")]
    WrongOffset {
        /// First missing byte.
        expected: u64,
    },
    /// A body goes beyond the length of its upload, which goes on with what is kept: everything that was there, and what came of
    /// the body before it was too much.
    #[error("the body goes beyond the end of the upload at {length}; {offset} bytes are kept")]
    Overlong {
        /// Length of the upload.
        length: u64,
        /// First missing byte now.
        offset: u64,
    },
    /// A body went beyond the length of its upload and has ended it: nothing of it is kept.
    #[error(
        "the body goes beyond the end of the upload at {length}, which has ended; {offset} bytes of it were removed"
    )]
    Outgrown {
        /// Length of the upload.
        length: u64,
        /// First missing byte when it ended.
        offset: u64,
    },
    /// Another request appends, and it stays or has taken over; nothing of this one was stored that the offset does not count.
    #[error("another request is sending this upload, which continues at {offset}")]
    Appending {
        /// First missing byte now.
        offset: u64,
    },
    /// More than may be stored in one upload.
    #[error("an image may have {max} bytes, this one has {offered}")]
    TooLarge {
        /// Bytes offered.
        offered: u64,
        /// The limit.
        max: u64,
    },
    /// The storage has no room for the declared length.
    #[error("the storage has {free} bytes free, {needed} are needed")]
    NoRoom {
        /// Bytes that may still be promised.
        free: u64,
        /// Bytes that this upload still needs.
        needed: u64,
    },
    /// The account has as many unfinished uploads as it may have.
    #[error("the account has {max} unfinished uploads, as many as it may have")]
    TooManyOpen {
        /// The limit.
        max: u64,
    },
    /// As many requests of one party are at work as may be.
    #[error(
        "{max} requests are at work already, as many as may be; nothing of this one was stored"
    )]
    TooManyRequests {
        /// The limit.
        max: u32,
    },
    /// The body ended before its time; what came is kept unless it was under a checksum.
    #[error("{error}; {offset} bytes are kept")]
    Body {
        /// How it ended.
        error: BodyError,
        /// First missing byte now.
        offset: u64,
    },
    /// The service is stopping; what came is kept.
    #[error("the service is restarting; what was acknowledged is kept, send the rest in a moment")]
    Draining {
        /// First missing byte now.
        offset: u64,
    },
    /// The store's own refusal.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The records cannot be reached.
    #[error(transparent)]
    Db(#[from] DbError),
}
