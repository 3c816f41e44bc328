//! The writing side of a rigged store.

use std::{pin::Pin, sync::Arc};

use async_trait::async_trait;
use longshore_storage::{Acknowledged, Ended, RangeWriter, Result};

use super::rigged::{Op, Rig, Side};

pub(crate) struct RiggedWriter {
    pub(crate) inner: Box<dyn RangeWriter>,
    pub(crate) rig: Arc<Rig>,
}

#[async_trait]
impl RangeWriter for RiggedWriter {
    async fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.rig.step(Op::Append, Side::Before).await?;
        if self.rig.lies(Op::Acknowledge) {
            return Ok(());
        }
        self.inner.append(bytes).await
    }

    async fn flush(&mut self) -> Result<()> {
        self.inner.flush().await
    }

    // Written out: the inner writer is not `Sync`, so an async block around it would not be `Send`.
    fn ended<'s, 'f>(&'s self) -> Pin<Box<dyn Future<Output = Ended> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        self.inner.ended()
    }

    async fn acknowledge(self: Box<Self>) -> Result<Acknowledged> {
        let Self { inner, rig } = *self;
        rig.step(Op::Acknowledge, Side::Before).await?;
        if rig.lies(Op::Acknowledge) {
            // Nothing was handed on, so nothing counts.
            let Acknowledged { state, .. } = inner.interrupt().await?;
            return Ok(Acknowledged { state, counted_bytes: 0 });
        }
        let acknowledged = inner.acknowledge().await?;
        rig.step(Op::Acknowledge, Side::After).await?;
        Ok(acknowledged)
    }

    async fn interrupt(self: Box<Self>) -> Result<Acknowledged> {
        self.inner.interrupt().await
    }
}
