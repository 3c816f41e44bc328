//! Digests that follow the bytes, and finishing.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Fixture,
    scenario::{
        Dice, Scenario, content, every_checksum, expect_refusal, expect_stored, progress,
        reference_digests,
    },
};
use crate::{digest::DigestChoice, error::StoreError, store::Chunk};

/// Whatever the sizes and the order of slices, checked or not: the digests are those of the content.
pub async fn digests_equal_the_reference_for_any_slicing(fixture: &dyn Fixture) {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let length = *dice.pick(&[63, 64, 65, 4_096, 65_536, 262_145, 400_001]);
        let most = *dice.pick(&[length, 1 + length / 4, 1 + length / 10]);
        let scenario = Scenario::new(fixture, seed, length).await;
        let mut slices = Vec::new();
        let mut position = 0;
        while position < length {
            let size = 1 + dice.below(most);
            let end = length.min(position + size);
            slices.push(position..end);
            position = end;
        }
        slices.truncate(fixture.limits().extents_max);
        dice.shuffle(&mut slices);
        for slice in slices {
            let checksum = *dice.pick(&every_checksum(scenario.bytes(&slice)));
            let checksum = (dice.below(3) == 0).then_some(checksum);
            let done = scenario.try_put(&slice, checksum).await;
            done.unwrap_or_else(|error| panic!("seed {seed}, slice {slice:?}: {error}"));
        }
        scenario.complete().await;
        scenario.finish().await;
    }
}

/// Each choice of digests is answered, and nothing that was not chosen; also after a crash.
pub async fn every_choice_of_digests_is_kept(fixture: &dyn Fixture) {
    for (md5, sha256) in [(true, true), (true, false), (false, true), (false, false)] {
        let choice = DigestChoice { md5, sha256 };
        let bytes = content(40, 100_000);
        let scenario = Scenario::create(fixture, bytes, Some(100_000), choice).await;
        scenario.put(0..50_000).await;
        fixture.crash().await;
        scenario.complete().await;
        let finished = scenario.finish().await;
        assert_eq!(
            (finished.digests.md5.is_some(), finished.digests.sha256.is_some()),
            (md5, sha256)
        );
    }
}

/// No bytes are an image too, declared at once or later.
pub async fn a_zero_length_upload_becomes_an_image(fixture: &dyn Fixture) {
    for declared in [Some(0), None] {
        let scenario = Scenario::create(fixture, Vec::new(), declared, DigestChoice::BOTH).await;
        if declared.is_none() {
            let error = scenario.try_finish().await;
            assert!(matches!(error, Err(StoreError::Incomplete { offset: 0 })), "{error:?}");
            fixture.store().declare_length(scenario.owned, 0).await.expect("zero is a length");
        }
        let chunk = Chunk { offset: 0, length: Some(1), checksum: None };
        let error = expect_refusal(fixture.store().write(scenario.owned, chunk).await);
        assert!(matches!(error, StoreError::BeyondLength { end: 1, length: 0 }), "{error}");
        scenario.publish().await;
    }
}

/// The same call again gives the same answer, also after a crash.
pub async fn finish_is_repeatable(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 41, 300_000).await;
    scenario.put(100_000..300_000).await;
    scenario.put(0..100_000).await;
    let first = scenario.finish().await;
    assert_eq!(scenario.finish().await, first);
    fixture.crash().await;
    assert_eq!(scenario.finish().await, first);
    let state = scenario.state().await;
    assert_eq!((state.offset, state.hashed_offset), (300_000, 300_000));
    scenario.publish().await;
}

/// An upload with a gap, or without a length, is not finished but told where bytes are missing; it still takes them.
pub async fn finish_refuses_while_bytes_are_missing(fixture: &dyn Fixture) {
    let scenario = Scenario::undeclared(fixture, 42, 30_000).await;
    scenario.put(0..10_000).await;
    let error = scenario.try_finish().await;
    assert!(matches!(error, Err(StoreError::Incomplete { offset: 10_000 })), "{error:?}");
    fixture.store().declare_length(scenario.owned, 30_000).await.expect("the length");
    scenario.put(20_000..30_000).await;
    let error = scenario.try_finish().await;
    assert!(matches!(error, Err(StoreError::Incomplete { offset: 10_000 })), "{error:?}");
    scenario.put(10_000..20_000).await;
    scenario.finish().await;
}

/// Progress never falls and never runs over the length.
pub async fn progress_grows_to_the_length(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 43, 2_000_000).await;
    scenario.put(1_000..2_000_000).await;
    scenario.put(0..1_000).await;
    let (seen, callback) = progress();
    let finished = fixture.store().finish(scenario.owned, callback).await.expect("finished");
    assert_eq!(finished.digests, reference_digests(&scenario.content, DigestChoice::BOTH));
    assert!(seen.load(Ordering::SeqCst) <= 2_000_000, "progress fell, or ran over the length");
}

/// After finish every chunk is found stored, and the digests do not move.
pub async fn a_finished_upload_takes_no_bytes(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 44, 50_000).await;
    scenario.complete().await;
    let store = fixture.store();
    let (first, second) = tokio::join!(
        store.finish(scenario.owned, Arc::new(|_| {})),
        store.finish(scenario.owned, Arc::new(|_| {})),
    );
    assert_eq!(first.expect("finished"), second.expect("finished as well"));
    assert_eq!(expect_stored(scenario.claim(&(0..50_000)).await).offset, 50_000);
    assert_eq!(expect_stored(scenario.claim(&(49_999..50_000)).await).offset, 50_000);
    scenario.check_prefix().await;
    scenario.finish().await;
}
