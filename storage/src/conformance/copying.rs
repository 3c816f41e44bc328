//! Bytes that come from another upload.

use std::{ops::Range, time::Duration};

use uuid::Uuid;

use super::{
    Fixture,
    scenario::{STEP, Scenario, content},
};
use crate::{
    digest::DigestChoice,
    error::{Result, StoreError},
    store::{Owned, UploadKey, UploadState},
};

const NEITHER: DigestChoice = DigestChoice { md5: false, sha256: false };

/// An upload that holds one range of the content of `whole`, and that nobody hashes.
async fn part_of<'a>(whole: &Scenario<'a>, range: &Range<u64>) -> Scenario<'a> {
    let bytes = whole.bytes(range).to_vec();
    let length = Some(bytes.len() as u64);
    let part = Scenario::create(whole.fixture, bytes, length, NEITHER).await;
    part.complete().await;
    part
}

async fn copy(
    into: &Scenario<'_>,
    offset: u64,
    source: &Scenario<'_>,
    range: Range<u64>,
) -> Result<UploadState> {
    let store = into.store();
    let copied = store.copy(into.owned, offset, source.owned.key, range);
    tokio::time::timeout(STEP, copied).await.expect("every wait ends")
}

async fn discard(part: Scenario<'_>) {
    part.store().discard(part.owned).await.expect("a part can be discarded");
}

/// What was copied survives a crash and the end of its source, and the digests are those of the whole.
pub async fn copied_bytes_are_durable_and_hashed_like_all_others(fixture: &dyn Fixture) {
    // Neither a multiple of a page nor of a block of the digests; one part is empty.
    let whole = Scenario::new(fixture, 140, 300_001).await;
    let mut offset = 0;
    for end in [100_003, 100_003, 200_000, 300_001] {
        let part = part_of(&whole, &(offset..end)).await;
        let state = copy(&whole, offset, &part, 0..end - offset).await.expect("it is copied");
        assert_eq!((state.offset, state.writers), (end, 0));
        fixture.crash().await;
        discard(part).await;
        assert_eq!(whole.state().await.offset, end);
        offset = end;
    }
    whole.check_prefix().await;
    whole.publish().await;
}

/// The same call again copies what is missing, whatever a crash has left of the one before.
pub async fn a_copy_goes_on_where_a_crash_has_ended_it(fixture: &dyn Fixture) {
    let whole = Scenario::new(fixture, 141, 500_000).await;
    let part = part_of(&whole, &(0..500_000)).await;
    copy(&whole, 0, &part, 0..70_001).await.expect("a beginning is copied");
    {
        // Nobody waits for this one.
        let store = whole.store();
        let begun = store.copy(whole.owned, 0, part.owned.key, 0..500_000);
        drop(tokio::time::timeout(Duration::from_micros(300), begun).await);
    }
    fixture.crash().await;
    let before = whole.state().await;
    assert!(before.offset >= 70_001, "{before:?}");
    whole.check_prefix().await;
    for _ in 0..2 {
        let state = copy(&whole, 0, &part, 0..500_000).await.expect("copied to the end");
        assert_eq!(state.offset, 500_000);
    }
    discard(part).await;
    whole.publish().await;
}

/// Bytes that are there stay what they are, whatever the source holds (I3); the gaps are filled.
pub async fn a_copy_never_changes_stored_bytes(fixture: &dyn Fixture) {
    let whole = Scenario::new(fixture, 142, 90_000).await;
    whole.put(10_000..20_000).await;
    whole.put(50_000..60_000).await;
    let mut other = whole.content.clone();
    for range in [10_000..20_000, 50_000..60_000] {
        other[range].fill(0xee);
    }
    let part = Scenario::create(fixture, other, Some(90_000), NEITHER).await;
    part.complete().await;
    let state = copy(&whole, 0, &part, 0..90_000).await.expect("the gaps are filled");
    assert_eq!(state.offset, 90_000);
    discard(part).await;
    whole.publish().await;
}

/// Refused before any byte: a source that is not there, that has less, or bytes that do not fit.
pub async fn what_is_not_stored_is_not_copied(fixture: &dyn Fixture) {
    let whole = Scenario::new(fixture, 143, 1_000).await;
    let part = Scenario::create(fixture, content(144, 2_000), Some(2_000), NEITHER).await;
    part.put(0..500).await;
    part.put(600..1_500).await;
    let refused = copy(&whole, 0, &part, 0..501).await;
    assert!(matches!(refused, Err(StoreError::Incomplete { offset: 500 })), "{refused:?}");
    let refused = copy(&whole, 501, &part, 0..500).await;
    assert!(matches!(refused, Err(StoreError::BeyondLength { length: 1_000, .. })), "{refused:?}");
    let nobody = UploadKey(Uuid::new_v4());
    let refused = whole.store().copy(whole.owned, 0, nobody, 0..1).await;
    assert!(matches!(refused, Err(StoreError::NotFound { key }) if key == nobody), "{refused:?}");
    let refused =
        whole.store().copy(Owned { key: nobody, epoch: 1 }, 0, part.owned.key, 0..1).await;
    assert!(matches!(refused, Err(StoreError::NotFound { key }) if key == nobody), "{refused:?}");
    assert_eq!(whole.state().await.stored_bytes(), 0);
    discard(part).await;
    whole.publish().await;
}

/// A revoked upload takes no copies; one on its way ends, and what it did is right.
pub async fn a_revoke_ends_a_copy_and_keeps_what_it_did(fixture: &dyn Fixture) {
    let length = 12 << 20;
    let whole = Scenario::new(fixture, 145, length).await;
    let part = part_of(&whole, &(0..length)).await;
    let store = whole.store();
    let revoke = async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        store.revoke(whole.owned).await.expect("revoked")
    };
    let (copied, revoked) = tokio::join!(copy(&whole, 0, &part, 0..length), revoke);
    match copied {
        Ok(state) => assert_eq!(state.offset, length),
        Err(error) => assert!(matches!(error, StoreError::Revoked { .. }), "{error}"),
    }
    assert_eq!((revoked.writers, whole.state().await.extents), (0, revoked.extents));
    whole.check_prefix().await;
    let part_again = part_of(&whole, &(0..10)).await;
    store.discard(whole.owned).await.expect("discarded");
    let whole = Scenario::new(fixture, 145, 10).await;
    store.revoke(whole.owned).await.expect("revoked");
    let refused = copy(&whole, 0, &part_again, 0..10).await;
    assert!(matches!(refused, Err(StoreError::Revoked { .. })), "{refused:?}");
    store.admit(whole.owned).await.expect("admitted");
    drop(store);
    discard(part).await;
    discard(part_again).await;
    whole.publish().await;
}

/// Who has lost the upload copies nothing into it.
pub async fn a_copy_of_an_old_epoch_changes_nothing(fixture: &dyn Fixture) {
    let mut whole = Scenario::new(fixture, 146, 1_000).await;
    let part = part_of(&whole, &(0..1_000)).await;
    let old = whole.owned;
    whole.owned.epoch = 4;
    whole.store().admit(whole.owned).await.expect("the new owner comes");
    let refused = whole.store().copy(old, 0, part.owned.key, 0..1_000).await;
    assert!(matches!(refused, Err(StoreError::Fenced { current: 4, .. })), "{refused:?}");
    assert_eq!(whole.state().await.stored_bytes(), 0);
    discard(part).await;
    whole.publish().await;
}
