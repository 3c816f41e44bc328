//! Images that arrive whole: data, one sync of it, one sync of the folder that all of them share, no checkpoint.
//!
//! They are made in `whole/` and stay there until their record is durable; [`settle`](WholeImages::settle) then gives them their
//! place among all others, and waits for no sync: a crash leaves them in either place, and each is looked into. The move has one
//! direction, so whoever looks into `images/`, then `whole/`, then `images/` finds what is there.

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    LocalStore,
    disk::DiskFile,
    housekeeping::unix_secs,
    layout::Layout,
    shared::Shared,
    statistics::add,
    threads::{CLOSING, IoQueue},
    whole_hash::Asked,
};
use crate::{
    digest::{ChunkChecksum, DigestChoice, Digests},
    error::{Result, StoreError},
    kill::kill_point,
    store::{ImageKey, UploadKey, WholeImages},
};

fn io_error(action: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::from_io(action, &error)
}

#[async_trait]
impl WholeImages for LocalStore {
    async fn digest(
        &self,
        bytes: Bytes,
        choice: DigestChoice,
        checksum: Option<ChunkChecksum>,
    ) -> Result<Digests> {
        let length = bytes.len() as u64;
        let (answer, digests) = oneshot::channel();
        self.shared.whole_hashes.submit(Asked { bytes, choice, checksum, answer });
        add(&self.shared.counters.hashed_bytes, length);
        // A body that was not taken drops its end.
        digests.await.unwrap_or_else(|_| {
            Err(StoreError::Io { action: "hash an image", message: CLOSING.to_owned() })
        })
    }

    async fn put_whole(&self, image: ImageKey, bytes: Bytes) -> Result<()> {
        self.on_whole_thread(move |shared| put(shared, image, &bytes)).await
    }

    async fn settle(&self, image: ImageKey) -> Result<()> {
        self.on_whole_thread(move |shared| settle(shared, image)).await
    }

    async fn unsettled(&self, age: Duration) -> Result<Vec<ImageKey>> {
        let now = SystemTime::now();
        self.on_whole_thread(move |shared| unsettled(shared, age, now)).await
    }

    async fn set_image_aside(&self, image: ImageKey) -> Result<()> {
        let now = unix_secs(SystemTime::now());
        self.on_whole_thread(move |shared| set_aside(shared, image, now)).await
    }
}

impl LocalStore {
    /// On threads of their own: each waits for its own sync, and many such waits at once share what the disk does for them.
    async fn on_whole_thread<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        let threads: Arc<IoQueue> = Arc::clone(&self.shared.whole);
        threads.run(move || job(&shared)).await?
    }
}

fn unsettled(shared: &Shared, age: Duration, now: SystemTime) -> Result<Vec<ImageKey>> {
    let names = shared.disk.list(&shared.layout.whole()).map_err(io_error("list images"))?;
    let mut images = Vec::with_capacity(names.len());
    for name in names {
        let Some(image) = Layout::image_of(&name) else {
            tracing::warn!(name, "a file in the store is none of ours; left alone");
            continue;
        };
        if age.is_zero() || is_older(shared, image, age, now)? {
            images.push(image);
        }
    }
    Ok(images)
}

/// By the clock of the file system; one that was written later than now is new.
fn is_older(shared: &Shared, image: ImageKey, age: Duration, now: SystemTime) -> Result<bool> {
    let metadata = shared.disk.metadata(&shared.layout.unsettled(image));
    match metadata.and_then(|metadata| metadata.modified()) {
        Ok(written) => Ok(now.duration_since(written).is_ok_and(|since| since >= age)),
        // Settled or deleted since it was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::from_io("ask for the age of an image", &error)),
    }
}

fn put(shared: &Shared, image: ImageKey, bytes: &[u8]) -> Result<()> {
    let path = shared.layout.unsettled(image);
    let taken = || StoreError::AlreadyExists { key: UploadKey(image.0) };
    if shared.disk.exists(&shared.layout.image(image)).map_err(io_error("look for an image"))? {
        return Err(taken());
    }
    let made = match shared.disk.create_new(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(taken()),
        created => created
            .map_err(io_error("create an image"))
            .and_then(|file| fill(shared, &*file, bytes)),
    };
    if made.is_err()
        && let Err(error) = shared.disk.remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        // No record will name it; the next look for strays finds it.
        tracing::warn!(%image, %error, "what a failed image left could not be removed");
    }
    made
}

/// The data come before the name: a name that survives has its bytes behind it.
fn fill(shared: &Shared, file: &dyn DiskFile, bytes: &[u8]) -> Result<()> {
    kill_point("whole.after_create");
    file.write_all_at(bytes, 0).map_err(io_error("write an image"))?;
    add(&shared.counters.written_bytes, bytes.len() as u64);
    kill_point("whole.after_write");
    shared.sync_file(file).map_err(io_error("sync an image"))?;
    kill_point("whole.after_data_sync");
    let folder = shared.layout.whole();
    let sync = || shared.sync_dir(&folder).map_err(io_error("sync the folder of images"));
    shared.whole_turns.wait(sync)?;
    kill_point("whole.after_dir_sync");
    // Removed behind our back: what is in it would be gone with this descriptor.
    if file.has_name().map_err(io_error("look for an image"))? {
        return Ok(());
    }
    let message = "its file was removed while it was written".to_owned();
    Err(StoreError::Damaged { what: "an image".to_owned(), message })
}

fn settle(shared: &Shared, image: ImageKey) -> Result<()> {
    kill_point("whole.before_settle");
    let (from, to) = (shared.layout.unsettled(image), shared.layout.image(image));
    match shared.disk.rename(&from, &to) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !shared.disk.exists(&to).map_err(io_error("look for an image"))? {
                return Err(StoreError::ImageNotFound { image });
            }
        }
        Err(error) => return Err(StoreError::from_io("settle an image", &error)),
    }
    kill_point("whole.after_settle");
    Ok(())
}

fn set_aside(shared: &Shared, image: ImageKey, epoch_secs: u64) -> Result<()> {
    let (disk, layout) = (&shared.disk, &shared.layout);
    match disk.rename(&layout.unsettled(image), &layout.image_set_aside(image, epoch_secs)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(StoreError::from_io("set an image aside", &error)),
    }
    let synced = shared.sync_dir(&layout.lost_found());
    synced.map_err(io_error("sync the directory lost+found"))?;
    shared.sync_dir(&layout.whole()).map_err(io_error("sync the folder of images"))
}
