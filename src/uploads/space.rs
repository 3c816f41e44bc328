//! Room that is promised to uploads but not written yet.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::ids::UploadUuid;

/// Promised to an upload of unknown length once its first byte is there, beyond what it has stored.
pub(super) const AHEAD_BYTES: u64 = 1 << 30;

/// Bytes promised to each unfinished upload: held while it is suspended, dropped when it ends. Rebuilt from the rows at start.
#[derive(Debug, Default)]
pub struct SpaceLedger {
    promised: Mutex<Promised>,
}

#[derive(Debug, Default)]
struct Promised {
    of: HashMap<UploadUuid, u64>,
    sum: u64,
}

/// There is less room than an upload needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom {
    /// Bytes that may still be promised.
    pub free: u64,
    /// Bytes that the upload needs.
    pub needed: u64,
}

impl SpaceLedger {
    /// Promises `needed` bytes to an upload, in place of what it was promised before, if `writable` bytes (free less the low-water
    /// mark) cover all promises. Check and promise are one step: racing uploads never get more than there is.
    pub fn promise(&self, upload: UploadUuid, needed: u64, writable: u64) -> Result<(), NoRoom> {
        let mut promised = self.lock();
        let before = promised.of.get(&upload).copied().unwrap_or(0);
        let others = promised.sum - before;
        let free = writable.saturating_sub(others);
        if needed > free {
            return Err(NoRoom { free, needed });
        }
        promised.set(upload, needed);
        Ok(())
    }

    /// Says how much an upload still needs, without asking whether there is room: at start, and as bytes are written.
    pub fn adjust(&self, upload: UploadUuid, needed: u64) {
        self.lock().set(upload, needed);
    }

    /// Says that `bytes` of a promise have been written: they are not free any more, and promised no longer.
    pub fn written(&self, upload: UploadUuid, bytes: u64) {
        let mut promised = self.lock();
        if let Some(before) = promised.of.get(&upload).copied() {
            promised.set(upload, before.saturating_sub(bytes));
        }
    }

    /// Takes a promise back. Idempotent.
    pub fn release(&self, upload: UploadUuid) {
        let mut promised = self.lock();
        let before = promised.of.remove(&upload).unwrap_or(0);
        promised.sum -= before;
    }

    /// All promises together.
    pub fn promised_bytes(&self) -> u64 {
        self.lock().sum
    }

    fn lock(&self) -> MutexGuard<'_, Promised> {
        // A panic elsewhere cannot leave the sum wrong: it is set in the same statement sequence without a call out.
        self.promised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Promised {
    fn set(&mut self, upload: UploadUuid, needed: u64) {
        let before = self.of.insert(upload, needed).unwrap_or(0);
        self.sum = self.sum - before + needed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_never_exceed_the_room() {
        let ledger = SpaceLedger::default();
        let (a, b) = (UploadUuid::random(), UploadUuid::random());
        assert_eq!(ledger.promise(a, 60, 100), Ok(()));
        assert_eq!(ledger.promise(b, 60, 100), Err(NoRoom { free: 40, needed: 60 }));
        assert_eq!(ledger.promise(a, 90, 100), Ok(()), "replaces its own promise");
        ledger.adjust(a, 10);
        assert_eq!(ledger.promise(b, 60, 100), Ok(()));
        assert_eq!(ledger.promised_bytes(), 70);
        ledger.release(a);
        ledger.release(a);
        assert_eq!(ledger.promised_bytes(), 60);
    }
}
