//! Samples of what an upload has: by them a client sees whether its file is the one that the upload was begun with, before it sends a
//! byte of another. The client's own name for the file may say nothing about its content.
//!
//! *Guarantees.* Samples are of acknowledged bytes only, of those behind the first missing byte too. One at a time is made of an upload,
//! and each counts as a request of the account that asks, so that whoever asks again and again takes no thread from others' bytes.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use longshore_storage::StoreError;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;

use super::{Party, UploadError, Uploads, live};
use crate::domain::{account::Caller, ids::UploadUuid, tag::hex, upload::UploadRecord};

/// Bytes of one sample.
pub const SAMPLE_BYTES: u64 = 65_536;
/// Samples of the prefix of an upload: the first block, the last one and six between them. As many again are spread over what is stored
/// behind the first gap.
pub const SAMPLES: u64 = 8;

/// Digest of a range of acknowledged bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// SHA-256 of the bytes, lower-case hex.
    pub sha256: String,
}

/// Who makes samples of which upload.
#[derive(Debug, Default)]
pub(super) struct Sampling(Mutex<HashMap<UploadUuid, Weak<tokio::sync::Mutex<()>>>>);

impl Sampling {
    /// Whoever holds this is the only one that samples the upload.
    async fn alone(&self, upload: UploadUuid) -> OwnedMutexGuard<()> {
        let lock = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, lock| lock.strong_count() > 0);
            all.get(&upload).and_then(Weak::upgrade).unwrap_or_else(|| {
                let lock = Arc::default();
                all.insert(upload, Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }
}

/// Where the samples of what is stored lie: those of the prefix, then those of what is behind the first gap.
fn ranges(stored: &[Range<u64>]) -> Vec<Range<u64>> {
    let has_prefix = stored.first().is_some_and(|first| first.start == 0);
    let (prefix, behind) = stored.split_at(usize::from(has_prefix));
    [spread(prefix), spread(behind)].concat()
}

/// Blocks at even distances over all bytes of these ranges. Each lies in one range: where that is shorter, so is the block.
fn spread(stored: &[Range<u64>]) -> Vec<Range<u64>> {
    let total: u64 = stored.iter().map(|range| range.end - range.start).sum();
    let last = u128::from(total.saturating_sub(1));
    let mut blocks: Vec<_> = (0..SAMPLES)
        .filter_map(|index| {
            let place = last * u128::from(index) / u128::from(SAMPLES - 1);
            block_at(stored, u64::try_from(place).ok()?)
        })
        .collect();
    blocks.dedup();
    blocks
}

/// The block that holds the byte `place` of these ranges, counted as if there were no gaps between them.
fn block_at(stored: &[Range<u64>], mut place: u64) -> Option<Range<u64>> {
    for range in stored {
        let bytes = range.end - range.start;
        if place < bytes {
            let last = range.end.saturating_sub(SAMPLE_BYTES).max(range.start);
            let start = last.min(range.start + place);
            return Some(start..range.end.min(start.saturating_add(SAMPLE_BYTES)));
        }
        place -= bytes;
    }
    None
}

impl Uploads {
    /// Samples of the acknowledged bytes of an upload that `caller` may see: at most twice [`SAMPLES`] of [`SAMPLE_BYTES`] each.
    /// `NotFound` where the store has no such upload any more, `TooManyRequests` where the account has as many at work as it may.
    pub async fn samples(
        &self,
        caller: Caller,
        record: &UploadRecord,
    ) -> Result<Vec<Sample>, UploadError> {
        let _admission = self.admit_request(Party::Account(caller.account))?;
        let _alone = self.sampling.alone(record.uuid).await;
        let key = live::key(record.uuid);
        let state = self.store.state(key).await.map_err(gone)?;
        let mut samples = Vec::new();
        for range in ranges(&state.extents) {
            let bytes = self.store.read_stored(key, range.clone()).await.map_err(gone)?;
            // 64 KiB take longer to hash than a worker that moves other people's bytes should stand still.
            let hashed = tokio::task::spawn_blocking(move || hex(&Sha256::digest(&bytes))).await;
            let sha256 = hashed.map_err(|_| UploadError::Draining { offset: state.offset })?;
            samples.push(Sample { start: range.start, end: range.end, sha256 });
        }
        Ok(samples)
    }
}

fn gone(error: StoreError) -> UploadError {
    match error {
        StoreError::NotFound { .. } => UploadError::NotFound,
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_lie_below_the_offset_and_reach_both_ends() {
        assert_eq!(ranges(&[]), Vec::new());
        assert_eq!(ranges(&[0..1]), vec![0..1]);
        assert_eq!(ranges(&[0..SAMPLE_BYTES]), vec![0..SAMPLE_BYTES]);
        for offset in [SAMPLE_BYTES + 1, 1_000_000, 5 << 30, u64::MAX] {
            let ranges = ranges(&[0..offset]);
            assert!(ranges.len() <= 8 && ranges.len() > 1, "{offset}: {ranges:?}");
            assert_eq!((ranges[0].start, ranges.last().unwrap().end), (0, offset));
            assert!(ranges.iter().all(|range| range.end - range.start == SAMPLE_BYTES));
        }
    }

    #[test]
    fn what_is_stored_behind_a_gap_is_sampled_too() {
        const MIB: u64 = 1 << 20;
        let behind = ranges(&[16 * MIB..64 * MIB]);
        assert_eq!((behind[0].start, behind.last().unwrap().end), (16 * MIB, 64 * MIB));
        let stored = [0..MIB, 2 * MIB..3 * MIB, 4 * MIB..4 * MIB + 10, 8 * MIB..9 * MIB];
        let all = ranges(&stored);
        assert_eq!(all.len(), 16);
        let inside = |block: &&Range<u64>| {
            stored.iter().any(|range| range.start <= block.start && block.end <= range.end)
        };
        assert_eq!(all.iter().filter(inside).count(), 16, "{all:?}");
        let in_range =
            |range: &Range<u64>| all.iter().filter(|block| range.contains(&block.start)).count();
        assert_eq!(in_range(&stored[0]), 8);
        assert!(in_range(&stored[1]) >= 3 && in_range(&stored[3]) >= 3, "{all:?}");
        // Of ranges that are shorter than a block, what there is of them.
        assert_eq!(ranges(&[5..6, 8..9]), vec![5..6, 8..9]);
    }

    #[tokio::test]
    async fn one_at_a_time_samples_an_upload() {
        let sampling = Sampling::default();
        let (one, other) = (UploadUuid::random(), UploadUuid::random());
        let first = sampling.alone(one).await;
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, sampling.alone(one)).await.is_err());
        let beside = tokio::time::timeout(soon, sampling.alone(other)).await;
        assert!(beside.is_ok(), "another upload is not waited for");
        drop(first);
        let next = tokio::time::timeout(soon, sampling.alone(one)).await;
        drop((beside, next.expect("its turn has come")));
        drop(sampling.alone(other).await);
        assert_eq!(sampling.0.lock().unwrap().len(), 1, "those who have gone take no room");
    }
}
