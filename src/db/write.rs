//! A write as a value: what a transaction does, apart from who commits it.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    Result,
    dialect::{Dialect, Link},
};

/// One write. It may run again from the start when its transaction lost a race, so it keeps nothing from a run to the next.
pub(super) trait Write: Send + Sync + 'static {
    /// What the caller hears.
    type Answer: Send + 'static;

    /// Does it on a connection that is inside a transaction. An error undoes everything.
    fn run<D: Dialect>(
        &self,
        link: &mut Link<'_, D>,
    ) -> impl Future<Output = Result<Self::Answer>> + Send;

    /// Whether what the run did is kept with this answer; `false` undoes it and still answers.
    fn keeps(_answer: &Self::Answer) -> bool {
        true
    }
}

/// How much was written, for metrics: writes over commits is what group commit saves.
#[derive(Debug, Default)]
pub struct WriteCounters {
    writes: AtomicU64,
    commits: AtomicU64,
}

impl WriteCounters {
    /// Writes that were committed or undone.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Transactions that were committed.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(super) fn committed(&self, writes: usize) {
        self.writes.fetch_add(writes as u64, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }
}
