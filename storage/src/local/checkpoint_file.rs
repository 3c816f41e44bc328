//! The checkpoint of one upload on disk: two slots of one file, written in turn.

use std::{io, sync::Arc};

use super::{
    disk::{Disk, DiskFile},
    layout::{Layout, StagingFile},
    shared::Shared,
};
use crate::{
    checkpoint::{self, Checkpoint},
    error::{Result, StoreError},
    kill::kill_point,
    store::UploadKey,
};

/// Slots are whole pages, so that a torn write of one never touches the other.
const PAGE: usize = 4096;

/// The open checkpoint file.
pub(super) struct CheckpointFile {
    file: Arc<dyn DiskFile>,
    slot_bytes: usize,
    /// The slot that holds the newest record.
    newest: usize,
    sequence: u64,
}

fn io_error(action: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::from_io(action, &error)
}

impl CheckpointFile {
    /// Makes the file durably: it appears under its name only with a whole record in both slots. `checkpoint` gets the
    /// sequence number 1. The directory is synced, also for a data file that was made before.
    pub(super) fn create(shared: &Shared, checkpoint: &mut Checkpoint) -> Result<Self> {
        checkpoint.sequence = 1;
        Self::replace(shared, checkpoint, "create.after_checkpoint")
    }

    /// Writes a new file with room for the record and renames it over the old one.
    fn replace(shared: &Shared, checkpoint: &Checkpoint, named: &'static str) -> Result<Self> {
        let (disk, key) = (&*shared.disk, checkpoint.key);
        let record = checkpoint.encode();
        // Twice the room, so that a growing list does not come here at every step.
        let slot_bytes = (record.len() * 2).next_multiple_of(PAGE);
        let new = shared.layout.staging(key, StagingFile::CheckpointNew);
        if disk.exists(&new).map_err(io_error("look for a checkpoint"))? {
            disk.remove_file(&new).map_err(io_error("remove a half-made checkpoint"))?;
        }
        let file = disk.create_new(&new).map_err(io_error("create a checkpoint"))?;
        let mut both = vec![0; slot_bytes * 2];
        both[..record.len()].copy_from_slice(&record);
        both[slot_bytes..slot_bytes + record.len()].copy_from_slice(&record);
        file.write_all_at(&both, 0).map_err(io_error("write a checkpoint"))?;
        shared.sync_file(&*file).map_err(io_error("sync a checkpoint"))?;
        kill_point("checkpoint.before_rename");
        let path = shared.layout.staging(key, StagingFile::Checkpoint);
        disk.rename(&new, &path).map_err(io_error("name a checkpoint"))?;
        kill_point(named);
        let folder = shared.layout.upload_shard(key);
        shared.sync_dir(&folder).map_err(io_error("sync the directory of an upload"))?;
        Ok(Self { file, slot_bytes, newest: 0, sequence: checkpoint.sequence })
    }

    /// Opens the file and reads the newest whole record; `None` when there is no file.
    pub(super) fn open(
        disk: &dyn Disk,
        layout: &Layout,
        key: UploadKey,
    ) -> Result<Option<(Self, Checkpoint)>> {
        let path = layout.staging(key, StagingFile::Checkpoint);
        let file = match disk.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::from_io("open a checkpoint", &error)),
        };
        let length = file.len().map_err(io_error("measure a checkpoint"))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let slot_bytes = length / 2;
        if slot_bytes == 0 || !slot_bytes.is_multiple_of(PAGE) || slot_bytes > SLOT_BYTES_MAX {
            return Err(damaged(key, format!("its file has {length} bytes")));
        }
        let mut both = vec![0; slot_bytes * 2];
        let read = file.read_at(&mut both, 0).map_err(io_error("read a checkpoint"))?;
        let (first, second) = both[..read].split_at(slot_bytes.min(read));
        let (newest, checkpoint) = checkpoint::newest([first, second])
            .map_err(|error| damaged(key, format!("neither slot is whole ({error})")))?;
        if checkpoint.key != key {
            return Err(damaged(key, format!("it belongs to upload {}", checkpoint.key)));
        }
        let sequence = checkpoint.sequence;
        Ok(Some((Self { file, slot_bytes, newest, sequence }, checkpoint)))
    }

    /// Writes the newest record, as it was read, once more over itself and makes it and its name durable. The other slot is
    /// not touched: until this returns it may be the only record that is really on stable storage.
    pub(super) fn rewrite(&self, shared: &Shared, checkpoint: &Checkpoint) -> Result<()> {
        let position = (self.newest * self.slot_bytes) as u64;
        let record = checkpoint.encode();
        self.file.write_all_at(&record, position).map_err(io_error("write a checkpoint"))?;
        shared.sync_file(&*self.file).map_err(io_error("sync a checkpoint"))?;
        // It may have been renamed over a smaller one just before the end of the process.
        let folder = shared.layout.upload_shard(checkpoint.key);
        shared.sync_dir(&folder).map_err(io_error("sync the directory of an upload"))
    }

    /// Makes `checkpoint` the newest record, durably, and gives it its sequence number. The record before it stays whole
    /// until this one is. After an error the file is in an unknown state: open it again.
    pub(super) fn write(&mut self, shared: &Shared, checkpoint: &mut Checkpoint) -> Result<()> {
        checkpoint.sequence = self.sequence + 1;
        let record = checkpoint.encode();
        if record.len() > self.slot_bytes {
            *self = Self::replace(shared, checkpoint, "checkpoint.after_slot_sync")?;
            return Ok(());
        }
        let slot = 1 - self.newest;
        let position = (slot * self.slot_bytes) as u64;
        self.file.write_all_at(&record, position).map_err(io_error("write a checkpoint"))?;
        kill_point("checkpoint.after_slot_write");
        shared.sync_file(&*self.file).map_err(io_error("sync a checkpoint"))?;
        kill_point("checkpoint.after_slot_sync");
        // Removed behind our back: what is in it would be gone with this descriptor.
        if !self.file.has_name().map_err(io_error("look for a checkpoint"))? {
            return Err(damaged(checkpoint.key, "its file was removed".to_owned()));
        }
        self.newest = slot;
        self.sequence = checkpoint.sequence;
        Ok(())
    }
}

/// Far above what any limit of extents needs; a longer file is none of ours.
const SLOT_BYTES_MAX: usize = 64 << 20;

fn damaged(key: UploadKey, message: String) -> StoreError {
    StoreError::Damaged { what: format!("the checkpoint of upload {key}"), message }
}
