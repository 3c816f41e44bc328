//! What a backend brings to run the cases, and what is checked after each of them.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    limits::Limits,
    memory::MemoryStore,
    store::{ImageStore, Owned, StoreRecovery, UploadStore, WholeImages},
};

/// Everything that a store does.
pub trait Backend: UploadStore + StoreRecovery + ImageStore + WholeImages {}

impl<T: UploadStore + StoreRecovery + ImageStore + WholeImages> Backend for T {}

/// A store under test, and the power over its fate.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The store as it runs now. Cases do not keep it over a [`crash`](Self::crash).
    fn store(&self) -> Arc<dyn Backend>;

    /// Ends the store without warning and opens it again: what was not acknowledged may be gone.
    async fn crash(&self);

    /// The limits that the store was opened with: [`quick_limits`], perhaps with other sizes.
    fn limits(&self) -> Limits;

    /// Whatever the store keeps beyond its uploads, images and its own identity, by name. Temporary files, say.
    async fn leftovers(&self) -> Vec<String>;
}

/// Limits with waits so short that the suite ends in seconds, and sizes so small that they are reached.
pub const fn quick_limits() -> Limits {
    Limits {
        writers_max: 8,
        extents_max: 16,
        checked_chunk_bytes_max: 1 << 20,
        claim_silent: Duration::from_millis(300),
        claim_wait: Duration::from_millis(1_200),
        writer_evict_silent: Duration::from_millis(600),
        buffers_bytes_max: 2 << 20,
        block_bytes_min: 4 << 10,
        block_bytes_max: 64 << 10,
        past_cache_bytes_min: 4 << 10,
        ahead_cache_bytes_max: 32 << 10,
        writeback_bytes: 128 << 10,
        checkpoint_bytes: 256 << 10,
        ..Limits::for_cores(2)
    }
}

/// Runs one case and then takes the store down: every upload is discarded, every image deleted, and nothing may be left.
pub async fn run<F: Fixture>(
    fixture: &F,
    case: impl for<'a> FnOnce(&'a dyn Fixture) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
) {
    case(fixture).await;
    assert_eq!(fixture.leftovers().await, [""; 0], "the case left something behind");
    let store = fixture.store();
    for key in store.uploads().await.expect("the uploads can be listed") {
        store.discard(Owned { key, epoch: u64::MAX }).await.expect("an upload can be discarded");
    }
    for image in store.unsettled(Duration::ZERO).await.expect("the unsettled images can be listed")
    {
        store.set_image_aside(image).await.expect("an image can be set aside");
    }
    for image in store.images().await.expect("the images can be listed") {
        store.delete_image(image).await.expect("an image can be deleted");
    }
    store.purge_set_aside(Duration::ZERO).await.expect("what was set aside can be purged");
    assert_eq!(fixture.leftovers().await, [""; 0], "discarding everything left something behind");
    assert!(store.uploads().await.expect("the uploads can be listed").is_empty());
    assert!(store.images().await.expect("the images can be listed").is_empty());
}

/// The reference model as a fixture.
pub struct MemoryFixture {
    store: Mutex<MemoryStore>,
}

impl MemoryFixture {
    /// An empty store with [`quick_limits`].
    pub fn new() -> Self {
        Self { store: Mutex::new(MemoryStore::new(quick_limits())) }
    }
}

impl Default for MemoryFixture {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Fixture for MemoryFixture {
    fn store(&self) -> Arc<dyn Backend> {
        Arc::new(self.store.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn crash(&self) {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let reopened = store.reopen();
        *store = reopened;
    }

    fn limits(&self) -> Limits {
        quick_limits()
    }

    async fn leftovers(&self) -> Vec<String> {
        Vec::new()
    }
}
