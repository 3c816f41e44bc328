//! What all uploads of one store share: file system, threads, block pool, limits and the clock.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    buffers::Buffers,
    disk::{Disk, DiskFile},
    hash_queue::HashQueue,
    layout::Layout,
    statistics::{Counters, add},
    threads::IoQueue,
    upload::Upload,
};
use crate::limits::{Durability, Limits};

pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) layout: Layout,
    pub(super) limits: Limits,
    pub(super) durability: Durability,
    pub(super) io: Arc<IoQueue>,
    pub(super) hash: Arc<HashQueue<Upload>>,
    pub(super) buffers: Arc<Buffers>,
    pub(super) counters: Counters,
    pub(super) started: Instant,
}

impl Shared {
    /// The moment, on the clock that claims are decided by.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits for stable storage, where an acknowledgement promises it.
    pub(super) fn sync_file(&self, file: &dyn DiskFile) -> io::Result<()> {
        match self.durability {
            Durability::PowerLoss => {
                add(&self.counters.syncs, 1);
                file.sync_data()
            }
            Durability::ProcessCrash => Ok(()),
        }
    }

    /// The same for the names in a directory.
    pub(super) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        match self.durability {
            Durability::PowerLoss => {
                add(&self.counters.syncs, 1);
                self.disk.sync_dir(path)
            }
            Durability::ProcessCrash => Ok(()),
        }
    }

    /// After a removal. A directory that was itself removed behind our back holds no name any more: the way out of an upload or
    /// an image must not depend on it.
    pub(super) fn sync_removal(&self, path: &Path) -> io::Result<()> {
        match self.sync_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}
