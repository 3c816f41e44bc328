//! Bodies that are a whole image and short: taken into memory first, so that an image can be made of them without an upload.
//!
//! Nothing is promised while a body is collected. Whatever does not come whole, soon and short goes the ordinary way with every
//! byte that came, as if nobody had looked.

use std::{
    collections::{HashSet, VecDeque},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use longshore_storage::{
    Finished, ImageKey, StoreError,
    digest::{ChunkChecksum, DigestChoice},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{BodyError, Slice, UploadError, Uploads};
use crate::domain::{
    account::Scope,
    ids::{ImageUuid, UploadUuid},
};

/// Longest body that is taken into memory.
const WHOLE_BYTES_MAX: u64 = 1 << 20;
/// How long one may take to come. Whoever looks for the upload meanwhile does not find it.
const WHOLE_WAIT: Duration = Duration::from_millis(500);
/// All such bodies together; one more goes the ordinary way.
const HELD_KIB_MAX: u32 = 16 << 10;

/// A body of which a part may have been looked at already: yields that part first, then what follows.
pub struct Replay<'b, B> {
    head: VecDeque<Bytes>,
    broken: Option<BodyError>,
    /// Until all of the head has gone on.
    place: Option<Arc<OwnedSemaphorePermit>>,
    rest: &'b mut B,
}

impl<'b, B> Replay<'b, B> {
    /// Nothing was looked at yet.
    pub const fn new(rest: &'b mut B) -> Self {
        Self { head: VecDeque::new(), broken: None, place: None, rest }
    }
}

impl<B: Stream<Item = Result<Bytes, BodyError>> + Unpin> Stream for Replay<'_, B> {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(bytes) = this.head.pop_front() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        this.place = None;
        if let Some(error) = this.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        this.rest.poll_next_unpin(cx)
    }
}

/// A whole body in memory.
pub(crate) struct Held {
    /// All of it.
    pub(crate) bytes: Bytes,
    _place: Arc<OwnedSemaphorePermit>,
}

/// Places in memory, by KiB.
pub(super) fn places() -> Semaphore {
    Semaphore::new(HELD_KIB_MAX as usize)
}

impl Uploads {
    /// Takes a body into memory if it is a whole image, short, and here soon; `None` if not: then it goes on from `body`, which
    /// yields everything that came.
    pub(crate) async fn collect<B>(&self, slice: &Slice, body: &mut Replay<'_, B>) -> Option<Held>
    where
        B: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        let length = slice.length.filter(|length| (1..=WHOLE_BYTES_MAX).contains(length))?;
        if slice.offset != 0 || slice.total != Some(length) || length > self.limits.upload_bytes_max
        {
            return None;
        }
        let kib = u32::try_from(length.div_ceil(1024)).ok()?;
        let place = Arc::new(self.held.clone().try_acquire_many_owned(kib).ok()?);
        body.place = Some(Arc::clone(&place));
        let came = async {
            let mut received = 0;
            loop {
                match body.rest.next().await {
                    None => return received == length,
                    Some(Err(error)) => {
                        body.broken = Some(error);
                        return false;
                    }
                    Some(Ok(bytes)) => {
                        received += bytes.len() as u64;
                        body.head.push_back(bytes);
                        if received > length {
                            return false;
                        }
                    }
                }
            }
        };
        let is_whole = tokio::select! {
            biased;
            () = self.draining.cancelled() => false,
            came = tokio::time::timeout(WHOLE_WAIT, came) => came.unwrap_or(false),
        };
        if !is_whole {
            return None;
        }
        let bytes = joined(&body.head, usize::try_from(length).ok()?);
        // The parts go: what is held is held once.
        body.head = VecDeque::from([bytes.clone()]);
        Some(Held { bytes, _place: place })
    }

    /// The digests of a whole body; a `checksum` of it is compared.
    pub(crate) async fn digest_whole(
        &self,
        bytes: &Bytes,
        choice: DigestChoice,
        checksum: Option<ChunkChecksum>,
    ) -> Result<Finished, UploadError> {
        let digests = self.store.digest(bytes.clone(), choice, checksum).await?;
        Ok(Finished { length: bytes.len() as u64, digests })
    }

    /// Makes an image of a whole body, in room that is promised to `upload` meanwhile. Until [`settle_image`](Self::settle_image) or
    /// [`give_up`](Self::give_up) nobody takes it for a stray.
    pub(crate) async fn put_whole(
        &self,
        upload: UploadUuid,
        image: ImageUuid,
        bytes: Bytes,
    ) -> Result<(), UploadError> {
        let length = bytes.len() as u64;
        self.promise(upload, length).await?;
        self.making().insert(image);
        let put = self.store.put_whole(ImageKey(image.0), bytes).await;
        self.space.release(upload);
        match put {
            Ok(()) => {
                self.received_bytes.fetch_add(length, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                self.making().remove(&image);
                Err(error.into())
            }
        }
    }

    /// The image is recorded: it takes its place among the others. A failure is mended by the next look for strays.
    pub(crate) async fn settle_image(&self, image: ImageUuid) {
        match self.store.settle(ImageKey(image.0)).await {
            // Deleted meanwhile.
            Ok(()) | Err(StoreError::ImageNotFound { .. }) => {}
            Err(error) => {
                tracing::warn!(%image, %error, "an image could not be settled; it can be read, and will be settled later");
            }
        }
        self.making().remove(&image);
    }

    /// The image is not recorded, for sure: its bytes go. A failure leaves a stray.
    pub(crate) async fn give_up(&self, image: ImageUuid) {
        if let Err(error) = self.store.delete_image(ImageKey(image.0)).await {
            tracing::warn!(%image, %error, "an image that was never recorded is left in the store");
        }
        self.making().remove(&image);
    }

    /// Nobody knows whether the image is recorded: the next look for strays finds out.
    pub(crate) fn leave(&self, image: ImageUuid) {
        self.making().remove(&image);
    }

    /// Images that were put whole and not settled, by this process or one before it: those that the records know are settled. All
    /// others are set aside once they are older than [`unsettled_kept`](super::UploadLimits::unsettled_kept): a commit whose answer was
    /// lost may still be on its way.
    pub async fn reconcile_whole(&self) -> Result<(), UploadError> {
        self.look_at_whole(true).await?.error.map_or(Ok(()), Err)
    }

    /// What [`reconcile_whole`](Self::reconcile_whole) does, told in numbers; only told if not to `repair`.
    pub(super) async fn look_at_whole(&self, repair: bool) -> Result<Unsettled, UploadError> {
        let mut found = Unsettled::default();
        let old: HashSet<_> =
            self.store.unsettled(self.limits.unsettled_kept).await?.into_iter().collect();
        for key in self.store.unsettled(Duration::ZERO).await? {
            let looked = self.look_at_unsettled(key, old.contains(&key), repair, &mut found);
            if let Err(error) = looked.await {
                // One must not keep all others.
                tracing::error!(image = %key, %error, "an image that was put in one piece could not be looked at or set aside; it will be tried again");
                found.failed += 1;
                found.error.get_or_insert(error);
            }
        }
        Ok(found)
    }

    async fn look_at_unsettled(
        &self,
        key: ImageKey,
        is_old: bool,
        repair: bool,
        found: &mut Unsettled,
    ) -> Result<(), UploadError> {
        let image = ImageUuid(key.0);
        // Before the records are asked: once they know it, it is not being made any more.
        if self.making().contains(&image) {
            return Ok(());
        }
        if self.db.image(image, Scope::All).await?.is_some() {
            if repair {
                self.settle_image(image).await;
            }
            return Ok(());
        }
        if !is_old {
            return Ok(());
        }
        found.unknown += 1;
        if repair {
            self.store.set_image_aside(key).await?;
            tracing::warn!(%image, "an image without a record was moved to lost+found");
        }
        Ok(())
    }
}

/// Images that were put whole and have no record.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    /// For longer than a record takes to come.
    pub(super) unknown: u64,
    /// That could not be looked at or set aside.
    pub(super) failed: u64,
    /// The first reason why.
    pub(super) error: Option<UploadError>,
}

fn joined(parts: &VecDeque<Bytes>, length: usize) -> Bytes {
    let mut parts = parts.iter();
    match (parts.next(), parts.len()) {
        (Some(only), 0) => only.clone(),
        (first, _) => {
            let mut all = BytesMut::with_capacity(length);
            for part in first.into_iter().chain(parts) {
                all.extend_from_slice(part);
            }
            all.freeze()
        }
    }
}
