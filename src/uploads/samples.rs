//! Samples of what an upload has: by them a client sees whether its file is the one that the upload was begun with, before it sends a
//! byte of another. The client's own name for the file may say nothing about its content.

use longshore_storage::StoreError;
use sha2::{Digest, Sha256};

use super::{UploadError, Uploads, live};
use crate::domain::{tag::hex, upload::UploadRecord};

/// Bytes of one sample.
pub const SAMPLE_BYTES: u64 = 65_536;
/// Samples of an upload: the first block, the last one and six between them.
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

/// Where the samples of a prefix lie; none of an empty one.
fn ranges(offset: u64) -> Vec<std::ops::Range<u64>> {
    let length = SAMPLE_BYTES.min(offset);
    let room = u128::from(offset - length);
    let mut ranges: Vec<_> = (0..SAMPLES)
        .map(|index| {
            let start = room * u128::from(index) / u128::from(SAMPLES - 1);
            let start = u64::try_from(start).unwrap_or(0); // never beyond the offset
            start..start + length
        })
        .filter(|range| !range.is_empty())
        .collect();
    ranges.dedup();
    ranges
}

impl Uploads {
    /// Samples of the acknowledged prefix of an upload: at most [`SAMPLES`] of [`SAMPLE_BYTES`] each, whoever asks. `NotFound` where the
    /// store has no such upload any more.
    pub async fn samples(&self, record: &UploadRecord) -> Result<Vec<Sample>, UploadError> {
        let key = live::key(record.uuid);
        let state = self.store.state(key).await.map_err(gone)?;
        let mut samples = Vec::new();
        for range in ranges(state.offset) {
            let bytes = self.store.read_upload(key, range.clone()).await.map_err(gone)?;
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
        assert_eq!(ranges(0), Vec::new());
        assert_eq!(ranges(1), vec![0..1]);
        assert_eq!(ranges(SAMPLE_BYTES), vec![0..SAMPLE_BYTES]);
        for offset in [SAMPLE_BYTES + 1, 1_000_000, 5 << 30, u64::MAX] {
            let ranges = ranges(offset);
            assert!(ranges.len() <= 8 && ranges.len() > 1, "{offset}: {ranges:?}");
            assert_eq!((ranges[0].start, ranges.last().unwrap().end), (0, offset));
            assert!(ranges.iter().all(|range| range.end - range.start == SAMPLE_BYTES));
        }
    }
}
