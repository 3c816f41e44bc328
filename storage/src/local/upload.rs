//! One upload in memory: what counts, what is durable, who writes, how far the digests are.
//!
//! Lock order: `track`, then `inner`, then the lock of a lane. `inner` and lanes are never held over a system
//! call or hashing, none over an await; `track` and `slots` are for the threads of the store only, never for a task. The locks of
//! the queue of hashes come last.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::{
    checkpoint_file::CheckpointFile, disk::DiskFile, hash_queue::Pending, hash_task::HashItem,
    hashing::Track, lane::Lane, reading_back::Fetch, shared::Shared, statistics::add,
    threads::locked,
};
use crate::{
    checkpoint::{Checkpoint, DigestProgress},
    claims::{ClaimId, Ledger},
    digest::{DigestChoice, DigestState, Digests},
    error::{Result, StoreError},
    extents::Extents,
    store::{Ended, ImageKey, Owned, UploadKey, UploadPhase, UploadState},
};

/// An upload whose files are open: one descriptor for its data, one syncer, one order of hashing.
pub(super) struct Upload {
    pub(super) key: UploadKey,
    pub(super) shared: Arc<Shared>,
    pub(super) data: Arc<dyn DiskFile>,
    pub(super) slots: Mutex<CheckpointFile>,
    /// What the digests will need next, from the disk.
    pub(super) fetch: Mutex<Fetch>,
    pub(super) track: Mutex<Track>,
    inner: Mutex<Inner>,
    /// Beats at every change that somebody may wait for.
    pulse: watch::Sender<()>,
    /// What waits for the hash workers, in order.
    pub(super) pending_hashes: Mutex<Pending<HashItem>>,
    touched_ms: AtomicU64,
    /// The size of block that suits the rate of its newest bytes.
    block_bytes: AtomicUsize,
}

pub(super) struct Inner {
    pub(super) choice: DigestChoice,
    pub(super) epoch: u64,
    pub(super) declared_length: Option<u64>,
    /// Bytes that are written and count: their checksum matched or they have none.
    pub(super) counted: Extents,
    /// Grows with every change that a checkpoint keeps.
    pub(super) version: u64,
    /// The newest durable record, and the version that it holds.
    pub(super) durable: Checkpoint,
    pub(super) durable_version: u64,
    pub(super) finished: Option<Digests>,
    pub(super) image: Option<ImageKey>,
    pub(super) revoked: bool,
    /// Publishing, discarding or setting aside has begun: nothing starts any more.
    pub(super) closed: bool,
    /// The first error of the storage; the upload is opened again from its checkpoint.
    pub(super) failed: Option<StoreError>,
    pub(super) ledger: Ledger,
    pub(super) lanes: BTreeMap<ClaimId, Arc<Lane>>,
    /// Requests that wait for a claim.
    pub(super) waiting: usize,
    /// Ranges that count and whose bytes are in memory on their way to the hash worker.
    pub(super) in_pipeline: Vec<Range<u64>>,
    /// How far the digests are; never beyond the prefix of `counted`.
    pub(super) hashed: u64,
    pub(super) catching_up: bool,
    /// Bytes ahead of the digests that went through the cache of the system and are counted against its bound.
    pub(super) cached_ahead: Extents,
    pub(super) sync: SyncState,
}

/// What the one syncer of an upload knows.
#[derive(Default)]
pub(super) struct SyncState {
    pub(super) running: bool,
    /// The version that somebody waits for.
    pub(super) wanted: u64,
    /// Data was written, or its file was cut, since the last sync of the data began.
    pub(super) dirty: bool,
    /// Bytes written through the cache since then.
    pub(super) unsynced_bytes: u64,
    /// Bytes that came to count since the last snapshot.
    pub(super) uncheckpointed_bytes: u64,
    /// How far the digests were in the last snapshot.
    pub(super) snapshot_hashed: u64,
}

impl Upload {
    /// Takes what a checkpoint says; the checkpoint must be durable. `None` when its digest state is impossible.
    pub(super) fn new(
        shared: Arc<Shared>,
        data: Arc<dyn DiskFile>,
        slots: CheckpointFile,
        checkpoint: Checkpoint,
        revoked: bool,
    ) -> Option<Arc<Self>> {
        let (state, finished) = match &checkpoint.digests {
            DigestProgress::Running(saved) => {
                (DigestState::restore(checkpoint.choice, saved)?, None)
            }
            DigestProgress::Finished(digests) => {
                (DigestState::new(checkpoint.choice), Some(*digests))
            }
        };
        let hashed = checkpoint.hashed_offset();
        let inner = Inner {
            choice: checkpoint.choice,
            epoch: checkpoint.epoch,
            declared_length: checkpoint.declared_length,
            counted: checkpoint.extents.clone(),
            version: 0,
            durable_version: 0,
            finished,
            image: checkpoint.image,
            revoked,
            closed: false,
            failed: None,
            ledger: Ledger::new(),
            lanes: BTreeMap::new(),
            waiting: 0,
            in_pipeline: Vec::new(),
            hashed,
            catching_up: false,
            cached_ahead: Extents::new(),
            // Bytes may lie in the cache that a process before us had not synced.
            sync: SyncState { dirty: true, snapshot_hashed: hashed, ..SyncState::default() },
            durable: checkpoint,
        };
        let key = inner.durable.key;
        Some(Arc::new(Self {
            key,
            pending_hashes: Mutex::default(),
            data,
            slots: Mutex::new(slots),
            fetch: Mutex::default(),
            track: Mutex::new(Track::new(state)),
            inner: Mutex::new(inner),
            pulse: watch::Sender::new(()),
            touched_ms: AtomicU64::new(0),
            block_bytes: AtomicUsize::new(0),
            shared,
        }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        locked(&self.inner)
    }

    /// Wakes everybody who waits for something of this upload.
    pub(super) fn beat(&self) {
        self.pulse.send_replace(());
    }

    /// Subscribe before looking, so that no change is missed.
    pub(super) fn pulse(&self) -> watch::Receiver<()> {
        self.pulse.subscribe()
    }

    pub(super) fn touch(&self) {
        let now = u64::try_from(self.shared.now().as_millis()).unwrap_or(u64::MAX);
        self.touched_ms.store(now, Ordering::Relaxed);
    }

    /// A chunk goes on with blocks as large as those of the chunk before it; 0 when there was none.
    pub(super) fn last_block_bytes(&self) -> usize {
        self.block_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn note_block_bytes(&self, bytes: usize) {
        self.block_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn idle_for(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_millis(self.touched_ms.load(Ordering::Relaxed)))
    }

    /// Whether everything that counts is durable and nothing runs, so that the files may be closed without losing anything.
    pub(super) fn is_settled(&self) -> bool {
        let inner = self.lock();
        inner.failed.is_none()
            && inner.lanes.is_empty()
            && !inner.sync.running
            && inner.durable_version == inner.version
    }

    pub(super) fn failure(&self) -> Option<StoreError> {
        self.lock().failed.clone()
    }

    /// Whether this entry takes part no more and the upload has to be opened again.
    pub(super) fn is_over(&self) -> bool {
        let inner = self.lock();
        inner.failed.is_some() || inner.closed
    }

    /// Lets `owned` act on the upload: refuses an old epoch, takes note of a new one (and ends writers of older ones).
    pub(super) fn enter(&self, inner: &mut Inner, owned: Owned) -> Result<()> {
        if let Some(error) = &inner.failed {
            return Err(error.clone());
        }
        if inner.closed {
            return Err(StoreError::NotFound { key: self.key });
        }
        if owned.epoch < inner.epoch {
            return Err(StoreError::Fenced { key: self.key, current: inner.epoch });
        }
        if owned.epoch > inner.epoch {
            inner.epoch = owned.epoch;
            inner.version += 1;
            let error = StoreError::Fenced { key: self.key, current: owned.epoch };
            for lane in inner.lanes.values() {
                lane.fail(&error, Ended::Superseded);
            }
        }
        Ok(())
    }

    /// After the first error of a syncing or writing call nothing is retried on the same pages: the kernel reports such an
    /// error once and then forgets it. Everybody is told, and the next touch opens the upload again from its checkpoint.
    pub(super) fn poison(&self, error: StoreError) {
        let mut inner = self.lock();
        self.poison_locked(&mut inner, error);
        drop(inner);
        self.beat();
    }

    pub(super) fn poison_locked(&self, inner: &mut Inner, error: StoreError) {
        if inner.failed.is_some() {
            return;
        }
        // An open upload ends so at every orderly stop: nothing has failed, and nobody is to be called.
        if matches!(&error, StoreError::Io { message, .. } if message == super::threads::CLOSING) {
            tracing::debug!(upload = %self.key, "the store is being closed; the upload goes on from its checkpoint");
        } else {
            tracing::error!(upload = %self.key, %error, "the storage failed; reopening from the checkpoint");
        }
        for lane in inner.lanes.values() {
            lane.fail(&error, Ended::Failed);
        }
        inner.failed = Some(error);
        // Its place in the cache is for others: opened again, it reads past it.
        self.leave_cache(inner, u64::MAX);
    }

    /// Ends every writer in an orderly way: what they have received counts, unless under a checksum.
    pub(super) fn end_writers(inner: &Inner, error: &StoreError, ended: Ended) {
        for lane in inner.lanes.values() {
            lane.end(error, ended);
        }
    }

    /// Returns once no write and no sync of this upload is on its way. Nothing new starts when it was closed or has failed.
    pub(super) async fn quiet(&self) {
        let mut pulse = self.pulse();
        loop {
            {
                let inner = self.lock();
                if inner.lanes.is_empty() && !inner.sync.running {
                    return;
                }
            }
            if pulse.changed().await.is_err() {
                return;
            }
        }
    }

    /// Returns once every claim has been released.
    pub(super) async fn drained(&self) {
        let mut pulse = self.pulse();
        while !self.lock().lanes.is_empty() {
            if pulse.changed().await.is_err() {
                return;
            }
        }
    }

    /// Closes the upload for good, ends its writers and waits until nothing of it runs any more.
    pub(super) async fn close(&self) {
        {
            let mut inner = self.lock();
            inner.closed = true;
            Self::end_writers(&inner, &StoreError::Revoked { key: self.key }, Ended::Revoked);
        }
        self.beat();
        self.quiet().await;
    }

    /// Takes note of parts of a block that a lane has written; answers those that count now and are to be hashed.
    /// `cached_bytes` of them went through the cache of the system and wait there to be written back.
    pub(super) fn written(
        self: &Arc<Self>,
        lane: &Lane,
        parts: &[Range<u64>],
        cached_bytes: u64,
    ) -> Vec<Range<u64>> {
        self.landed(lane, parts, cached_bytes, true)
    }

    /// Takes note of parts that were copied from another upload: they count, and the digests read them back.
    pub(super) fn copied(self: &Arc<Self>, lane: &Lane, parts: &[Range<u64>]) {
        let bytes = parts.iter().map(|part| part.end - part.start).sum();
        self.landed(lane, parts, bytes, false);
    }

    /// `in_memory`: the bytes are, and go on to the hash workers from there.
    fn landed(
        self: &Arc<Self>,
        lane: &Lane,
        parts: &[Range<u64>],
        cached_bytes: u64,
        in_memory: bool,
    ) -> Vec<Range<u64>> {
        let bytes: u64 = parts.iter().map(|part| part.end - part.start).sum();
        add(&self.shared.counters.written_bytes, bytes);
        let mut inner = self.lock();
        let hashes = in_memory && (inner.choice.md5 || inner.choice.sha256);
        inner.sync.dirty = true;
        inner.sync.unsynced_bytes += cached_bytes;
        // A fenced or failed writer changes nothing any more, although its last write has landed in its own claim.
        let counts = !lane.checked && inner.failed.is_none() && lane.epoch == inner.epoch;
        if counts && !parts.is_empty() {
            self.count(&mut inner, parts);
            if hashes {
                inner.in_pipeline.extend_from_slice(parts);
            } else {
                self.kick_catch_up(&mut inner);
            }
        }
        if inner.sync.unsynced_bytes >= self.shared.limits.writeback_bytes {
            self.start_sync(&mut inner);
        }
        drop(inner);
        self.beat();
        if counts && hashes { parts.to_vec() } else { Vec::new() }
    }

    /// Makes parts count; a checkpoint follows by itself when many bytes have come without one.
    pub(super) fn count(self: &Arc<Self>, inner: &mut Inner, parts: &[Range<u64>]) {
        for part in parts {
            inner.counted.insert(part.clone());
            inner.sync.uncheckpointed_bytes += part.end - part.start;
        }
        inner.version += 1;
        if inner.sync.uncheckpointed_bytes >= self.shared.limits.checkpoint_bytes {
            let version = inner.version;
            self.request_sync(inner, version);
        }
    }

    /// The claim of a lane is over: its last write has returned.
    pub(super) fn release(self: &Arc<Self>, id: ClaimId) {
        let mut inner = self.lock();
        inner.ledger.release(id);
        inner.lanes.remove(&id);
        // Also what a dropped writer leaves becomes durable soon.
        if inner.version > inner.durable_version {
            let version = inner.version;
            self.request_sync(&mut inner, version);
        }
        self.kick_catch_up(&mut inner);
        drop(inner);
        self.beat();
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Ok(inner) = self.inner.get_mut() {
            self.shared.placing.give_back(inner.cached_ahead.bytes());
        }
    }
}

impl Inner {
    /// The durable truth.
    pub(super) fn state(&self) -> UploadState {
        UploadState {
            declared_length: self.durable.declared_length,
            extents: self.durable.extents.to_vec(),
            offset: self.durable.offset(),
            hashed_offset: self.durable.hashed_offset(),
            digests: self.choice,
            writers: u32::try_from(self.ledger.len()).unwrap_or(u32::MAX),
            phase: if self.revoked { UploadPhase::Revoked } else { UploadPhase::Open },
        }
    }
}
