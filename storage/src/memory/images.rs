//! Images and housekeeping of the reference model.

use std::{ops::Range, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::MemoryStore;
use crate::{
    error::Result,
    store::{ImageKey, ImageStore, Space, StoreRecovery, UploadKey},
};

/// Most bytes that one read answers.
const READ_BYTES_MAX: u64 = 4 << 20;

/// The room that this store says it has.
const TOTAL_BYTES: u64 = 1 << 40;

#[async_trait]
impl StoreRecovery for MemoryStore {
    fn store_uuid(&self) -> Uuid {
        self.shared.uuid
    }

    async fn uploads(&self) -> Result<Vec<UploadKey>> {
        Ok(self.shared.lock().uploads.keys().copied().collect())
    }

    async fn images(&self) -> Result<Vec<ImageKey>> {
        Ok(self.shared.lock().images.keys().copied().collect())
    }

    async fn set_aside(&self, key: UploadKey) -> Result<()> {
        let mut contents = self.shared.lock();
        if let Some(upload) = contents.uploads.remove(&key) {
            let bytes = upload.state().stored_bytes();
            contents.set_aside.push((key.to_string(), bytes, Instant::now()));
        }
        Ok(())
    }

    async fn purge_set_aside(&self, age: Duration) -> Result<Vec<(String, u64)>> {
        let mut contents = self.shared.lock();
        let (old, young) = contents.set_aside.drain(..).partition(|(_, _, at)| at.elapsed() >= age);
        contents.set_aside = young;
        let old: Vec<_> = old;
        Ok(old.into_iter().map(|(name, bytes, _)| (name, bytes)).collect())
    }

    async fn space(&self) -> Result<Space> {
        let contents = self.shared.lock();
        let uploads = contents.uploads.values().map(|upload| upload.state().stored_bytes());
        let unsettled = contents.unsettled.values().map(|(bytes, _)| bytes);
        let images = contents.images.values().chain(unsettled);
        let images = images.map(|image| image.len() as u64);
        let used: u64 = uploads.chain(images).sum();
        Ok(Space { total_bytes: TOTAL_BYTES, free_bytes: TOTAL_BYTES.saturating_sub(used) })
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl ImageStore for MemoryStore {
    async fn image_length(&self, image: ImageKey) -> Result<u64> {
        let contents = self.shared.lock();
        let bytes = contents.image(image)?;
        Ok(bytes.len() as u64)
    }

    async fn read_image(&self, image: ImageKey, range: Range<u64>) -> Result<Bytes> {
        let contents = self.shared.lock();
        let bytes = contents.image(image)?;
        let end = range.end.min(range.start.saturating_add(READ_BYTES_MAX)).min(bytes.len() as u64);
        let start = range.start.min(end);
        Ok(Bytes::copy_from_slice(&bytes[start as usize..end as usize]))
    }

    async fn read_image_past_cache(&self, image: ImageKey, range: Range<u64>) -> Result<Bytes> {
        self.read_image(image, range).await
    }

    async fn read_upload(&self, key: UploadKey, range: Range<u64>) -> Result<Bytes> {
        let mut contents = self.shared.lock();
        let upload = contents.upload(key)?;
        let end = range.end.min(range.start.saturating_add(READ_BYTES_MAX)).min(upload.offset());
        Ok(upload.read(&(range.start.min(end)..end)).into())
    }

    async fn read_stored(&self, key: UploadKey, range: Range<u64>) -> Result<Bytes> {
        let mut contents = self.shared.lock();
        let end = range.end.min(range.start.saturating_add(READ_BYTES_MAX));
        Ok(contents.upload(key)?.read(&(range.start.min(end)..end)).into())
    }

    async fn delete_image(&self, image: ImageKey) -> Result<()> {
        let mut contents = self.shared.lock();
        contents.images.remove(&image);
        contents.unsettled.remove(&image);
        Ok(())
    }
}
