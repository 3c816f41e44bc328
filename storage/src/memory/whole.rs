//! Whole images of the reference model.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::{Contents, MemoryStore};
use crate::{
    digest::{ChunkChecksum, ChunkHasher, DigestChoice, DigestState, Digests, Engine},
    error::{Result, StoreError},
    store::{ImageKey, UploadKey, WholeImages},
};

impl Contents {
    /// The bytes of an image, settled or not.
    pub(super) fn image(&self, image: ImageKey) -> Result<&Vec<u8>> {
        let unsettled = || self.unsettled.get(&image).map(|(bytes, _)| bytes);
        let found = self.images.get(&image).or_else(unsettled);
        found.ok_or(StoreError::ImageNotFound { image })
    }
}

#[async_trait]
impl WholeImages for MemoryStore {
    async fn digest(
        &self,
        bytes: Bytes,
        choice: DigestChoice,
        checksum: Option<ChunkChecksum>,
    ) -> Result<Digests> {
        if let Some(checksum) = checksum {
            let mut hasher = ChunkHasher::new(checksum);
            hasher.update(&bytes);
            let verified = hasher.verify();
            verified.map_err(|actual| StoreError::ChecksumMismatch { offset: 0, actual })?;
        }
        let mut state = DigestState::new(choice);
        Engine::AUTO.update(&mut [(&mut state, &bytes)]);
        Ok(state.finish())
    }

    async fn put_whole(&self, image: ImageKey, bytes: Bytes) -> Result<()> {
        let mut contents = self.shared.lock();
        if contents.image(image).is_ok() {
            return Err(StoreError::AlreadyExists { key: UploadKey(image.0) });
        }
        contents.unsettled.insert(image, (bytes.to_vec(), Instant::now()));
        Ok(())
    }

    async fn settle(&self, image: ImageKey) -> Result<()> {
        let mut contents = self.shared.lock();
        if let Some((bytes, _)) = contents.unsettled.remove(&image) {
            contents.images.insert(image, bytes);
        }
        contents.image(image).map(drop)
    }

    async fn unsettled(&self, age: Duration) -> Result<Vec<ImageKey>> {
        let contents = self.shared.lock();
        let old = contents.unsettled.iter().filter(|(_, (_, since))| since.elapsed() >= age);
        Ok(old.map(|(image, _)| *image).collect())
    }

    async fn set_image_aside(&self, image: ImageKey) -> Result<()> {
        let mut contents = self.shared.lock();
        if let Some((bytes, _)) = contents.unsettled.remove(&image) {
            contents.set_aside.push((image.to_string(), bytes.len() as u64, Instant::now()));
        }
        Ok(())
    }
}
