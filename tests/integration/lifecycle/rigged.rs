//! A store around another one that can be told to fail a step, to stop at it, or to have less room.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use longshore::uploads::{Storage, StoreError};
use longshore_storage::{
    Chunk, Claimed, Finished, ImageKey, ImageStore, Owned, Result, Space, StoreRecovery, UploadKey,
    UploadSpec, UploadState, UploadStore, WholeImages,
    digest::{ChunkChecksum, DigestChoice, Digests},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{rigged_writer::RiggedWriter, rng::Rng};

/// A step that can be made to fail or to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    State,
    Declare,
    Write,
    Copy,
    Append,
    Acknowledge,
    Revoke,
    Admit,
    Finish,
    Publish,
    Discard,
    DeleteImage,
    ReadImage,
    PutWhole,
    Settle,
}

/// On which side of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// Stops whoever comes to a step until it is released.
#[derive(Clone)]
pub(crate) struct Hold {
    reached: Arc<Semaphore>,
    released: CancellationToken,
}

impl Hold {
    /// Returns when somebody stands at the step.
    pub(crate) async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(20), self.reached.acquire());
        reached.await.expect("nobody came to the step").unwrap().forget();
    }

    /// Lets everybody pass from now on.
    pub(crate) fn release(&self) {
        self.released.cancel();
    }
}

struct Failing {
    op: Op,
    times: usize,
    error: StoreError,
}

/// What a store was told; outlives it, so that a crash does not heal it.
#[derive(Default)]
pub(crate) struct Rig {
    failing: Mutex<Vec<Failing>>,
    holds: Mutex<Vec<(Op, Side, Hold)>>,
    space: Mutex<Option<Space>>,
    shaking: Mutex<Option<Rng>>,
    lies: Mutex<Vec<Op>>,
    crashes: Mutex<Vec<Op>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rig {
    /// Fails the next `times` of a step.
    pub(crate) fn fail(&self, op: Op, times: usize, error: StoreError) {
        locked(&self.failing).push(Failing { op, times, error });
    }

    /// Lets every step succeed from now on.
    pub(crate) fn heal(&self) {
        locked(&self.failing).clear();
    }

    /// Stops whoever comes to a step from now on.
    pub(crate) fn hold(&self, op: Op, side: Side) -> Hold {
        let hold =
            Hold { reached: Arc::new(Semaphore::new(0)), released: CancellationToken::new() };
        locked(&self.holds).push((op, side, hold.clone()));
        hold
    }

    /// Forgets all holds; who stands at one goes on.
    pub(crate) fn release_all(&self) {
        for (_, _, hold) in locked(&self.holds).drain(..) {
            hold.release();
        }
    }

    /// The next one who comes to a step panics there.
    pub(crate) fn crash_at(&self, op: Op) {
        locked(&self.crashes).push(op);
    }

    /// From now on every step takes a while that the seed decides: other steps get in between.
    pub(crate) fn shake(&self, seed: u64) {
        *locked(&self.shaking) = Some(Rng::new(seed));
    }

    /// From now on a step answers as if it had been done.
    pub(crate) fn lie(&self, op: Op) {
        locked(&self.lies).push(op);
    }

    pub(crate) fn lies(&self, op: Op) -> bool {
        locked(&self.lies).contains(&op)
    }

    /// Says that there is this much room, whatever there really is.
    pub(crate) fn room(&self, total_bytes: u64, free_bytes: u64) {
        *locked(&self.space) = Some(Space { total_bytes, free_bytes });
    }

    pub(crate) async fn step(&self, op: Op, side: Side) -> Result<()> {
        if side == Side::Before {
            let mut crashes = locked(&self.crashes);
            if let Some(at) = crashes.iter().position(|crash| *crash == op) {
                crashes.remove(at);
                drop(crashes);
                panic!("a panic that a test asked for");
            }
        }
        let pause = locked(&self.shaking).as_mut().map_or(0, |rng| rng.below(12));
        pause_for(pause).await;
        let holds: Vec<_> = locked(&self.holds)
            .iter()
            .filter(|(at, of, _)| *at == op && *of == side)
            .map(|(_, _, hold)| hold.clone())
            .collect();
        for hold in holds {
            hold.reached.add_permits(1);
            hold.released.cancelled().await;
        }
        if side == Side::After {
            return Ok(());
        }
        let mut failing = locked(&self.failing);
        let Some(hit) = failing.iter_mut().find(|plan| plan.op == op && plan.times > 0) else {
            return Ok(());
        };
        hit.times -= 1;
        Err(hit.error.clone())
    }
}

/// Most pauses let others have a turn, a few let them have many.
pub(crate) async fn pause_for(pause: usize) {
    match pause {
        11 => tokio::time::sleep(Duration::from_millis(1)).await,
        turns => {
            for _ in 0..turns / 2 {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The store of one process.
pub(crate) struct Rigged {
    pub(crate) inner: Arc<dyn Storage>,
    pub(crate) rig: Arc<Rig>,
}

impl Rigged {
    async fn around<T>(&self, op: Op, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.rig.step(op, Side::Before).await?;
        let done = work.await?;
        self.rig.step(op, Side::After).await?;
        Ok(done)
    }
}

#[async_trait]
impl UploadStore for Rigged {
    async fn create(&self, owned: Owned, spec: UploadSpec) -> Result<()> {
        self.around(Op::Create, self.inner.create(owned, spec)).await
    }

    async fn state(&self, key: UploadKey) -> Result<UploadState> {
        self.around(Op::State, self.inner.state(key)).await
    }

    async fn declare_length(&self, owned: Owned, length: u64) -> Result<()> {
        self.around(Op::Declare, self.inner.declare_length(owned, length)).await
    }

    async fn write(&self, owned: Owned, chunk: Chunk) -> Result<Claimed> {
        Ok(match self.around(Op::Write, self.inner.write(owned, chunk)).await? {
            Claimed::Writer(inner) => {
                Claimed::Writer(Box::new(RiggedWriter { inner, rig: Arc::clone(&self.rig) }))
            }
            stored @ Claimed::AlreadyStored(_) => stored,
        })
    }

    async fn copy(
        &self,
        owned: Owned,
        offset: u64,
        source: UploadKey,
        range: Range<u64>,
    ) -> Result<UploadState> {
        self.around(Op::Copy, self.inner.copy(owned, offset, source, range)).await
    }

    async fn revoke(&self, owned: Owned) -> Result<UploadState> {
        if self.rig.lies(Op::Revoke) {
            return self.inner.state(owned.key).await;
        }
        self.around(Op::Revoke, self.inner.revoke(owned)).await
    }

    async fn admit(&self, owned: Owned) -> Result<()> {
        self.around(Op::Admit, self.inner.admit(owned)).await
    }

    async fn finish(
        &self,
        owned: Owned,
        progress: Arc<dyn Fn(u64) + Send + Sync>,
    ) -> Result<Finished> {
        self.around(Op::Finish, self.inner.finish(owned, progress)).await
    }

    async fn publish(&self, owned: Owned, image: ImageKey) -> Result<()> {
        self.around(Op::Publish, self.inner.publish(owned, image)).await
    }

    async fn discard(&self, owned: Owned) -> Result<()> {
        if self.rig.lies(Op::Discard) {
            return Ok(());
        }
        self.around(Op::Discard, self.inner.discard(owned)).await
    }
}

#[async_trait]
impl StoreRecovery for Rigged {
    fn store_uuid(&self) -> uuid::Uuid {
        self.inner.store_uuid()
    }

    async fn uploads(&self) -> Result<Vec<UploadKey>> {
        self.inner.uploads().await
    }

    async fn images(&self) -> Result<Vec<ImageKey>> {
        self.inner.images().await
    }

    async fn set_aside(&self, key: UploadKey) -> Result<()> {
        self.inner.set_aside(key).await
    }

    async fn purge_set_aside(&self, age: Duration) -> Result<Vec<(String, u64)>> {
        self.inner.purge_set_aside(age).await
    }

    async fn space(&self) -> Result<Space> {
        let told = *locked(&self.rig.space);
        match told {
            Some(space) => Ok(space),
            None => self.inner.space().await,
        }
    }

    async fn probe(&self) -> Result<()> {
        self.inner.probe().await
    }
}

#[async_trait]
impl ImageStore for Rigged {
    async fn image_length(&self, image: ImageKey) -> Result<u64> {
        self.inner.image_length(image).await
    }

    async fn read_image(&self, image: ImageKey, range: Range<u64>) -> Result<Bytes> {
        self.around(Op::ReadImage, self.inner.read_image(image, range)).await
    }

    async fn read_image_past_cache(&self, image: ImageKey, range: Range<u64>) -> Result<Bytes> {
        self.around(Op::ReadImage, self.inner.read_image_past_cache(image, range)).await
    }

    async fn read_upload(&self, key: UploadKey, range: Range<u64>) -> Result<Bytes> {
        self.inner.read_upload(key, range).await
    }

    async fn read_stored(&self, key: UploadKey, range: Range<u64>) -> Result<Bytes> {
        self.inner.read_stored(key, range).await
    }

    async fn delete_image(&self, image: ImageKey) -> Result<()> {
        if self.rig.lies(Op::DeleteImage) {
            return Ok(());
        }
        self.around(Op::DeleteImage, self.inner.delete_image(image)).await
    }
}

#[async_trait]
impl WholeImages for Rigged {
    async fn digest(
        &self,
        bytes: Bytes,
        choice: DigestChoice,
        checksum: Option<ChunkChecksum>,
    ) -> Result<Digests> {
        self.inner.digest(bytes, choice, checksum).await
    }

    async fn put_whole(&self, image: ImageKey, bytes: Bytes) -> Result<()> {
        self.around(Op::PutWhole, self.inner.put_whole(image, bytes)).await
    }

    async fn settle(&self, image: ImageKey) -> Result<()> {
        self.around(Op::Settle, self.inner.settle(image)).await
    }

    async fn unsettled(&self, age: Duration) -> Result<Vec<ImageKey>> {
        self.inner.unsettled(age).await
    }

    async fn set_image_aside(&self, image: ImageKey) -> Result<()> {
        self.inner.set_image_aside(image).await
    }
}
