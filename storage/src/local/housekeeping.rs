//! What the owner of the store does at its start, and now and then.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use uuid::Uuid;

use super::{LocalStore, layout::Layout, publishing, shared::Shared};
use crate::{
    error::{Result, StoreError},
    store::{ImageKey, Owned, Space, Statistics, StoreRecovery, UploadKey},
};

#[async_trait]
impl StoreRecovery for LocalStore {
    fn store_uuid(&self) -> Uuid {
        self.store_uuid
    }

    fn statistics(&self) -> Statistics {
        self.numbers()
    }

    async fn uploads(&self) -> Result<Vec<UploadKey>> {
        let shared = Arc::clone(&self.shared);
        let list = move || list_shards(&shared, &shared.layout.uploads(), Layout::upload_of);
        self.shared.io.run(list).await?
    }

    async fn images(&self) -> Result<Vec<ImageKey>> {
        let shared = Arc::clone(&self.shared);
        let list = move || list_shards(&shared, &shared.layout.images(), Layout::image_of);
        self.shared.io.run(list).await?
    }

    async fn set_aside(&self, key: UploadKey) -> Result<()> {
        let now = unix_secs(SystemTime::now());
        // Nobody owns a stray, so that no epoch is too old for it.
        let owned = Owned { key, epoch: u64::MAX };
        self.entries.alone(owned, move |shared| publishing::set_aside(shared, key, now)).await
    }

    async fn purge_set_aside(&self, age: Duration) -> Result<Vec<(String, u64)>> {
        let (shared, now) = (Arc::clone(&self.shared), unix_secs(SystemTime::now()));
        self.shared.io.run(move || purge(&shared, now, age)).await?
    }

    async fn space(&self) -> Result<Space> {
        let shared = Arc::clone(&self.shared);
        let space = move || shared.disk.space(shared.layout.root());
        let (total_bytes, free_bytes) = self
            .shared
            .io
            .run(space)
            .await?
            .map_err(|error| StoreError::from_io("ask for free space", &error))?;
        Ok(Space { total_bytes, free_bytes })
    }

    async fn probe(&self) -> Result<()> {
        // One after the other: they all write the same file.
        let alone = Arc::clone(&self.probing).lock_owned().await;
        let shared = Arc::clone(&self.shared);
        let probe = move || {
            let probed = probe(&shared);
            drop(alone);
            probed
        };
        self.shared.io.run(probe).await?
    }
}

impl LocalStore {
    /// Whether the store can be written, asked at its start.
    pub(super) fn probe_now(&self) -> Result<()> {
        match probe(&self.shared) {
            // A full disk is no reason to refuse downloads and to keep people from cleaning up.
            Ok(()) | Err(StoreError::NoSpace) => Ok(()),
            Err(error) => Err(StoreError::Unusable {
                message: format!(
                    "The data directory {} cannot be written: {error}. Check its owner, its mode and the disk.",
                    self.shared.layout.root().display()
                ),
            }),
        }
    }
}

fn probe(shared: &Shared) -> Result<()> {
    let (disk, path) = (&shared.disk, shared.layout.probe());
    let steps = || {
        // Each of them may be removed, or be a file system of its own that is not mounted.
        for folder in shared.layout.folders() {
            if !disk.exists(&folder)? {
                let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("the folder {name} of the data directory is missing"),
                ));
            }
        }
        if disk.exists(&path)? {
            disk.remove_file(&path)?;
        }
        let file = disk.create_new(&path)?;
        file.write_all_at(b"longshore", 0)?;
        shared.sync_file(&*file)?;
        disk.remove_file(&path)
    };
    steps().map_err(|error: io::Error| StoreError::from_io("write to the storage", &error))
}

/// Every key below a parent, sorted, each once. Strange names are left alone.
fn list_shards<T: Ord>(
    shared: &Shared,
    parent: &Path,
    key_of: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>> {
    let mut keys = Vec::new();
    for shard in Layout::shards() {
        let path = parent.join(shard);
        let names = shared.disk.list(&path);
        let names = names.map_err(|error| StoreError::from_io("list a directory", &error))?;
        for name in names {
            if let Some(key) = key_of(&name) {
                keys.push(key);
            } else {
                tracing::warn!(name, "a file in the store is none of ours; left alone");
            }
        }
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

fn purge(shared: &Shared, now: u64, age: Duration) -> Result<Vec<(String, u64)>> {
    let (disk, folder) = (&shared.disk, shared.layout.lost_found());
    let steps = || {
        let mut purged = Vec::new();
        for name in disk.list(&folder)? {
            let old = Layout::set_aside_secs(&name)
                .is_some_and(|secs| now.saturating_sub(secs) >= age.as_secs());
            if old {
                let path = folder.join(&name);
                let bytes = disk.metadata(&path)?.len();
                disk.remove_file(&path)?;
                purged.push((name, bytes));
            }
        }
        shared.sync_dir(&folder)?;
        Ok(purged)
    };
    steps().map_err(|error: io::Error| StoreError::from_io("purge lost+found", &error))
}

pub(super) fn unix_secs(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
