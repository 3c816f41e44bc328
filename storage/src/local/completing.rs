//! What the owner of an upload does with the whole of it: declare its length, revoke, finish, name its image.

use std::{cmp::Ordering, sync::Arc};

use super::{entries::too_short, threads::locked, upload::Upload};
use crate::{
    error::{Result, StoreError},
    kill::kill_point,
    store::{Ended, Finished, ImageKey, Owned, UploadSpec, UploadState},
};

impl Upload {
    /// The upload is there already: the same specification is success.
    pub(super) async fn create_again(
        self: &Arc<Self>,
        owned: Owned,
        spec: UploadSpec,
    ) -> Result<()> {
        {
            let mut inner = self.lock();
            self.enter(&mut inner, owned)?;
            let same_length =
                spec.declared_length.is_none() || spec.declared_length == inner.declared_length;
            if !same_length || spec.digests != inner.choice {
                return Err(StoreError::AlreadyExists { key: self.key });
            }
        }
        self.all_durable().await.map(drop)
    }

    pub(super) async fn declare_length(self: &Arc<Self>, owned: Owned, length: u64) -> Result<()> {
        {
            let mut inner = self.lock();
            self.enter(&mut inner, owned)?;
            if let Some(declared) = inner.declared_length {
                if declared != length {
                    return Err(StoreError::LengthConflict { offered: length, declared });
                }
            } else {
                let coming = inner.lanes.values().map(|lane| lane.reserved_end()).max();
                let stored_end = inner.counted.end().max(coming.unwrap_or(0));
                if length < stored_end {
                    let declared = stored_end;
                    return Err(StoreError::LengthConflict { offered: length, declared });
                }
                inner.declared_length = Some(length);
                inner.version += 1;
            }
        }
        self.all_durable().await.map(drop)
    }

    pub(super) async fn revoke(self: &Arc<Self>, owned: Owned) -> Result<UploadState> {
        {
            let mut inner = self.lock();
            self.enter(&mut inner, owned)?;
            inner.revoked = true;
            let error = StoreError::Revoked { key: self.key };
            Self::end_writers(&inner, &error, Ended::Revoked);
        }
        self.beat();
        self.drained().await;
        self.all_durable().await
    }

    pub(super) async fn admit(self: &Arc<Self>, owned: Owned) -> Result<()> {
        {
            let mut inner = self.lock();
            self.enter(&mut inner, owned)?;
            inner.revoked = false;
        }
        self.all_durable().await.map(drop)
    }

    pub(super) async fn finish(
        self: &Arc<Self>,
        owned: Owned,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Finished> {
        let length = {
            let mut inner = self.lock();
            self.enter(&mut inner, owned)?;
            let offset = inner.counted.prefix();
            let Some(length) = inner.declared_length.filter(|length| *length == offset) else {
                return Err(StoreError::Incomplete { offset });
            };
            self.kick_catch_up(&mut inner);
            length
        };
        self.hashed(length, progress).await?;
        let upload = Arc::clone(self);
        self.shared.io.run(move || upload.seal(length)).await??;
        kill_point("finish.before_checkpoint");
        self.all_durable().await?;
        kill_point("finish.after_checkpoint");
        let digests = self.lock().finished;
        digests
            .map(|digests| Finished { length, digests })
            .ok_or(StoreError::NotFound { key: self.key })
    }

    /// Waits until the digests have reached `length`.
    async fn hashed(
        self: &Arc<Self>,
        length: u64,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        let mut pulse = self.pulse();
        let mut shown = None;
        loop {
            let hashed = {
                let inner = self.lock();
                if let Some(error) = &inner.failed {
                    return Err(error.clone());
                }
                if inner.closed {
                    return Err(StoreError::NotFound { key: self.key });
                }
                if inner.finished.is_some() { length } else { inner.hashed }
            };
            if shown != Some(hashed) {
                progress(hashed);
                shown = Some(hashed);
            }
            if hashed >= length {
                return Ok(());
            }
            if pulse.changed().await.is_err() {
                return Err(StoreError::NotFound { key: self.key });
            }
        }
    }

    /// On an I/O thread: takes the digests, and cuts off what a chunk that never counted has left behind the end. A file that ends
    /// before is never made longer: what it lacks was acknowledged.
    fn seal(&self, length: u64) -> Result<()> {
        if self.lock().finished.is_some() {
            return Ok(());
        }
        let failed = |error| StoreError::from_io("cut data to its length", &error);
        let cut = self.data.len().map_err(failed).and_then(|stored| match stored.cmp(&length) {
            Ordering::Less => Err(too_short(self.key)),
            Ordering::Equal => Ok(false),
            Ordering::Greater => self.data.set_len(length).map_err(failed).map(|()| true),
        });
        let cut = match cut {
            Ok(cut) => cut,
            Err(error) => {
                self.poison(error.clone());
                return Err(error);
            }
        };
        let digests = locked(&self.track).finished(length);
        let mut inner = self.lock();
        inner.sync.dirty |= cut;
        if inner.finished.is_none() {
            inner.finished = digests;
            inner.version += 1;
        }
        Ok(())
    }

    /// Fixes durably which image the upload becomes; another one afterwards is refused.
    pub(super) async fn name_image(self: &Arc<Self>, owned: Owned, image: ImageKey) -> Result<()> {
        {
            let mut inner = self.lock();
            self.enter(&mut inner, owned)?;
            if inner.image.is_some_and(|named| named != image) {
                return Err(StoreError::AlreadyExists { key: self.key });
            }
            if inner.image.is_none() {
                inner.image = Some(image);
                inner.version += 1;
            }
        }
        self.all_durable().await.map(drop)
    }
}
