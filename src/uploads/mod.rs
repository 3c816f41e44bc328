//! The data plane: admit, write, suspend, resume, finish and expire uploads. Every dialect is a thin adapter over the
//! verbs of [`Uploads`]; a rule about bytes, offsets or rights stands here or deeper.

mod error;
mod signals;

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::Stream;
use longshore_storage::{ImageStore, StoreRecovery, UploadStore};

pub use error::{BodyError, UploadError};
pub use longshore_storage::digest::ChunkChecksum;
pub use signals::{JobSignals, Verdict};

use crate::domain::{
    account::Caller,
    ids::{ImageUuid, UploadUuid},
    image::ImageRecord,
    job::LongJob,
    upload::UploadRecord,
};

/// A store as the use cases hold it.
pub trait Storage: UploadStore + StoreRecovery + ImageStore {}

impl<T: UploadStore + StoreRecovery + ImageStore> Storage for T {}

/// One request body and what its headers say of it.
#[derive(Debug, Clone, Default)]
pub struct Slice {
    /// Position of its first byte.
    pub offset: u64,
    /// Bytes that it announced; `None` reads to the end of the body.
    pub length: Option<u64>,
    /// Length of the whole, where the request names it. The first one stands.
    pub total: Option<u64>,
    /// Checksum of the body.
    pub checksum: Option<ChunkChecksum>,
    /// The body is the whole upload although its length is not known beforehand: its end is the end of the upload.
    pub is_whole: bool,
}

/// What a request with bytes has led to.
#[derive(Debug, Clone)]
pub struct Written {
    /// The upload after it; durable.
    pub status: UploadStatus,
    /// Whether all its bytes had been stored before.
    pub duplicate: bool,
    /// How the upload ended, if it did within `finish_wait_ms`.
    pub verdict: Option<Verdict>,
}

/// Everything that anybody may ask about an upload. Offsets are the store's, not the cached ones.
#[derive(Debug, Clone)]
pub struct UploadStatus {
    /// The upload's record.
    pub record: UploadRecord,
    /// Its job.
    pub job: LongJob,
    /// Its image, if there is one (a failed upload leaves none).
    pub image: Option<ImageRecord>,
    /// Length of the whole, once declared.
    pub length: Option<u64>,
    /// First missing byte.
    pub offset: u64,
    /// Bytes stored in whatever order.
    pub stored_bytes: u64,
    /// Ranges that are missing below the declared length (or below the last stored byte), first 1,000.
    pub missing: Vec<Range<u64>>,
}

/// The data plane.
pub struct Uploads {
    _store: Arc<dyn Storage>,
}

impl Uploads {
    /// Takes a request body. Answers when what it stored is durable, and, if it was the last one, waits up to `finish_wait_ms` for the
    /// verdict. Of a body that breaks off, what came is kept (unless under a checksum) and the error names the offset.
    pub async fn write<B>(
        &self,
        _upload: UploadUuid,
        _slice: Slice,
        _body: B,
    ) -> Result<Written, UploadError>
    where
        B: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        todo!()
    }

    /// Where an upload stands. Never asks for bytes, never changes anything. `Gone` for one that was discarded or expired.
    pub async fn status(&self, _upload: UploadUuid) -> Result<UploadStatus, UploadError> {
        todo!()
    }

    /// The upload's record, whatever has become of it; `NotFound` if there is none. For checking a capability's generation.
    pub async fn record(&self, _upload: UploadUuid) -> Result<UploadRecord, UploadError> {
        todo!()
    }

    /// The newest upload of an image that the caller may see (ZStack slices with a session name the image).
    pub async fn of_image(
        &self,
        _caller: Caller,
        _image: ImageUuid,
    ) -> Result<UploadRecord, UploadError> {
        todo!()
    }

    /// A Ready image of the caller, and its length in the store.
    pub async fn ready_image(
        &self,
        _caller: Caller,
        _image: ImageUuid,
    ) -> Result<(ImageRecord, u64), UploadError> {
        todo!()
    }

    /// Bytes of a Ready image as a stream of blocks of at most 1 MiB; one block is read ahead at the most.
    pub fn image_bytes(
        &self,
        _image: ImageUuid,
        _range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, UploadError>> + 'static + use<> {
        futures::stream::empty()
    }
}
