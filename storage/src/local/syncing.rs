//! One syncer per upload: it makes what counts durable, for everybody who waits at once.
//!
//! There is never more than one sync of the same descriptor at a time: Linux reports an error of writing back once per
//! descriptor, so that of two syncs side by side one would be told that all is well.

use std::sync::Arc;

use super::{
    statistics::add,
    upload::{Inner, Upload},
};
use crate::{
    checkpoint::{Checkpoint, DigestProgress},
    error::{Result, StoreError},
    kill::kill_point,
    limits::Durability,
    store::UploadState,
};

impl Upload {
    /// Asks for a checkpoint that holds at least `version`.
    pub(super) fn request_sync(self: &Arc<Self>, inner: &mut Inner, version: u64) {
        inner.sync.wanted = inner.sync.wanted.max(version);
        self.start_sync(inner);
    }

    /// Starts the syncer when it is not running: for a checkpoint that somebody wants, else only for writing back.
    pub(super) fn start_sync(self: &Arc<Self>, inner: &mut Inner) {
        if inner.sync.running || inner.closed || inner.failed.is_some() {
            return;
        }
        inner.sync.running = true;
        let upload = Arc::clone(self);
        if !self.shared.io.submit_sync(Box::new(move || upload.sync_step())) {
            inner.sync.running = false;
            let message = super::threads::CLOSING.to_owned();
            let error = StoreError::Io { action: "sync data", message };
            self.poison_locked(inner, error);
        }
    }

    fn sync_step(self: Arc<Self>) {
        let wanted = {
            let inner = self.lock();
            inner.sync.wanted > inner.durable_version
        };
        let outcome = if wanted { self.write_checkpoint() } else { self.write_back() };
        let mut inner = self.lock();
        inner.sync.running = false;
        match outcome {
            Ok(()) => {
                let more = inner.sync.wanted > inner.durable_version
                    || inner.sync.unsynced_bytes >= self.shared.limits.writeback_bytes;
                if more {
                    self.start_sync(&mut inner);
                }
            }
            Err(error) => self.poison_locked(&mut inner, error),
        }
        drop(inner);
        self.beat();
    }

    /// Begins writing back early, so that the sync before an answer is short.
    fn write_back(&self) -> Result<()> {
        {
            let mut inner = self.lock();
            inner.sync.dirty = false;
            inner.sync.unsynced_bytes = 0;
        }
        self.sync_data()
    }

    fn sync_data(&self) -> Result<()> {
        let synced = self.shared.sync_file(&*self.data);
        synced.map_err(|error| StoreError::from_io("sync data", &error))
    }

    /// Snapshot first, then the data, then the record, then the news: what is published as durable was written before its
    /// data was synced.
    fn write_checkpoint(&self) -> Result<()> {
        let (mut checkpoint, version, dirty) = self.snapshot();
        kill_point("checkpoint.before_data_sync");
        if dirty {
            self.sync_data()?;
        }
        kill_point("checkpoint.after_data_sync");
        let named = self.data.has_name();
        if !named.map_err(|error| StoreError::from_io("look for data", &error))? {
            return Err(StoreError::Damaged {
                what: format!("upload {}", self.key),
                message: "its data file was removed".to_owned(),
            });
        }
        super::threads::locked(&self.slots).write(&self.shared, &mut checkpoint)?;
        add(&self.shared.counters.checkpoints, 1);
        let mut inner = self.lock();
        inner.durable = checkpoint;
        inner.durable_version = version;
        Ok(())
    }

    fn snapshot(&self) -> (Checkpoint, u64, bool) {
        // The digests before the extents: digests never run ahead of what counts, so that a later look at the extents
        // always covers them.
        let saved = super::threads::locked(&self.track).saved();
        let mut inner = self.lock();
        let digests = match inner.finished {
            Some(digests) => DigestProgress::Finished(digests),
            None => DigestProgress::Running(saved),
        };
        debug_assert!(saved.offset <= inner.counted.prefix(), "digests ran ahead of the bytes");
        let checkpoint = Checkpoint {
            key: self.key,
            sequence: 0,
            epoch: inner.epoch,
            declared_length: inner.declared_length,
            choice: inner.choice,
            extents: inner.counted.clone(),
            digests,
            image: inner.image,
        };
        let dirty = std::mem::replace(&mut inner.sync.dirty, false);
        inner.sync.unsynced_bytes = 0;
        inner.sync.uncheckpointed_bytes = 0;
        inner.sync.snapshot_hashed = inner.hashed;
        (checkpoint, inner.version, dirty && self.shared.durability == Durability::PowerLoss)
    }

    /// Waits until `version` is durable and answers the state then. One sync serves everybody who waits for it.
    pub(super) async fn durable(self: &Arc<Self>, version: u64) -> Result<UploadState> {
        let mut pulse = self.pulse();
        loop {
            {
                let mut inner = self.lock();
                if inner.durable_version >= version {
                    return Ok(inner.state());
                }
                if let Some(error) = &inner.failed {
                    return Err(error.clone());
                }
                if inner.closed && !inner.sync.running {
                    return Err(StoreError::NotFound { key: self.key });
                }
                self.request_sync(&mut inner, version);
            }
            if pulse.changed().await.is_err() {
                return Err(StoreError::NotFound { key: self.key });
            }
        }
    }

    /// Waits until everything that counts at this moment is durable.
    pub(super) async fn all_durable(self: &Arc<Self>) -> Result<UploadState> {
        let version = self.lock().version;
        self.durable(version).await
    }
}
