//! Chunks that carry a checksum.

use super::{
    Fixture,
    scenario::{
        Scenario, acknowledged, checksum_hex, content, every_checksum, expect_refusal,
        expect_writer, interrupted,
    },
};
use crate::{digest::ChunkChecksum, error::StoreError};

/// For every algorithm: nothing of the chunk is visible before the checksum matched, everything after.
pub async fn a_checked_chunk_counts_only_after_its_checksum(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 20, 500_000).await;
    for (index, from) in (0..5).zip((0..).step_by(100_000)) {
        let range = from..from + 100_000;
        let checksum = every_checksum(scenario.bytes(&range))[index];
        let mut writer = expect_writer(scenario.claim_checked(&range, Some(checksum)).await);
        for block in scenario.bytes(&range).chunks(30_000) {
            writer.append(block).await.expect("bytes are taken");
            writer.flush().await.expect("bytes are handed over");
            assert_eq!(scenario.state().await.offset, from, "{checksum:?}");
        }
        let done = acknowledged(writer).await.expect("the checksum matches");
        assert_eq!((done.counted_bytes, done.state.offset), (100_000, range.end), "{checksum:?}");
    }
    scenario.publish().await;
}

/// For every algorithm: a wrong byte is found, the answer names what the bytes hash to, and the range stays missing.
pub async fn a_mismatch_names_the_real_checksum_and_leaves_the_range_missing(
    fixture: &dyn Fixture,
) {
    let scenario = Scenario::new(fixture, 21, 60_000).await;
    scenario.put(0..10_000).await;
    let range = 10_000..60_000;
    let mut damaged = scenario.bytes(&range).to_vec();
    damaged[49_999] ^= 1;
    let right = every_checksum(scenario.bytes(&range));
    for (announced, really) in right.into_iter().zip(every_checksum(&damaged)) {
        let mut writer = expect_writer(scenario.claim_checked(&range, Some(announced)).await);
        writer.append(&damaged).await.expect("bytes are taken");
        let error = acknowledged(writer).await;
        let Err(StoreError::ChecksumMismatch { offset, actual }) = error else {
            panic!("{error:?}")
        };
        assert_eq!((offset, actual), (10_000, checksum_hex(&really)));
        let state = scenario.state().await;
        assert_eq!((state.offset, state.writers), (10_000, 0));
    }
    scenario.publish().await;
}

/// What a failed chunk did to the digests is taken back: at the prefix, ahead of it, and with bytes behind it.
pub async fn the_digests_are_right_after_a_mismatch(fixture: &dyn Fixture) {
    for (from, to) in [(0, 150_000), (70_000, 200_000), (299_000, 300_000)] {
        let scenario = Scenario::new(fixture, 22, 300_000).await;
        if from > 0 {
            scenario.put(0..1_000).await;
        }
        let wrong = content(99, to - from);
        let checksum = every_checksum(scenario.bytes(&(from..to)))[2];
        let mut writer = expect_writer(scenario.claim_checked(&(from..to), Some(checksum)).await);
        writer.append(&wrong).await.expect("bytes are taken");
        let error = acknowledged(writer).await;
        assert!(matches!(error, Err(StoreError::ChecksumMismatch { .. })), "{error:?}");
        scenario.try_put(&(from..to), Some(checksum)).await.expect("the right bytes match");
        scenario.publish().await;
    }
}

/// A broken body under a checksum counts for nothing, and its range is free again.
pub async fn an_interrupted_checked_chunk_counts_nothing(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 23, 100_000).await;
    let checksum = every_checksum(&scenario.content)[0];
    let mut writer = expect_writer(scenario.claim_checked(&(0..100_000), Some(checksum)).await);
    writer.append(scenario.bytes(&(0..99_999))).await.expect("bytes are taken");
    let done = interrupted(writer).await.expect("an interrupt is no error");
    assert_eq!((done.counted_bytes, done.state.stored_bytes()), (0, 0));
    scenario.try_put(&(0..100_000), Some(checksum)).await.expect("the right bytes match");
    scenario.publish().await;
}

/// The same when the request just disappears.
pub async fn a_dropped_checked_chunk_counts_nothing(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 24, 100_000).await;
    let checksum = every_checksum(&scenario.content)[1];
    let mut writer = expect_writer(scenario.claim_checked(&(0..100_000), Some(checksum)).await);
    writer.append(&content(98, 100_000)).await.expect("bytes are taken");
    drop(writer);
    let mut writer = scenario.writer(&(0..100_000)).await;
    assert_eq!(scenario.state().await.stored_bytes(), 0);
    writer.append(&scenario.content).await.expect("bytes are taken");
    acknowledged(writer).await.expect("the bytes count");
    scenario.publish().await;
}

/// Too much for one check is refused before any byte, with the size that is allowed; the same without a checksum is taken.
pub async fn a_checked_chunk_that_is_too_large_is_refused(fixture: &dyn Fixture) {
    let max = fixture.limits().checked_chunk_bytes_max;
    let scenario = Scenario::new(fixture, 25, max + 1).await;
    let range = 0..max + 1;
    let checksum = ChunkChecksum::Crc32c(0);
    let error = expect_refusal(scenario.claim_checked(&range, Some(checksum)).await);
    let StoreError::CheckedChunkTooLarge { offered, max: allowed } = error else {
        panic!("{error}")
    };
    assert_eq!((offered, allowed), (max + 1, max));
    let checksum = every_checksum(scenario.bytes(&(0..max)))[4];
    scenario.try_put(&(0..max), Some(checksum)).await.expect("the largest chunk is taken");
    scenario.publish().await;
}

/// The checksum is over the body as sent, although bytes that are stored already are not written again.
pub async fn a_checksum_covers_the_whole_body_also_where_bytes_are_stored(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 26, 90_000).await;
    scenario.put(0..20_000).await;
    scenario.put(40_000..60_000).await;
    let range = 10_000..90_000;
    let mut damaged = scenario.bytes(&range).to_vec();
    damaged[35_000] ^= 0x80; // inside what is stored already
    let checksum = every_checksum(scenario.bytes(&range))[3];
    let mut writer = expect_writer(scenario.claim_checked(&range, Some(checksum)).await);
    writer.append(&damaged).await.expect("bytes are taken");
    let error = acknowledged(writer).await;
    assert!(matches!(error, Err(StoreError::ChecksumMismatch { .. })), "{error:?}");
    assert_eq!(scenario.state().await.extents, [0..20_000, 40_000..60_000]);
    let done = scenario.try_put(&range, Some(checksum)).await.expect("the right bytes match");
    assert_eq!((done.counted_bytes, done.state.offset), (80_000, 90_000));
    scenario.publish().await;
}

/// A body under a checksum that ends early is an error and counts for nothing.
pub async fn a_short_checked_chunk_counts_nothing(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 27, 10_000).await;
    let checksum = every_checksum(scenario.bytes(&(0..9_000)))[2];
    let mut writer = expect_writer(scenario.claim_checked(&(0..10_000), Some(checksum)).await);
    writer.append(scenario.bytes(&(0..9_000))).await.expect("bytes are taken");
    let error = acknowledged(writer).await;
    assert!(matches!(error, Err(StoreError::WrongChunkLength { .. })), "{error:?}");
    assert_eq!(scenario.state().await.stored_bytes(), 0);
    scenario.publish().await;
}
