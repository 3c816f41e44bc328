//! Which uploads have their files open. Opening, closing and removing files of one upload happen one after the other.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::{
    checkpoint_file::CheckpointFile, disk::DiskFile, layout::StagingFile, shared::Shared,
    threads::locked, upload::Upload,
};
use crate::{
    checkpoint::Checkpoint,
    error::{Result, StoreError},
    store::UploadKey,
};

/// Uploads whose files stay open although nobody uses them.
const OPEN_MAX: usize = 1024;
/// Unused files are closed after this long, at the next touch of any upload.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// What was found under the name of an upload.
#[derive(Clone)]
pub(super) enum Entry {
    Upload(Arc<Upload>),
    /// Its data is an image already; only the last steps of publishing are missing.
    Published(Arc<Checkpoint>),
}

/// The lock under which files of one upload are opened, closed and removed.
type Gate = AsyncMutex<Option<Entry>>;
pub(super) type GateGuard = OwnedMutexGuard<Option<Entry>>;

pub(super) struct Entries {
    shared: Arc<Shared>,
    gates: Mutex<Gates>,
    /// Uploads whose newest record is known to be on stable storage, not only in the cache.
    asserted: Mutex<HashSet<UploadKey>>,
    /// Revoking is remembered for the life of the process, also while the files are closed.
    revoked: Mutex<HashSet<UploadKey>>,
}

#[derive(Default)]
struct Gates {
    gates: HashMap<UploadKey, Arc<Gate>>,
    swept: Duration,
}

impl Entries {
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared,
            gates: Mutex::default(),
            asserted: Mutex::default(),
            revoked: Mutex::default(),
        })
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Takes the gate of an upload.
    pub(super) async fn gate(&self, key: UploadKey) -> GateGuard {
        let gate = {
            let mut gates = locked(&self.gates);
            let gate = Arc::clone(gates.gates.entry(key).or_default());
            let closed = self.sweep(&mut gates);
            drop(gates);
            if !closed.is_empty() {
                // Closing may block; if the store is being closed they go here.
                self.shared.io.submit(Box::new(move || drop(closed)));
            }
            gate
        };
        gate.lock_owned().await
    }

    /// Takes out what nobody uses: all that is idle for long, and beyond the bound the longest idle.
    fn sweep(&self, gates: &mut Gates) -> Vec<Arc<Gate>> {
        let now = self.shared.now();
        let over = gates.gates.len().saturating_sub(OPEN_MAX);
        if over == 0 && now.saturating_sub(gates.swept) < IDLE_MAX / 10 {
            return Vec::new();
        }
        gates.swept = now;
        let mut idle: Vec<_> = gates
            .gates
            .iter()
            .filter_map(|(key, gate)| Some((idle_for(gate, now)?, *key)))
            .collect();
        idle.sort_unstable_by(|left, right| right.cmp(left));
        idle.into_iter()
            .enumerate()
            .filter(|(index, (idle, _))| *index < over || *idle >= IDLE_MAX)
            .filter_map(|(_, (_, key))| gates.gates.remove(&key))
            .collect()
    }

    /// The entry of an upload, opened from its checkpoint where it was not open, and again after an error.
    pub(super) async fn get(self: &Arc<Self>, key: UploadKey) -> Result<Entry> {
        let guard = self.gate(key).await;
        let (_guard, entry) = self.open(key, guard).await?;
        entry.ok_or(StoreError::NotFound { key })
    }

    /// The entry behind a gate that is held; `None` when there is no checkpoint.
    pub(super) async fn open(
        self: &Arc<Self>,
        key: UploadKey,
        mut guard: GateGuard,
    ) -> Result<(GateGuard, Option<Entry>)> {
        match &*guard {
            // Whoever closes an upload holds the gate until it is gone: found closed, that request was given up half-way.
            Some(Entry::Upload(upload)) if upload.is_over() => {
                // Its last write must have landed before anybody may claim the same range again.
                upload.quiet().await;
                self.doubt(key);
                *guard = None;
            }
            Some(entry) => {
                if let Entry::Upload(upload) = entry {
                    upload.touch();
                }
                let entry = entry.clone();
                return Ok((guard, Some(entry)));
            }
            None => {}
        }
        let entries = Arc::clone(self);
        let opened = move || {
            let entry = entries.open_files(key)?;
            guard.clone_from(&entry);
            Ok((guard, entry))
        };
        self.shared.io.run(opened).await?
    }

    fn open_files(&self, key: UploadKey) -> Result<Option<Entry>> {
        let shared = &self.shared;
        let opened = CheckpointFile::open(&*shared.disk, &shared.layout, key)?;
        let Some((slots, checkpoint)) = opened else {
            return Ok(None);
        };
        let Some(data) = self.open_data(key, &checkpoint)? else {
            return Ok(Some(Entry::Published(Arc::new(checkpoint))));
        };
        if !self.is_asserted(key) {
            forget_uncounted(&*data, &checkpoint)?;
            // What was read may lie in the cache alone: a process that was killed between writing and syncing it leaves it
            // so, and after a failed sync the cache even says that it is clean. Writing it once more makes it true.
            slots.rewrite(shared, &checkpoint)?;
            self.assert_durable(key);
        }
        let revoked = locked(&self.revoked).contains(&key);
        let upload = Upload::new(Arc::clone(shared), data, slots, checkpoint, revoked);
        let upload = upload.ok_or_else(|| StoreError::Damaged {
            what: format!("the checkpoint of upload {key}"),
            message: "its digest state is impossible".to_owned(),
        })?;
        upload.touch();
        Ok(Some(Entry::Upload(upload)))
    }

    /// The data file; `None` when it has become the image that the checkpoint names.
    fn open_data(
        &self,
        key: UploadKey,
        checkpoint: &Checkpoint,
    ) -> Result<Option<Arc<dyn DiskFile>>> {
        let (disk, layout) = (&self.shared.disk, &self.shared.layout);
        let path = layout.staging(key, StagingFile::Data);
        match disk.open(&path) {
            Ok(file) => return Ok(Some(file)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::from_io("open data", &error));
            }
            Err(_) => {}
        }
        if let Some(image) = checkpoint.image
            && disk
                .exists(&layout.image(image))
                .map_err(|error| StoreError::from_io("look for an image", &error))?
        {
            return Ok(None);
        }
        if checkpoint.extents.is_empty() {
            // A power cut during creation may keep the one name and lose the other. The new one is durable only after a sync.
            self.doubt(key);
            let file = disk.create_new(&path);
            return file.map(Some).map_err(|error| StoreError::from_io("create data", &error));
        }
        Err(StoreError::Damaged {
            what: format!("upload {key}"),
            message: "its data file is gone".to_owned(),
        })
    }

    fn is_asserted(&self, key: UploadKey) -> bool {
        locked(&self.asserted).contains(&key)
    }

    /// A record, and its name, that were just made durable need no second writing.
    pub(super) fn assert_durable(&self, key: UploadKey) {
        locked(&self.asserted).insert(key);
    }

    /// After an error nobody knows what is on stable storage.
    pub(super) fn doubt(&self, key: UploadKey) {
        locked(&self.asserted).remove(&key);
    }

    pub(super) fn set_revoked(&self, key: UploadKey, revoked: bool) {
        let mut keys = locked(&self.revoked);
        if revoked {
            keys.insert(key);
        } else {
            keys.remove(&key);
        }
    }

    /// The upload is gone for good.
    pub(super) fn forget(&self, key: UploadKey) {
        locked(&self.asserted).remove(&key);
        locked(&self.revoked).remove(&key);
    }

    /// Number of uploads whose files are open, about.
    pub(super) fn len(&self) -> usize {
        locked(&self.gates).gates.len()
    }

    /// Ends all writers, so that the threads of the store may end. Part of closing the store.
    pub(super) fn end_all(&self) {
        let gates: Vec<_> = locked(&self.gates).gates.values().cloned().collect();
        for gate in gates {
            if let Ok(entry) = gate.try_lock()
                && let Some(Entry::Upload(upload)) = &*entry
            {
                upload.poison(StoreError::Io {
                    action: "reach the storage",
                    message: super::threads::CLOSING.to_owned(),
                });
            }
        }
    }
}

/// No block of ext4 is larger.
const BLOCK_BYTES: u64 = 4096;

/// Takes out of the file what does not count. Where writing it back has failed, the pages stay in memory as if all were well, tied
/// to blocks that ext4 still holds for unwritten: written once more through these pages, the bytes reach the disk, a sync says so,
/// and after the next mount they read as zeros.
///
/// `Damaged` where the file ends before what counts: writing on behind that end would make zeros of what was acknowledged.
fn forget_uncounted(data: &dyn DiskFile, checkpoint: &Checkpoint) -> Result<()> {
    let failed = |error: io::Error| StoreError::from_io("clear what was not stored", &error);
    let length = data.len().map_err(failed)?;
    if length < checkpoint.extents.end() {
        return Err(too_short(checkpoint.key));
    }
    let mut missing = checkpoint.extents.missing(0..length).into_iter().map(|range| {
        // The last block as a whole, also behind the end of the file: ext4 keeps a block that is named in part.
        let end =
            if range.end == length { length.next_multiple_of(BLOCK_BYTES) } else { range.end };
        range.start..end
    });
    missing.try_for_each(|range| data.forget(range)).map_err(failed)
}

pub(super) fn too_short(key: UploadKey) -> StoreError {
    StoreError::Damaged {
        what: format!("the data file of upload {key}"),
        message: "it is shorter than the bytes that were stored in it".to_owned(),
    }
}

/// How long nobody has used a gate; `None` while somebody does or when closing it would lose something.
fn idle_for(gate: &Arc<Gate>, now: Duration) -> Option<Duration> {
    if Arc::strong_count(gate) > 1 {
        return None;
    }
    match &*gate.try_lock().ok()? {
        None | Some(Entry::Published(_)) => Some(Duration::MAX),
        // Writers, waiters and jobs hold the upload too.
        Some(Entry::Upload(upload)) if Arc::strong_count(upload) == 1 && upload.is_settled() => {
            Some(upload.idle_for(now))
        }
        Some(Entry::Upload(_)) => None,
    }
}
