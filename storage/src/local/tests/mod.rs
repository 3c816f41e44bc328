//! The local store, seen through its traits.

mod copying;
mod crash;
mod fault_disk;
mod faults;
mod lifecycle;
mod placing;
mod storm;
mod writing;

use std::{ops::Range, path::Path, sync::Arc, time::Duration};

use md5::{Digest as _, Md5};
use sha2::Sha256;
use tempfile::TempDir;
use uuid::Uuid;

use super::{LocalStore, OsDisk, disk::Disk};
use crate::{
    Acknowledged, Chunk, Claimed, Durability, Finished, ImageKey, ImageStore, Limits, Owned,
    RangeWriter, Result, StoreError, StoreRecovery, UploadKey, UploadPhase, UploadSpec,
    UploadStore,
    digest::{ChunkChecksum, DigestChoice, Digests},
};

pub(super) const LIMITS: Limits = Limits {
    claim_silent: Duration::from_millis(60),
    claim_wait: Duration::from_millis(400),
    writer_evict_silent: Duration::from_millis(120),
    block_bytes_min: 4 << 10,
    block_bytes_max: 64 << 10,
    buffers_bytes_max: 1 << 20,
    past_cache_bytes_min: 16 << 10,
    ahead_cache_bytes_max: 256 << 10,
    writeback_bytes: 1 << 20,
    checkpoint_bytes: 2 << 20,
    ..Limits::for_cores(2)
};

/// A store in a directory of its own.
struct Bench {
    dir: TempDir,
    store: Arc<LocalStore>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Arc::new(OsDisk), LIMITS)
    }

    fn with(disk: Arc<dyn Disk>, limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), disk, limits);
        Self { dir, store }
    }

    /// Ends this store and opens it again.
    fn reopen(self) -> Self {
        let Self { dir, store } = self;
        drop(store);
        let store = open(dir.path(), Arc::new(OsDisk), LIMITS);
        Self { dir, store }
    }

    /// What a process would find that starts after this one was killed now.
    fn after_kill(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(self.dir.path(), dir.path());
        let store = open(dir.path(), Arc::new(OsDisk), LIMITS);
        Self { dir, store }
    }

    async fn create(&self, declared_length: Option<u64>) -> Owned {
        let owned = Owned { key: UploadKey(Uuid::new_v4()), epoch: 1 };
        self.store.create(owned, spec(declared_length)).await.unwrap();
        owned
    }

    async fn writer(&self, owned: Owned, chunk: Chunk) -> Result<Box<dyn RangeWriter>> {
        match self.store.write(owned, chunk).await? {
            Claimed::Writer(writer) => Ok(writer),
            Claimed::AlreadyStored(state) => panic!("already stored: {state:?}"),
        }
    }

    /// Sends one whole chunk.
    async fn send(&self, owned: Owned, chunk: Chunk, bytes: &[u8]) -> Result<Acknowledged> {
        match self.store.write(owned, chunk).await? {
            Claimed::Writer(mut writer) => {
                for piece in bytes.chunks(5000) {
                    writer.append(piece).await?;
                }
                writer.acknowledge().await
            }
            Claimed::AlreadyStored(state) => {
                Ok(Acknowledged { counted_bytes: bytes.len() as u64, state })
            }
        }
    }

    async fn send_part(&self, owned: Owned, image: &[u8], range: Range<usize>) -> Acknowledged {
        let chunk = chunk(range.start, Some(range.len()));
        self.send(owned, chunk, &image[range]).await.unwrap()
    }

    async fn finish(&self, owned: Owned) -> Result<Finished> {
        self.store.finish(owned, Arc::new(|_| ())).await
    }

    /// All stored bytes of an upload's prefix.
    async fn prefix(&self, key: UploadKey) -> Vec<u8> {
        let end = self.store.state(key).await.unwrap().offset;
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < end {
            bytes.extend(self.store.read_upload(key, bytes.len() as u64..end).await.unwrap());
        }
        bytes
    }
}

fn open(root: &Path, disk: Arc<dyn Disk>, limits: Limits) -> Arc<LocalStore> {
    LocalStore::open(root, disk, limits, Durability::PowerLoss).unwrap()
}

fn copy(from: &Path, to: &Path) {
    let mut entries: Vec<_> =
        std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()).collect();
    // A checkpoint before its data, as a kill would find them: never a record of bytes that come later.
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn spec(declared_length: Option<u64>) -> UploadSpec {
    UploadSpec { declared_length, digests: DigestChoice::BOTH }
}

fn chunk(offset: usize, length: Option<usize>) -> Chunk {
    Chunk { offset: offset as u64, length: length.map(|length| length as u64), checksum: None }
}

fn checked(offset: usize, bytes: &[u8]) -> Chunk {
    let checksum = Some(ChunkChecksum::Crc32c(crc32c::crc32c(bytes)));
    Chunk { checksum, ..chunk(offset, Some(bytes.len())) }
}

fn image(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..length).map(next).collect()
}

fn digests(bytes: &[u8]) -> Digests {
    Digests { md5: Some(Md5::digest(bytes).into()), sha256: Some(Sha256::digest(bytes).into()) }
}

fn random_image() -> ImageKey {
    ImageKey(Uuid::new_v4())
}
