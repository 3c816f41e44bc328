//! The digests of short whole bodies: all that wait are hashed side by side, by one thread of their own.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex},
};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::threads::locked;
use crate::{
    digest::{ChunkChecksum, ChunkHasher, DigestChoice, DigestState, Digests, Engine},
    error::{Result, StoreError},
};

/// A body, and who waits for its digests.
pub(super) struct Asked {
    pub(super) bytes: Bytes,
    pub(super) choice: DigestChoice,
    pub(super) checksum: Option<ChunkChecksum>,
    pub(super) answer: oneshot::Sender<Result<Digests>>,
}

/// Bodies that wait. Bounded by the places in memory that they need before they come here.
#[derive(Default)]
pub(super) struct WholeHashes {
    waiting: Mutex<(VecDeque<Asked>, bool)>,
    wake: Condvar,
}

impl WholeHashes {
    /// Hands a body over without waiting. `false` when the store is closed: it is dropped.
    pub(super) fn submit(&self, asked: Asked) -> bool {
        let mut waiting = locked(&self.waiting);
        if waiting.1 {
            return false;
        }
        waiting.0.push_back(asked);
        drop(waiting);
        self.wake.notify_one();
        true
    }

    /// What is waiting is still hashed.
    pub(super) fn close(&self) {
        locked(&self.waiting).1 = true;
        self.wake.notify_all();
    }

    /// The life of the thread: as many bodies at once as the kernels have lanes, and as have come.
    pub(super) fn work(&self, engine: Engine) {
        loop {
            let mut waiting = locked(&self.waiting);
            while waiting.0.is_empty() {
                if waiting.1 {
                    return;
                }
                waiting = self
                    .wake
                    .wait(waiting)
                    .expect("no thread panics while it holds a lock of the store");
            }
            let count = waiting.0.len().min(engine.lanes().max(1));
            let some: Vec<_> = waiting.0.drain(..count).collect();
            drop(waiting);
            hash(engine, some);
        }
    }
}

fn hash(engine: Engine, some: Vec<Asked>) {
    let mut states: Vec<_> = some.iter().map(|asked| DigestState::new(asked.choice)).collect();
    let mut checksums: Vec<_> =
        some.iter().map(|asked| asked.checksum.map(ChunkHasher::new)).collect();
    let mut streams: Vec<(&mut DigestState, &[u8])> = Vec::with_capacity(2 * some.len());
    for (asked, state) in some.iter().zip(&mut states).filter(|(_, state)| !state.is_idle()) {
        streams.push((state, &asked.bytes));
    }
    for (asked, hasher) in some.iter().zip(&mut checksums) {
        let Some(hasher) = hasher else { continue };
        // One that is no digest is done at once.
        if hasher.digests().is_none() {
            hasher.update(&asked.bytes);
        } else if let Some(state) = hasher.digests() {
            streams.push((state, &asked.bytes));
        }
    }
    engine.update(&mut streams);
    for ((asked, state), checksum) in some.into_iter().zip(states).zip(checksums) {
        let verified = checksum.map_or(Ok(()), ChunkHasher::verify);
        let digests = match verified {
            Ok(()) => Ok(state.finish()),
            Err(actual) => Err(StoreError::ChecksumMismatch { offset: 0, actual }),
        };
        // Nobody may listen any more.
        let _ = asked.answer.send(digests);
    }
}
