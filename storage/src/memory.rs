//! The reference model: a store in memory, as simple and as obviously right as it can be.
//!
//! It hashes everything at the end, keeps the bytes of a request apart until they count, and does every step under
//! one lock. Other backends are compared with it; nothing here is fast, and nothing survives the process.

#![expect(
    clippy::cast_possible_truncation,
    reason = "bytes in memory are counted in usize, and waits in milliseconds are short"
)]

mod images;
mod upload;
mod whole;
mod writer;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::{sync::Notify, time::Instant};
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    limits::Limits,
    store::{
        Chunk, Claimed, Ended, Finished, ImageKey, Owned, UploadKey, UploadPhase, UploadSpec,
        UploadState, UploadStore,
    },
};
use upload::{Slot, Upload};
use writer::MemoryWriter;

/// A store in memory with the semantics of every other one.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Limits,
    uuid: Uuid,
    contents: Mutex<Contents>,
    /// Told whenever a claim may have become free or a writer was ended.
    changed: Notify,
}

#[derive(Clone, Default)]
struct Contents {
    uploads: BTreeMap<UploadKey, Upload>,
    images: BTreeMap<ImageKey, Vec<u8>>,
    /// Images that no record was made of yet, and since when.
    unsettled: BTreeMap<ImageKey, (Vec<u8>, Instant)>,
    /// Which upload became which image, and its last state.
    published: BTreeMap<UploadKey, (ImageKey, UploadState)>,
    /// Uploads that no record knew, and when they were set aside.
    set_aside: Vec<(String, u64, Instant)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn upload(&mut self, key: UploadKey) -> Result<&mut Upload> {
        self.uploads.get_mut(&key).ok_or(StoreError::NotFound { key })
    }

    /// The upload, if `owned` is not fenced off. A higher epoch is remembered and ends the writers of the lower ones: nothing
    /// that they received counts, for their process does not own the upload any more.
    fn owned(&mut self, owned: Owned) -> Result<&mut Upload> {
        let upload = self.upload(owned.key)?;
        if owned.epoch < upload.epoch {
            return Err(StoreError::Fenced { key: owned.key, current: upload.epoch });
        }
        if owned.epoch > upload.epoch {
            upload.epoch = owned.epoch;
            upload.forget_writers(Ended::Superseded);
        }
        Ok(upload)
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        Self::with(limits, Uuid::new_v4(), Contents::default())
    }

    /// The store as it is found after a crash: everything that was acknowledged, and nothing else.
    /// Writers of `self` go on with `self` and never touch the new one.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let mut contents = self.shared.lock().clone();
        contents.published.clear();
        for upload in contents.uploads.values_mut() {
            upload.forget_writers(Ended::Failed);
            upload.revoked = false;
        }
        Self::with(self.shared.limits, self.shared.uuid, contents)
    }

    fn with(limits: Limits, uuid: Uuid, contents: Contents) -> Self {
        let contents = Mutex::new(contents);
        Self { shared: Arc::new(Shared { limits, uuid, contents, changed: Notify::new() }) }
    }

    /// One look at whether the chunk may be written now.
    fn try_claim(&self, owned: Owned, chunk: &Chunk, end: u64, now: Instant) -> Result<Attempt> {
        let limits = &self.shared.limits;
        let key = owned.key;
        let mut contents = self.shared.lock();
        if let Some((_, state)) = contents.published.get(&key) {
            return Ok(Attempt::Stored(state.clone()));
        }
        let upload = contents.owned(owned)?;
        if upload.revoked {
            return Err(StoreError::Revoked { key });
        }
        let end = match (chunk.length, upload.declared) {
            (_, Some(length)) if end > length || chunk.offset > length => {
                if chunk.length.is_some() || chunk.offset > length {
                    return Err(StoreError::BeyondLength { end: end.max(chunk.offset), length });
                }
                length
            }
            (Some(_) | None, _) => end,
        };
        let range = chunk.offset..end;
        let missing = upload.missing(&range);
        if missing.is_empty() {
            return Ok(Attempt::Stored(upload.state()));
        }
        let silence = |slot: &Slot| now.saturating_duration_since(slot.last_byte);
        let holders: Vec<_> = upload.writers.iter().filter(|slot| slot.overlaps(&range)).collect();
        if let Some(shortest) = holders.iter().map(|slot| silence(slot)).min() {
            if shortest < limits.claim_silent {
                return Ok(Attempt::Wait(limits.claim_silent.saturating_sub(shortest)));
            }
            let ids: Vec<_> = holders.iter().map(|slot| slot.id).collect();
            for id in ids {
                upload.end(id, Ended::Superseded);
            }
            self.shared.changed.notify_waiters();
            return Ok(Attempt::Again);
        }
        if upload.writers.len() >= limits.writers_max as usize {
            let longest = upload.writers.iter().max_by_key(|slot| silence(slot));
            let evictable = longest.filter(|slot| silence(slot) >= limits.writer_evict_silent);
            let Some(id) = evictable.map(|slot| slot.id) else {
                let retry_after_ms = limits.writer_evict_silent.as_millis() as u64;
                return Err(StoreError::Busy { key, retry_after_ms });
            };
            upload.end(id, Ended::Superseded);
            self.shared.changed.notify_waiters();
            return Ok(Attempt::Again);
        }
        let offset = upload.offset();
        if chunk.offset > offset && upload.extents_with(&missing) > limits.extents_max {
            return Err(StoreError::TooManyExtents { offset });
        }
        Ok(Attempt::Claimed(upload.claim(chunk.clone(), missing, now)))
    }
}

enum Attempt {
    Claimed(u64),
    Stored(UploadState),
    /// A live request holds the range; look again at the latest after this long.
    Wait(std::time::Duration),
    Again,
}

#[async_trait]
impl UploadStore for MemoryStore {
    async fn create(&self, owned: Owned, spec: UploadSpec) -> Result<()> {
        let mut contents = self.shared.lock();
        let key = owned.key;
        if contents.published.contains_key(&key) {
            return Err(StoreError::AlreadyExists { key });
        }
        contents.uploads.entry(key).or_insert_with(|| Upload::new(owned.epoch, spec));
        let upload = contents.owned(owned)?;
        if upload.spec == spec { Ok(()) } else { Err(StoreError::AlreadyExists { key }) }
    }

    async fn state(&self, key: UploadKey) -> Result<UploadState> {
        let mut contents = self.shared.lock();
        if let Some((_, state)) = contents.published.get(&key) {
            return Ok(state.clone());
        }
        Ok(contents.upload(key)?.state())
    }

    async fn declare_length(&self, owned: Owned, length: u64) -> Result<()> {
        let mut contents = self.shared.lock();
        let upload = contents.owned(owned)?;
        let stands = upload.declared.unwrap_or_else(|| upload.end_of_bytes().max(length));
        if stands != length {
            return Err(StoreError::LengthConflict { offered: length, declared: stands });
        }
        upload.declared = Some(length);
        Ok(())
    }

    async fn write(&self, owned: Owned, chunk: Chunk) -> Result<Claimed> {
        let limits = &self.shared.limits;
        if let (Some(offered), Some(_)) = (chunk.length, chunk.checksum) {
            let max = limits.checked_chunk_bytes_max;
            if offered > max {
                return Err(StoreError::CheckedChunkTooLarge { offered, max });
            }
        }
        let end = match chunk.length {
            Some(length) => chunk.offset.checked_add(length).ok_or(StoreError::BeyondLength {
                end: u64::MAX,
                length: self.state(owned.key).await?.declared_length.unwrap_or(u64::MAX),
            })?,
            None => u64::MAX,
        };
        let deadline = Instant::now() + limits.claim_wait;
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let now = Instant::now();
            match self.try_claim(owned, &chunk, end, now)? {
                Attempt::Claimed(id) => {
                    let writer = MemoryWriter::new(Arc::clone(&self.shared), owned, id);
                    return Ok(Claimed::Writer(Box::new(writer)));
                }
                Attempt::Stored(state) => return Ok(Claimed::AlreadyStored(state)),
                Attempt::Again => {}
                Attempt::Wait(_) if now >= deadline => {
                    let retry_after_ms = limits.claim_silent.as_millis() as u64;
                    return Err(StoreError::Busy { key: owned.key, retry_after_ms });
                }
                Attempt::Wait(at_most) => {
                    let until = deadline.min(now + at_most);
                    let _ = tokio::time::timeout_at(until, changed).await;
                }
            }
        }
    }

    async fn copy(
        &self,
        owned: Owned,
        offset: u64,
        source: UploadKey,
        range: Range<u64>,
    ) -> Result<UploadState> {
        let bytes = {
            let mut contents = self.shared.lock();
            let stored = contents.upload(source)?.offset();
            if range.end > stored {
                return Err(StoreError::Incomplete { offset: stored });
            }
            contents.upload(source)?.read(&range)
        };
        let chunk = Chunk { offset, length: Some(bytes.len() as u64), checksum: None };
        match self.write(owned, chunk).await? {
            Claimed::AlreadyStored(state) => Ok(state),
            Claimed::Writer(mut writer) => {
                writer.append(&bytes).await?;
                Ok(writer.acknowledge().await?.state)
            }
        }
    }

    async fn revoke(&self, owned: Owned) -> Result<UploadState> {
        let mut contents = self.shared.lock();
        let upload = contents.owned(owned)?;
        upload.revoked = true;
        upload.end_all(Ended::Revoked);
        let state = upload.state();
        self.shared.changed.notify_waiters();
        Ok(state)
    }

    async fn admit(&self, owned: Owned) -> Result<()> {
        self.shared.lock().owned(owned)?.revoked = false;
        Ok(())
    }

    async fn finish(
        &self,
        owned: Owned,
        progress: Arc<dyn Fn(u64) + Send + Sync>,
    ) -> Result<Finished> {
        let finished = {
            let mut contents = self.shared.lock();
            let upload = contents.owned(owned)?;
            let offset = upload.offset();
            if upload.declared != Some(offset) {
                return Err(StoreError::Incomplete { offset });
            }
            upload.finished = true;
            Finished { length: offset, digests: upload.digests() }
        };
        progress(finished.length);
        Ok(finished)
    }

    async fn publish(&self, owned: Owned, image: ImageKey) -> Result<()> {
        let mut contents = self.shared.lock();
        let key = owned.key;
        if !contents.uploads.contains_key(&key) && contents.images.contains_key(&image) {
            return Ok(());
        }
        let taken = contents.images.contains_key(&image) || contents.unsettled.contains_key(&image);
        let upload = contents.owned(owned)?;
        let offset = upload.offset();
        if !upload.finished {
            return Err(StoreError::Incomplete { offset });
        }
        if taken {
            return Err(StoreError::AlreadyExists { key });
        }
        let state = UploadState { phase: UploadPhase::Published, ..upload.state() };
        let bytes = upload.read(&(0..offset));
        contents.uploads.remove(&key);
        contents.images.insert(image, bytes);
        contents.published.insert(key, (image, state));
        Ok(())
    }

    async fn discard(&self, owned: Owned) -> Result<()> {
        let mut contents = self.shared.lock();
        contents.published.remove(&owned.key);
        if !contents.uploads.contains_key(&owned.key) {
            return Ok(());
        }
        contents.owned(owned)?;
        contents.uploads.remove(&owned.key);
        self.shared.changed.notify_waiters();
        Ok(())
    }
}
