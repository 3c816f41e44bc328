//! What is found after the store ended without warning.

use std::time::Duration;

use uuid::Uuid;

use super::{
    Fixture,
    scenario::{
        Dice, Scenario, assert_image, every_checksum, expect_writer, interrupted, progress,
    },
};
use crate::{
    error::StoreError,
    store::{ImageKey, UploadKey, UploadPhase},
};

/// Extents, bytes and length are found as they were acknowledged, and the upload goes on from there.
pub async fn what_was_acknowledged_survives_a_crash(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 60, 400_000).await;
    scenario.put(0..100_001).await;
    scenario.put(200_000..300_000).await;
    let checked = 350_000..350_100;
    let checksum = every_checksum(scenario.bytes(&checked))[0];
    scenario.try_put(&checked, Some(checksum)).await.expect("the checksum matches");
    let before = scenario.state().await;
    fixture.crash().await;
    let after = scenario.state().await;
    assert_eq!(after.extents, before.extents);
    assert_eq!((after.declared_length, after.offset), (Some(400_000), 100_001));
    assert_eq!((after.writers, after.phase), (0, UploadPhase::Open));
    scenario.check_prefix().await;
    scenario.publish().await;
}

/// Bytes of requests that were running at the crash are there whole, or not: what is reported is right.
pub async fn what_was_not_acknowledged_does_no_harm(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 61, 400_000).await;
    scenario.put(0..50_000).await;
    let mut plain = scenario.writer(&(50_000..200_000)).await;
    plain.append(scenario.bytes(&(50_000..130_000))).await.expect("bytes are taken");
    let checksum = every_checksum(scenario.bytes(&(200_000..400_000)))[0];
    let mut checked =
        expect_writer(scenario.claim_checked(&(200_000..400_000), Some(checksum)).await);
    checked.append(scenario.bytes(&(200_000..390_000))).await.expect("bytes are taken");
    drop((plain, checked));
    fixture.crash().await;
    let state = scenario.state().await;
    assert!((50_000..=130_000).contains(&state.offset), "{state:?}");
    assert!(state.extents.iter().all(|extent| extent.end <= 130_000), "{state:?}");
    scenario.check_prefix().await;
    scenario.publish().await;
}

/// Created is created: length and digests are found, also when no byte ever came. A declared length too.
pub async fn the_specification_survives_a_crash(fixture: &dyn Fixture) {
    let declared = Scenario::new(fixture, 62, 12_345).await;
    let open = Scenario::undeclared(fixture, 63, 6_789).await;
    let later = Scenario::undeclared(fixture, 64, 4_321).await;
    fixture.store().declare_length(later.owned, 4_321).await.expect("the length");
    fixture.crash().await;
    assert_eq!(declared.state().await.declared_length, Some(12_345));
    assert_eq!(open.state().await.declared_length, None);
    assert_eq!(later.state().await.declared_length, Some(4_321));
    let error = fixture.store().declare_length(later.owned, 4_322).await;
    assert!(matches!(error, Err(StoreError::LengthConflict { .. })), "{error:?}");
    fixture.store().declare_length(open.owned, 6_789).await.expect("the length");
    for scenario in [declared, open, later] {
        scenario.publish().await;
    }
}

/// Finish and publish lead to the same end with a crash between any two steps.
pub async fn finish_and_publish_survive_a_crash(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 65, 200_000).await;
    scenario.complete().await;
    fixture.crash().await;
    scenario.finish().await;
    fixture.crash().await;
    let image = ImageKey(Uuid::new_v4());
    fixture.store().publish(scenario.owned, image).await.unwrap_or_else(|error| {
        panic!("a finished upload is published after a crash: {error}");
    });
    fixture.crash().await;
    assert_image(&*fixture.store(), image, &scenario.content).await;
    fixture.store().publish(scenario.owned, image).await.expect("the same again is success");
    assert!(fixture.store().uploads().await.expect("listed").is_empty());
}

/// Whether an upload may be written is decided by records outside the store, so a revoke ends with the process.
pub async fn a_revoke_is_forgotten_by_a_crash(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 66, 10_000).await;
    fixture.store().revoke(scenario.owned).await.expect("revoked");
    assert_eq!(scenario.state().await.phase, UploadPhase::Revoked);
    fixture.crash().await;
    assert_eq!(scenario.state().await.phase, UploadPhase::Open);
    scenario.publish().await;
}

/// Crash after crash, with requests cut in the middle: what was acknowledged is never asked for again.
pub async fn many_crashes_never_lower_the_offset(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 67, 600_000).await;
    let mut dice = Dice(67);
    let mut acknowledged = 0;
    for round in 0..12 {
        let came = (acknowledged + 1 + dice.below(60_000)).min(600_000);
        let mut writer = scenario.writer(&(acknowledged..600_000)).await;
        for block in scenario.bytes(&(acknowledged..came)).chunks(5_000) {
            writer.append(block).await.expect("bytes are taken");
        }
        if round % 3 == 2 {
            drop(writer);
        } else {
            acknowledged = interrupted(writer).await.expect("what came counts").state.offset;
            assert_eq!(acknowledged, came);
        }
        fixture.crash().await;
        let offset = scenario.state().await.offset;
        assert!(offset >= acknowledged, "{acknowledged} was acknowledged, {offset} is there");
        acknowledged = offset;
        scenario.check_prefix().await;
    }
    scenario.publish().await;
}

/// What no record knows is set aside, not deleted, and purged only when it is old enough.
pub async fn set_aside_and_purge_are_explicit(fixture: &dyn Fixture) {
    let stays = Scenario::new(fixture, 68, 10_000).await;
    stays.put(0..5_000).await;
    let stray = Scenario::new(fixture, 69, 10_000).await;
    stray.put(0..5_000).await;
    let store = fixture.store();
    let mut listed = store.uploads().await.expect("listed");
    listed.sort();
    let mut expected = [stays.owned.key, stray.owned.key];
    expected.sort();
    assert_eq!(listed, expected);
    for _ in 0..2 {
        store.set_aside(stray.owned.key).await.expect("setting aside is repeatable");
        assert_eq!(store.uploads().await.expect("listed"), [stays.owned.key]);
    }
    store.set_aside(UploadKey(Uuid::new_v4())).await.expect("what is not there is aside");
    let state = store.state(stray.owned.key).await;
    assert!(matches!(state, Err(StoreError::NotFound { .. })), "{state:?}");
    let week = Duration::from_hours(7 * 24);
    assert_eq!(store.purge_set_aside(week).await.expect("purged"), []);
    let purged = store.purge_set_aside(Duration::ZERO).await.expect("purged");
    assert!(!purged.is_empty(), "what was set aside is still there to be purged");
    let bytes: u64 = purged.iter().map(|(_, bytes)| bytes).sum();
    assert!(bytes >= 5_000, "the stored bytes were kept: {purged:?}");
    assert_eq!(store.purge_set_aside(Duration::ZERO).await.expect("purged"), []);
    drop(store);
    stays.publish().await;
}

/// The store is the same store after a crash, can be written, and has room.
pub async fn the_store_keeps_its_identity_and_tells_its_room(fixture: &dyn Fixture) {
    let uuid = fixture.store().store_uuid();
    assert!(!uuid.is_nil());
    fixture.crash().await;
    let store = fixture.store();
    assert_eq!(store.store_uuid(), uuid);
    let space = store.space().await.expect("the room can be told");
    assert!(space.free_bytes > 0 && space.free_bytes <= space.total_bytes, "{space:?}");
    store.probe().await.expect("the store can be written");
    let owned = crate::store::Owned { key: UploadKey(Uuid::new_v4()), epoch: 1 };
    let error = store.finish(owned, progress().1).await;
    assert!(matches!(error, Err(StoreError::NotFound { .. })), "{error:?}");
}
