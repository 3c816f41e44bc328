//! Control over running writers: revoke, discard, epochs.

use std::time::Duration;

use uuid::Uuid;

use super::{
    Fixture,
    scenario::{
        STEP, Scenario, acknowledged, every_checksum, expect_refusal, expect_writer, interrupted,
        progress,
    },
};
use crate::{
    digest::DigestChoice,
    error::StoreError,
    store::{Chunk, Ended, ImageKey, Owned, UploadPhase, UploadSpec},
};

/// When revoke returns every writer has ended and what it received is durable; doing it again changes nothing.
pub async fn revoke_drains(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 90, 400_000).await;
    let mut writers = Vec::new();
    for place in 0..4 {
        let range = place * 100_000..(place + 1) * 100_000;
        let mut writer = scenario.writer(&range).await;
        let came = range.start..range.start + 50_000 + place;
        writer.append(scenario.bytes(&came)).await.expect("bytes are taken");
        writers.push(writer);
    }
    let store = fixture.store();
    let revoked = tokio::time::timeout(STEP, store.revoke(scenario.owned)).await;
    let state = revoked.expect("every wait ends").expect("revoked");
    assert_eq!((state.phase, state.writers), (UploadPhase::Revoked, 0));
    let expected = [0..50_000, 100_000..150_001, 200_000..250_002, 300_000..350_003];
    assert_eq!(state.extents, expected);
    assert_eq!(store.revoke(scenario.owned).await.expect("revoked again"), state);
    for (place, mut writer) in (0..4).zip(writers) {
        assert_eq!(writer.ended().await, Ended::Revoked);
        let error = writer.append(b"late").await;
        assert!(matches!(error, Err(StoreError::Revoked { .. })), "{error:?}");
        let done = interrupted(writer).await.expect("what came counts");
        assert_eq!(done.counted_bytes, 50_000 + place);
    }
    drop(store);
    fixture.crash().await;
    assert_eq!(scenario.state().await.extents, expected);
    scenario.publish().await;
}

/// What came of a chunk under a checksum is dropped by a revoke, and its range is free after admit.
pub async fn revoke_counts_nothing_of_a_checked_chunk(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 91, 50_000).await;
    let checksum = every_checksum(&scenario.content)[0];
    let mut writer = expect_writer(scenario.claim_checked(&(0..50_000), Some(checksum)).await);
    writer.append(&scenario.content).await.expect("bytes are taken");
    let state = fixture.store().revoke(scenario.owned).await.expect("revoked");
    assert_eq!((state.stored_bytes(), state.writers), (0, 0));
    let error = acknowledged(writer).await;
    assert!(matches!(error, Err(StoreError::Revoked { .. })), "{error:?}");
    fixture.store().admit(scenario.owned).await.expect("admitted");
    scenario.try_put(&(0..50_000), Some(checksum)).await.expect("the right bytes match");
    scenario.publish().await;
}

/// A revoked upload refuses bytes in words until it is admitted; admitting twice is admitting.
pub async fn a_revoked_upload_takes_no_bytes_until_admitted(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 92, 10_000).await;
    scenario.put(0..1_000).await;
    fixture.store().revoke(scenario.owned).await.expect("revoked");
    for _ in 0..2 {
        let error = expect_refusal(scenario.claim(&(1_000..10_000)).await);
        assert!(matches!(error, StoreError::Revoked { .. }), "{error}");
    }
    let state = scenario.state().await;
    assert_eq!((state.phase, state.offset), (UploadPhase::Revoked, 1_000));
    for _ in 0..2 {
        fixture.store().admit(scenario.owned).await.expect("admitting is repeatable");
        assert_eq!(scenario.state().await.phase, UploadPhase::Open);
    }
    scenario.publish().await;
}

/// Who waits for a range when the upload is revoked is told so, at once.
pub async fn a_waiting_newcomer_learns_of_a_revoke(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 93, 10_000).await;
    let mut holder = scenario.writer(&(0..10_000)).await;
    holder.append(scenario.bytes(&(0..10))).await.expect("bytes are taken");
    let store = fixture.store();
    let newcomer = scenario.claim(&(5_000..10_000));
    let revoke = async {
        tokio::time::sleep(fixture.limits().claim_silent / 10).await;
        store.revoke(scenario.owned).await.expect("revoked");
    };
    let (answer, ()) = tokio::join!(newcomer, revoke);
    let error = expect_refusal(answer);
    assert!(matches!(error, StoreError::Revoked { .. }), "{error}");
    store.admit(scenario.owned).await.expect("admitted");
    drop((holder, store));
    scenario.publish().await;
}

/// Discard ends running writers; they can only learn that it is over, and nothing comes back.
pub async fn discard_ends_writers(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 94, 100_000).await;
    let mut writer = scenario.writer(&(0..100_000)).await;
    writer.append(scenario.bytes(&(0..60_000))).await.expect("bytes are taken");
    let store = fixture.store();
    let discarded = tokio::time::timeout(STEP, store.discard(scenario.owned)).await;
    discarded.expect("every wait ends").expect("discarded");
    assert_eq!(fixture.leftovers().await, [""; 0]);
    let why = tokio::time::timeout(STEP, writer.ended()).await.expect("it is told");
    assert_eq!(why, Ended::Revoked);
    let error = writer.append(scenario.bytes(&(60_000..70_000))).await;
    let gone = |error: &StoreError| {
        matches!(error, StoreError::Revoked { .. } | StoreError::NotFound { .. })
    };
    assert!(error.as_ref().is_err_and(gone), "{error:?}");
    let error = interrupted(writer).await;
    assert!(error.as_ref().is_err_and(gone), "{error:?}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(fixture.leftovers().await, [""; 0]);
    assert!(store.uploads().await.expect("listed").is_empty());
}

/// Every operation of an old epoch is refused with the epoch that owns the upload, and changes nothing.
pub async fn a_fenced_epoch_changes_nothing(fixture: &dyn Fixture) {
    let mut scenario = Scenario::undeclared(fixture, 95, 20_000).await;
    scenario.owned.epoch = 5;
    scenario.put(0..10_000).await;
    let before = scenario.state().await;
    let store = fixture.store();
    let key = scenario.owned.key;
    for epoch in [0, 1, 4] {
        let old = Owned { key, epoch };
        let spec = UploadSpec { declared_length: None, digests: DigestChoice::BOTH };
        let chunk = Chunk { offset: 10_000, length: Some(1), checksum: None };
        let answers = [
            store.create(old, spec).await,
            store.declare_length(old, 20_000).await,
            store.write(old, chunk).await.map(|_| ()),
            store.revoke(old).await.map(|_| ()),
            store.admit(old).await,
            store.finish(old, progress().1).await.map(|_| ()),
            store.publish(old, ImageKey(Uuid::new_v4())).await,
            store.discard(old).await,
        ];
        for (step, answer) in answers.into_iter().enumerate() {
            let right = matches!(
                answer,
                Err(StoreError::Fenced { key: k, current: 5 }) if k == key
            );
            assert!(right, "operation {step} of epoch {epoch}: {answer:?}");
        }
        assert_eq!(scenario.state().await, before);
    }
    store.declare_length(scenario.owned, 20_000).await.expect("the owner goes on");
    drop(store);
    scenario.publish().await;
}

/// The epoch is as durable as the bytes that were acknowledged under it.
pub async fn a_fence_survives_a_crash(fixture: &dyn Fixture) {
    let mut scenario = Scenario::new(fixture, 96, 20_000).await;
    let old = scenario.owned;
    scenario.owned.epoch = 7;
    scenario.put(0..10_000).await;
    fixture.crash().await;
    let error = fixture.store().discard(old).await;
    assert!(matches!(error, Err(StoreError::Fenced { current: 7, .. })), "{error:?}");
    let chunk = Chunk { offset: 10_000, length: Some(1), checksum: None };
    let error = expect_refusal(fixture.store().write(old, chunk).await);
    assert!(matches!(error, StoreError::Fenced { current: 7, .. }), "{error}");
    scenario.publish().await;
}

/// A request of a process that lost the upload counts nothing any more, and does not hold the new owner up. What it wrote
/// while it owned the upload may count.
pub async fn a_writer_of_an_old_epoch_counts_nothing(fixture: &dyn Fixture) {
    let mut scenario = Scenario::new(fixture, 97, 100_000).await;
    let wrong = super::scenario::content(93, 100_000);
    let mut old = scenario.writer(&(0..100_000)).await;
    old.append(scenario.bytes(&(0..50_000))).await.expect("bytes are taken");
    scenario.owned.epoch = 2;
    fixture.store().admit(scenario.owned).await.expect("the new owner comes");
    let late = match old.append(&wrong[50_000..]).await {
        Ok(()) => acknowledged(old).await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(matches!(late, Err(StoreError::Fenced { current: 2, .. })), "{late:?}");
    assert!(scenario.state().await.stored_bytes() <= 50_000);
    scenario.publish().await;
}
