//! The default backend: files of one local directory.
//!
//! # Files
//! `STORE` (format and identity), `lock` (held for life), `uploads/<2 hex>/<uuid>.data` and `.checkpoint`,
//! `images/<2 hex>/<uuid>`, `whole/<uuid>` (an image that is not settled), `lost+found/`. The two digits are the last of the uuid; their
//! folders are made and synced once, at the birth of the store.
//!
//! # The way of a byte
//! `append` copies it into a block of its writer; an I/O thread writes the block, its whole pages past the cache of the system
//! where that is cheaper; a hash worker hashes it while the next block is written; the syncer of the upload syncs the data, writes
//! a checkpoint, syncs that, and everybody who waits is answered. Slices ahead of the prefix are hashed when the prefix reaches
//! them, read back the way they were written.

mod block;
mod block_size;
mod buffers;
mod checkpoint_file;
mod claiming;
mod completing;
mod copying;
pub mod disk;
mod entries;
#[cfg(feature = "conformance")]
pub mod faulty;
mod format;
mod hash_queue;
mod hash_task;
mod hashing;
mod housekeeping;
mod images;
mod lane;
mod layout;
mod os_disk;
mod pages;
#[cfg(feature = "conformance")]
mod past_cache;
mod placing;
#[cfg(feature = "conformance")]
pub mod power;
#[cfg(feature = "conformance")]
mod power_model;
mod publishing;
mod reading_back;
mod shared;
mod statistics;
mod syncing;
#[cfg(test)]
mod tests;
mod threads;
mod turns;
mod upload;
mod whole;
mod whole_hash;
mod writer;

use std::{ops::Range, path::Path, sync::Arc, time::Instant};

use async_trait::async_trait;
use tokio::sync::Mutex as AsyncMutex;
use uuid::Uuid;

use self::{
    buffers::Buffers,
    disk::Disk,
    entries::{Entries, Entry},
    format::DirectoryLock,
    layout::Layout,
    placing::Placing,
    shared::Shared,
    statistics::{Counters, get},
    threads::Threads,
    turns::SyncTurns,
    upload::Upload,
};
use crate::{
    checkpoint::{Checkpoint, DigestProgress},
    error::{Result, StoreError},
    limits::{Durability, Limits},
    store::{
        Chunk, Claimed, Finished, ImageKey, Owned, Statistics, UploadKey, UploadPhase, UploadSpec,
        UploadState, UploadStore,
    },
};

pub use os_disk::OsDisk;

/// The store of one local directory; one process per directory.
///
/// Dropping it ends all writers, lets the threads end what is queued and then gives the directory free. Revoke uploads before,
/// so that what their writers have received is durable.
pub struct LocalStore {
    // Dropped in this order: no thread may touch the directory once the lock is gone.
    entries: Arc<Entries>,
    shared: Arc<Shared>,
    threads: Option<Threads>,
    store_uuid: Uuid,
    /// Held while the one file is written by which [`StoreRecovery::probe`](crate::StoreRecovery::probe) sees that this works.
    probing: Arc<AsyncMutex<()>>,
    _lock: DirectoryLock,
}

impl LocalStore {
    /// Opens the store in `root`, or makes one there. Blocks: call it at the start. `Unusable` says in words what is wrong: in
    /// use by another process, another or a newer format, not writable.
    pub fn open(
        root: &Path,
        disk: Arc<dyn Disk>,
        limits: Limits,
        durability: Durability,
    ) -> Result<Arc<Self>> {
        let layout = Layout::new(root);
        let lock = format::lock(&*disk, &layout)?;
        let store_uuid = format::open_or_make(&*disk, &layout)?;
        let threads = Threads::start(&limits).map_err(|error| StoreError::Unusable {
            message: format!("The threads of the store could not be started ({error})."),
        })?;
        let shared = Arc::new(Shared {
            disk,
            layout,
            limits,
            durability,
            io: Arc::clone(&threads.io),
            hash: Arc::clone(&threads.hash),
            whole: Arc::clone(&threads.whole),
            whole_hashes: Arc::clone(&threads.whole_hashes),
            whole_turns: SyncTurns::default(),
            buffers: Buffers::new(limits.buffers_bytes_max),
            placing: Placing::new(&limits),
            counters: Counters::default(),
            started: Instant::now(),
        });
        let entries = Entries::new(Arc::clone(&shared));
        let threads = Some(threads);
        let probing = Arc::default();
        let store = Self { entries, shared, threads, store_uuid, probing, _lock: lock };
        store.probe_now()?;
        Ok(Arc::new(store))
    }

    fn numbers(&self) -> Statistics {
        let counters = &self.shared.counters;
        Statistics {
            buffer_bytes: self.shared.buffers.lent_bytes() as u64,
            queued_io_jobs: (self.shared.io.queued() + self.shared.whole.queued()) as u64,
            open_uploads: self.entries.len() as u64,
            written_bytes: get(&counters.written_bytes),
            past_cache_bytes: get(&counters.past_cache_bytes),
            ahead_cache_bytes: self.shared.placing.ahead_bytes(),
            hashed_bytes: get(&counters.hashed_bytes),
            read_back_bytes: get(&counters.read_back_bytes),
            syncs: get(&counters.syncs),
            checkpoints: get(&counters.checkpoints),
        }
    }

    /// The upload, for an operation that needs one that still takes part.
    async fn upload(&self, key: UploadKey) -> Result<Arc<Upload>> {
        match self.entries.get(key).await? {
            Entry::Upload(upload) => Ok(upload),
            Entry::Published(_) => Err(StoreError::Revoked { key }),
        }
    }
}

impl Drop for LocalStore {
    fn drop(&mut self) {
        self.entries.end_all();
        self.threads.take();
    }
}

#[async_trait]
impl UploadStore for LocalStore {
    async fn create(&self, owned: Owned, spec: UploadSpec) -> Result<()> {
        let guard = self.entries.gate(owned.key).await;
        let (mut guard, entry) = self.entries.open(owned.key, guard).await?;
        match entry {
            Some(Entry::Upload(upload)) => {
                drop(guard);
                upload.create_again(owned, spec).await
            }
            Some(Entry::Published(_)) => Err(StoreError::AlreadyExists { key: owned.key }),
            None => {
                let (shared, entries) = (self.entries.shared(), Arc::clone(&self.entries));
                let job = move || {
                    entries.doubt(owned.key);
                    let upload = publishing::create(&shared, owned, spec)?;
                    entries.assert_durable(owned.key);
                    entries.set_revoked(owned.key, false);
                    *guard = Some(Entry::Upload(upload));
                    Ok(())
                };
                self.shared.io.run(job).await?
            }
        }
    }

    async fn state(&self, key: UploadKey) -> Result<UploadState> {
        match self.entries.get(key).await? {
            Entry::Upload(upload) => Ok(upload.lock().state()),
            Entry::Published(checkpoint) => Ok(published_state(&checkpoint)),
        }
    }

    async fn declare_length(&self, owned: Owned, length: u64) -> Result<()> {
        self.upload(owned.key).await?.declare_length(owned, length).await
    }

    async fn write(&self, owned: Owned, chunk: Chunk) -> Result<Claimed> {
        self.upload(owned.key).await?.claim(owned, &chunk).await
    }

    async fn copy(
        &self,
        owned: Owned,
        offset: u64,
        source: UploadKey,
        range: Range<u64>,
    ) -> Result<UploadState> {
        let source = self.upload(source).await.map_err(copying::no_source(source))?;
        self.upload(owned.key).await?.copy_in(owned, offset, &source, range).await
    }

    async fn revoke(&self, owned: Owned) -> Result<UploadState> {
        match self.entries.get(owned.key).await? {
            Entry::Upload(upload) => {
                if let Err(error @ StoreError::Fenced { .. }) = {
                    let mut inner = upload.lock();
                    upload.enter(&mut inner, owned)
                } {
                    return Err(error);
                }
                // First: if the storage fails while the writers end, whoever opens the upload again finds it revoked.
                self.entries.set_revoked(owned.key, true);
                upload.revoke(owned).await
            }
            Entry::Published(checkpoint) => {
                fence(&checkpoint, owned)?;
                Ok(published_state(&checkpoint))
            }
        }
    }

    async fn admit(&self, owned: Owned) -> Result<()> {
        let upload = self.upload(owned.key).await?;
        upload.admit(owned).await?;
        self.entries.set_revoked(owned.key, false);
        Ok(())
    }

    async fn finish(
        &self,
        owned: Owned,
        progress: Arc<dyn Fn(u64) + Send + Sync>,
    ) -> Result<Finished> {
        match self.entries.get(owned.key).await? {
            Entry::Upload(upload) => upload.finish(owned, &*progress).await,
            Entry::Published(checkpoint) => {
                fence(&checkpoint, owned)?;
                match checkpoint.digests {
                    DigestProgress::Finished(digests) => {
                        Ok(Finished { length: checkpoint.offset(), digests })
                    }
                    DigestProgress::Running(_) => {
                        Err(StoreError::Incomplete { offset: checkpoint.offset() })
                    }
                }
            }
        }
    }

    async fn publish(&self, owned: Owned, image: ImageKey) -> Result<()> {
        let key = owned.key;
        // Finishing again is cheap, and makes sure that nothing unfinished ever gets a name.
        match self.entries.get(key).await {
            Ok(Entry::Upload(upload)) => {
                upload.finish(owned, &|_| ()).await?;
                upload.name_image(owned, image).await?;
            }
            Ok(Entry::Published(checkpoint)) => {
                fence(&checkpoint, owned)?;
                if checkpoint.image != Some(image) {
                    return Err(StoreError::AlreadyExists { key });
                }
            }
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let guard = self.entries.gate(key).await;
        let (mut guard, entry) = self.entries.open(key, guard).await?;
        match entry {
            Some(Entry::Upload(upload)) => {
                {
                    let mut inner = upload.lock();
                    upload.enter(&mut inner, owned)?;
                    if inner.finished.is_none() || inner.durable.image != Some(image) {
                        return Err(StoreError::Incomplete { offset: inner.counted.prefix() });
                    }
                }
                upload.close().await;
                *guard = None;
                self.entries.forget(key);
                let job = move |shared: &Shared| publishing::publish(shared, &upload, image);
                self.entries.run_behind(guard, job).await
            }
            Some(Entry::Published(_)) => {
                *guard = None;
                let job = move |shared: &Shared| publishing::publish_rest(shared, key, image);
                self.entries.run_behind(guard, job).await
            }
            None => {
                let job = move |shared: &Shared| {
                    // Published before, by a process that may not have lived to sync the last removal.
                    let path = shared.layout.image(image);
                    match shared.disk.exists(&path) {
                        Ok(true) => publishing::publish_rest(shared, key, image),
                        Ok(false) => Err(StoreError::NotFound { key }),
                        Err(error) => Err(StoreError::from_io("look for an image", &error)),
                    }
                };
                self.entries.run_behind(guard, job).await
            }
        }
    }

    async fn discard(&self, owned: Owned) -> Result<()> {
        self.entries.alone(owned, move |shared| publishing::discard(shared, owned.key)).await
    }
}

fn fence(checkpoint: &Checkpoint, owned: Owned) -> Result<()> {
    if checkpoint.epoch > owned.epoch {
        return Err(StoreError::Fenced { key: owned.key, current: checkpoint.epoch });
    }
    Ok(())
}

fn published_state(checkpoint: &Checkpoint) -> UploadState {
    UploadState {
        declared_length: checkpoint.declared_length,
        extents: checkpoint.extents.to_vec(),
        offset: checkpoint.offset(),
        hashed_offset: checkpoint.hashed_offset(),
        digests: checkpoint.choice,
        writers: 0,
        phase: UploadPhase::Published,
    }
}
