//! What is kept in memory of an upload that has been touched: whether its job takes bytes, and what to write down next.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use longshore_storage::{Owned, UploadKey, inspect::Inspector};

use super::place::Place;
use crate::{
    db::UploadTouch,
    domain::{clock::EpochMs, ids::UploadUuid, upload::UploadRecord},
};

/// An open upload that has been touched since the start.
#[derive(Debug)]
pub struct Live {
    record: Mutex<UploadRecord>,
    /// The upload with its fencing number, as the store wants it.
    pub owned: Owned,
    /// The job is known to be Running, so that a slice need not ask. Cleared before a job is suspended or ended.
    gate_open: AtomicBool,
    /// Since when the job has been able to receive: start of the idle clock while no byte comes.
    opened_ms: AtomicI64,
    /// When a byte last arrived, acknowledged or not; 0 if never.
    last_byte_ms: AtomicI64,
    offset: AtomicU64,
    stored: AtomicU64,
    dirty: AtomicBool,
    /// A byte has come since somebody last asked whether it was the last one.
    unasked: AtomicBool,
    /// How far a running verification is.
    verified: AtomicU64,
    /// What the bytes so far have shown of their content.
    pub(super) inspector: tokio::sync::Mutex<Option<Inspector>>,
    /// Of the one request that appends.
    place: Arc<Place>,
}

impl Live {
    /// From its record, owned with `epoch`.
    pub fn new(record: UploadRecord, epoch: u64, gate_open: bool, now_ms: EpochMs) -> Self {
        Self {
            owned: Owned { key: key(record.uuid), epoch },
            gate_open: AtomicBool::new(gate_open),
            opened_ms: AtomicI64::new(now_ms),
            last_byte_ms: AtomicI64::new(record.last_byte_ms.unwrap_or(0)),
            offset: AtomicU64::new(record.offset_cached),
            stored: AtomicU64::new(record.stored_cached),
            dirty: AtomicBool::new(false),
            unasked: AtomicBool::new(true),
            verified: AtomicU64::new(0),
            inspector: tokio::sync::Mutex::default(),
            place: Arc::default(),
            record: Mutex::new(record),
        }
    }

    /// A copy of its record with everything that has been learnt since.
    pub fn record(&self) -> UploadRecord {
        let mut record = self.lock().clone();
        record.offset_cached = self.offset.load(Ordering::Relaxed);
        record.stored_cached = self.stored.load(Ordering::Relaxed);
        record.last_byte_ms = self.last_byte_ms();
        record
    }

    /// The place of the one request that appends.
    pub(super) const fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Remembers a declared length.
    pub fn set_declared_length(&self, length: u64) {
        self.lock().declared_length = Some(length);
    }

    /// Remembers what tags of its job have said since.
    pub fn set_said(&self, said: UploadRecord) {
        let mut record = self.lock();
        record.image_id = said.image_id;
        record.expected = said.expected;
    }

    /// Remembers that upload URLs were revoked.
    pub fn set_url_generation(&self, generation: i64) {
        self.lock().url_generation = generation;
    }

    /// Whether slices may go to the store without asking the job.
    pub fn gate_is_open(&self) -> bool {
        self.gate_open.load(Ordering::Acquire)
    }

    /// From now on slices go straight to the store; the idle clock starts anew.
    pub fn open_gate(&self, now_ms: EpochMs) {
        self.opened_ms.store(now_ms, Ordering::Relaxed);
        self.gate_open.store(true, Ordering::Release);
    }

    /// From now on every slice asks the job first.
    pub fn close_gate(&self) {
        self.gate_open.store(false, Ordering::Release);
    }

    /// A byte arrived.
    pub fn byte_arrived(&self, now_ms: EpochMs) {
        self.last_byte_ms.store(now_ms, Ordering::Relaxed);
        self.dirty.store(true, Ordering::Relaxed);
        self.unasked.store(true, Ordering::Relaxed);
    }

    /// Whether a byte has come since the last call: then it may have been the last one, of a client that is gone.
    pub fn take_unasked(&self) -> bool {
        self.unasked.swap(false, Ordering::Relaxed)
    }

    /// The clock was set back: moments that it has not reached yet count as now.
    pub fn clock_set_back(&self, now_ms: EpochMs) {
        self.opened_ms.fetch_min(now_ms, Ordering::Relaxed);
        self.last_byte_ms.fetch_min(now_ms, Ordering::Relaxed);
    }

    /// When a byte last arrived.
    pub fn last_byte_ms(&self) -> Option<EpochMs> {
        Some(self.last_byte_ms.load(Ordering::Relaxed)).filter(|&ms| ms > 0)
    }

    /// Since when nothing has arrived: the last byte, or the moment the job could receive if that is later.
    pub fn silent_since_ms(&self) -> EpochMs {
        self.opened_ms.load(Ordering::Relaxed).max(self.last_byte_ms.load(Ordering::Relaxed))
    }

    /// Something was acknowledged.
    pub fn acknowledged(&self, offset: u64, stored: u64) {
        let before = self.offset.fetch_max(offset, Ordering::Relaxed);
        let stored_before = self.stored.fetch_max(stored, Ordering::Relaxed);
        if offset > before || stored > stored_before {
            self.dirty.store(true, Ordering::Relaxed);
        }
    }

    /// Verification has come as far as this offset.
    pub fn verified(&self, offset: u64) {
        self.verified.store(offset, Ordering::Relaxed);
    }

    /// Percent of a running verification.
    pub fn verified_percent(&self) -> i64 {
        percent(self.verified.load(Ordering::Relaxed), self.lock().declared_length)
    }

    /// What there is to write down since the last call, if anything.
    pub fn take_touch(&self) -> Option<UploadTouch> {
        if !self.dirty.swap(false, Ordering::Relaxed) {
            return None;
        }
        let record = self.record();
        // Without a byte there is nothing to write: a moment that is made up would end the rule for jobs that never had one.
        let last_byte_ms = record.last_byte_ms?;
        Some(UploadTouch {
            uuid: record.uuid,
            owner_epoch: self.owned.epoch,
            offset: record.offset_cached,
            stored: record.stored_cached,
            last_byte_ms,
            percent: percent(record.stored_cached, record.declared_length),
        })
    }

    /// The touch could not be written down: it will be tried again.
    pub fn touch_failed(&self) {
        self.dirty.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, UploadRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store's name for an upload.
pub(super) const fn key(upload: UploadUuid) -> UploadKey {
    UploadKey(upload.0)
}

/// Whole percent of a length, rounded down, so that 100 means all of it; 0 while the length is unknown.
pub fn percent(part: u64, whole: Option<u64>) -> i64 {
    match whole {
        None => 0,
        Some(0) => 100,
        Some(whole) => {
            i64::try_from(u128::from(part.min(whole)) * 100 / u128::from(whole)).unwrap_or(100)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn a_hundred_percent_means_every_byte() {
        assert_eq!(percent(999, Some(1000)), 99);
        assert_eq!(percent(1000, Some(1000)), 100);
        assert_eq!(percent(u64::MAX - 1, Some(u64::MAX)), 99);
        assert_eq!(percent(0, Some(0)), 100);
        assert_eq!(percent(5, None), 0);
    }
}
