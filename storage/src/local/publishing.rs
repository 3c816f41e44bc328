//! Steps on the files of one upload: creating, becoming an image, going away. Each can be repeated after a crash between
//! any two of its calls.

use std::{io, sync::Arc};

use super::{
    checkpoint_file::CheckpointFile,
    entries::{Entries, Entry, GateGuard},
    layout::StagingFile,
    shared::Shared,
    upload::Upload,
};
use crate::{
    checkpoint::{Checkpoint, DigestProgress},
    digest::DigestState,
    error::{Result, StoreError},
    extents::Extents,
    kill::kill_point,
    store::{ImageKey, Owned, UploadKey, UploadSpec},
};

fn io_error(action: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::from_io(action, &error)
}

/// Makes the files of a new upload. Data without a checkpoint is what a crash left of creating or discarding: nothing of
/// it was ever promised.
pub(super) fn create(shared: &Arc<Shared>, owned: Owned, spec: UploadSpec) -> Result<Arc<Upload>> {
    let made = make(shared, owned, spec);
    if made.is_err()
        && let Err(error) = discard(shared, owned.key)
    {
        // Whoever asked has been refused and will not come back for it; the next look for strays finds what is left.
        tracing::warn!(upload = %owned.key, %error, "what a failed creation left could not be removed");
    }
    made
}

fn make(shared: &Arc<Shared>, owned: Owned, spec: UploadSpec) -> Result<Arc<Upload>> {
    let (disk, key) = (&shared.disk, owned.key);
    let path = shared.layout.staging(key, StagingFile::Data);
    remove_if_there(shared, key, StagingFile::Data)?;
    let data = disk.create_new(&path).map_err(io_error("create data"))?;
    kill_point("create.after_data");
    let state = DigestState::new(spec.digests);
    let mut checkpoint = Checkpoint {
        key,
        sequence: 0,
        epoch: owned.epoch,
        declared_length: spec.declared_length,
        choice: spec.digests,
        extents: Extents::new(),
        digests: DigestProgress::Running(state.save()),
        image: None,
    };
    let slots = CheckpointFile::create(shared, &mut checkpoint)?;
    let upload = Upload::new(Arc::clone(shared), data, slots, checkpoint, false);
    let upload = upload.expect("a fresh digest state can be continued");
    upload.touch();
    Ok(upload)
}

/// The data becomes the image: synced, renamed, and the names made durable before the record of the upload goes.
pub(super) fn publish(shared: &Shared, upload: &Upload, image: ImageKey) -> Result<()> {
    let (disk, layout, key) = (&shared.disk, &shared.layout, upload.key);
    shared.sync_file(&*upload.data).map_err(io_error("sync data"))?;
    kill_point("publish.before_rename");
    let path = layout.image(image);
    for taken in [&layout.unsettled(image), &path] {
        if disk.exists(taken).map_err(io_error("look for an image"))? {
            // Renaming would replace it.
            return Err(StoreError::AlreadyExists { key });
        }
    }
    disk.rename(&layout.staging(key, StagingFile::Data), &path)
        .map_err(io_error("name an image"))?;
    kill_point("publish.after_rename");
    publish_rest(shared, key, image)
}

/// What is left of publishing after the rename.
pub(super) fn publish_rest(shared: &Shared, key: UploadKey, image: ImageKey) -> Result<()> {
    let layout = &shared.layout;
    let sync = io_error("sync the directory of an image");
    shared.sync_dir(&layout.image_shard(image)).map_err(sync)?;
    let folder = layout.upload_shard(key);
    shared.sync_dir(&folder).map_err(io_error("sync the directory of an upload"))?;
    kill_point("publish.after_dir_sync");
    remove_if_there(shared, key, StagingFile::CheckpointNew)?;
    remove_if_there(shared, key, StagingFile::Checkpoint)?;
    kill_point("publish.after_checkpoint_remove");
    shared.sync_dir(&folder).map_err(io_error("sync the directory of an upload"))
}

/// Removes whatever there is of an upload. The checkpoint goes first: data alone is nothing.
pub(super) fn discard(shared: &Shared, key: UploadKey) -> Result<()> {
    kill_point("discard.before_checkpoint_remove");
    remove_if_there(shared, key, StagingFile::CheckpointNew)?;
    remove_if_there(shared, key, StagingFile::Checkpoint)?;
    kill_point("discard.after_checkpoint_remove");
    remove_if_there(shared, key, StagingFile::Data)?;
    kill_point("discard.after_data_remove");
    // Also when nothing was there: the removal of a process before us may not be durable yet.
    shared
        .sync_removal(&shared.layout.upload_shard(key))
        .map_err(io_error("sync the directory of an upload"))
}

/// Moves whatever there is of an upload to `lost+found`.
pub(super) fn set_aside(shared: &Shared, key: UploadKey, epoch_secs: u64) -> Result<()> {
    let (disk, layout) = (&shared.disk, &shared.layout);
    for file in StagingFile::ALL {
        let to = layout.set_aside(key, file, epoch_secs);
        match disk.rename(&layout.staging(key, file), &to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::from_io("set an upload aside", &error)),
        }
    }
    shared.sync_dir(&layout.lost_found()).map_err(io_error("sync the directory lost+found"))?;
    shared.sync_dir(&layout.upload_shard(key)).map_err(io_error("sync the directory of an upload"))
}

fn remove_if_there(shared: &Shared, key: UploadKey, file: StagingFile) -> Result<()> {
    match shared.disk.remove_file(&shared.layout.staging(key, file)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::from_io("remove a file of an upload", &error)),
    }
}

impl Entries {
    /// Takes the gate, closes what is open behind it and runs `job` on the files, alone. `Fenced` when the upload has a
    /// higher epoch; an upload whose record cannot be read goes all the same, so that every state has a way out.
    pub(super) async fn alone<T: Send + 'static>(
        self: &Arc<Self>,
        owned: Owned,
        job: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let guard = self.gate(owned.key).await;
        let (mut guard, entry) = match self.open(owned.key, guard).await {
            Ok(opened) => opened,
            Err(StoreError::Damaged { what, message }) => {
                tracing::warn!(upload = %owned.key, what, message, "removing an upload that is damaged");
                (self.gate(owned.key).await, None)
            }
            // Opening makes the record true and clears what does not count. A full or failing disk may refuse that, and removing
            // may be just what it needs.
            Err(StoreError::NoSpace | StoreError::Io { .. }) => self.looked_at(owned.key).await?,
            Err(error) => return Err(error),
        };
        match entry {
            Some(Entry::Upload(upload)) => {
                {
                    let mut inner = upload.lock();
                    // Any other refusal means that it has failed just now: the files can go all the same.
                    if let Err(error @ StoreError::Fenced { .. }) = upload.enter(&mut inner, owned)
                    {
                        return Err(error);
                    }
                }
                upload.close().await;
            }
            Some(Entry::Published(checkpoint)) if checkpoint.epoch > owned.epoch => {
                return Err(StoreError::Fenced { key: owned.key, current: checkpoint.epoch });
            }
            Some(Entry::Published(_)) | None => {}
        }
        self.forget(owned.key);
        *guard = None;
        self.run_behind(guard, job).await
    }

    /// What is behind the gate, or only the record, for who means to end the upload.
    async fn looked_at(self: &Arc<Self>, key: UploadKey) -> Result<(GateGuard, Option<Entry>)> {
        let guard = self.gate(key).await;
        if guard.is_some() {
            // Opened meanwhile by somebody else.
            return self.open(key, guard).await;
        }
        let shared = self.shared();
        let read = move || CheckpointFile::open(&*shared.disk, &shared.layout, key);
        let found = self.shared().io.run(read).await??;
        Ok((guard, found.map(|(_, record)| Entry::Published(Arc::new(record)))))
    }

    /// Runs `job` on an I/O thread while the gate is held, also when the future is dropped.
    pub(super) async fn run_behind<T: Send + 'static>(
        &self,
        guard: GateGuard,
        job: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = self.shared();
        let io = Arc::clone(&shared.io);
        io.run(move || {
            let result = job(&shared);
            drop(guard);
            result
        })
        .await?
    }
}
