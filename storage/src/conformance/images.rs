//! Publishing, discarding, reading.

use uuid::Uuid;

use super::{
    Backend, Fixture,
    scenario::{Scenario, assert_image, content, progress},
};
use crate::{
    error::StoreError,
    store::{Claimed, ImageKey, UploadPhase},
};

/// The whole way of an upload that arrives in one request.
pub async fn bytes_come_back_as_they_were_sent(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 50, 3_000_001).await;
    scenario.put(0..3_000_001).await;
    scenario.check_prefix().await;
    let image = scenario.publish().await;
    assert_eq!(fixture.store().images().await.expect("listed"), [image]);
    assert!(fixture.store().uploads().await.expect("listed").is_empty());
}

/// Publishing the same pair again is success, also after a crash; the staging entry is gone.
pub async fn publish_is_repeatable(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 51, 100_000).await;
    let image = scenario.publish().await;
    for crashes in [false, true, true] {
        if crashes {
            fixture.crash().await;
        }
        let store = fixture.store();
        store.publish(scenario.owned, image).await.expect("the same again is success");
        assert_image(&*store, image, &scenario.content).await;
        assert!(store.uploads().await.expect("listed").is_empty());
        match store.state(scenario.owned.key).await {
            Ok(state) => assert_eq!((state.phase, state.offset), (UploadPhase::Published, 100_000)),
            Err(error) => assert!(matches!(error, StoreError::NotFound { .. }), "{error}"),
        }
        let written = scenario.claim(&(0..10)).await;
        assert!(!matches!(written, Ok(Claimed::Writer(_))), "a published image was opened");
    }
}

/// An upload that is not finished, or not even complete, does not become an image.
pub async fn publish_refuses_an_unfinished_upload(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 52, 10_000).await;
    scenario.put(0..9_999).await;
    let image = ImageKey(Uuid::new_v4());
    let error = fixture.store().publish(scenario.owned, image).await;
    assert!(matches!(error, Err(StoreError::Incomplete { offset: 9_999 })), "{error:?}");
    let error = fixture.store().image_length(image).await;
    assert!(matches!(error, Err(StoreError::ImageNotFound { .. })), "{error:?}");
    assert_eq!(scenario.state().await.offset, 9_999);
    scenario.publish().await;
}

/// A name that is taken keeps its image, whole; the upload is still there.
pub async fn publish_replaces_no_other_image(fixture: &dyn Fixture) {
    let first = Scenario::new(fixture, 53, 10_000).await;
    let image = first.publish().await;
    let second = Scenario::new(fixture, 54, 20_000).await;
    second.complete().await;
    second.finish().await;
    let error = fixture.store().publish(second.owned, image).await;
    assert!(error.is_err(), "another image was replaced");
    assert_image(&*fixture.store(), image, &first.content).await;
    assert_eq!(second.state().await.offset, 20_000);
    second.check_prefix().await;
}

/// Discarding is repeatable, at every stage, and nothing is left: no entry, no state, no bytes.
pub async fn discard_leaves_nothing_behind(fixture: &dyn Fixture) {
    for stored in [0, 1, 70_000, 100_000] {
        let scenario = Scenario::new(fixture, 55, 100_000).await;
        if stored > 0 {
            scenario.put(100_000 - stored..100_000).await;
        }
        if stored == 100_000 {
            scenario.finish().await;
        }
        for crashes in [false, false, true] {
            fixture.store().discard(scenario.owned).await.expect("discarding is repeatable");
            assert!(fixture.store().uploads().await.expect("listed").is_empty());
            assert_eq!(fixture.leftovers().await, [""; 0]);
            let state = fixture.store().state(scenario.owned.key).await;
            assert!(matches!(state, Err(StoreError::NotFound { .. })), "{state:?}");
            let finished = fixture.store().finish(scenario.owned, progress().1).await;
            assert!(matches!(finished, Err(StoreError::NotFound { .. })), "{finished:?}");
            if crashes {
                fixture.crash().await;
            }
        }
    }
}

/// Discarding an upload that has become an image does not touch the image.
pub async fn discard_spares_the_published_image(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 56, 100_000).await;
    let image = scenario.publish().await;
    fixture.store().discard(scenario.owned).await.expect("nothing to discard is success");
    assert_image(&*fixture.store(), image, &scenario.content).await;
    fixture.crash().await;
    assert_image(&*fixture.store(), image, &scenario.content).await;
}

/// Deleting is durable and repeatable, and only deletes the one image.
pub async fn deleting_an_image_is_repeatable(fixture: &dyn Fixture) {
    let stays = Scenario::new(fixture, 57, 5_000).await;
    let stays = (stays.publish().await, content(57, 5_000));
    let goes = Scenario::new(fixture, 58, 5_000).await.publish().await;
    for _ in 0..2 {
        fixture.store().delete_image(goes).await.expect("deleting is repeatable");
        fixture.crash().await;
        assert_eq!(fixture.store().images().await.expect("listed"), [stays.0]);
        let error = fixture.store().read_image(goes, 0..1).await;
        assert!(matches!(error, Err(StoreError::ImageNotFound { .. })), "{error:?}");
    }
    assert_image(&*fixture.store(), stays.0, &stays.1).await;
}

/// An image that was never published is not found.
pub async fn an_absent_image_is_not_found(fixture: &dyn Fixture) {
    let image = ImageKey(Uuid::new_v4());
    let length = fixture.store().image_length(image).await;
    assert!(matches!(length, Err(StoreError::ImageNotFound { image: i }) if i == image));
    let bytes = fixture.store().read_image(image, 0..10).await;
    assert!(matches!(bytes, Err(StoreError::ImageNotFound { image: i }) if i == image));
    fixture.store().delete_image(image).await.expect("an absent image is deleted already");
}

/// Stored bytes are read wherever they are, and nothing that is not stored.
pub async fn what_is_stored_is_read_behind_gaps_too(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 60, 100_000).await;
    scenario.put(10_000..30_000).await;
    scenario.put(50_000..100_000).await;
    look_behind_gaps(&scenario, &*fixture.store()).await;
    fixture.crash().await;
    look_behind_gaps(&scenario, &*fixture.store()).await;
}

async fn look_behind_gaps(scenario: &Scenario<'_>, store: &dyn Backend) {
    let read = async |range| store.read_stored(scenario.owned.key, range).await.expect("readable");
    assert_eq!(read(29_000..60_000).await, scenario.bytes(&(29_000..30_000)));
    assert_eq!(read(60_000..70_000).await, scenario.bytes(&(60_000..70_000)));
    assert_eq!(read(99_000..u64::MAX).await, scenario.bytes(&(99_000..100_000)));
    for range in [0..10, 9_999..20_000, 30_000..60_000, 100_000..100_001, 5..5] {
        assert!(read(range.clone()).await.is_empty(), "{range:?}");
    }
}

/// Reads of an upload never pass its offset, reads of an image are short only at its end.
pub async fn reading_stops_at_the_offset_and_at_the_end(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 59, 100_000).await;
    scenario.put(0..30_000).await;
    scenario.put(50_000..100_000).await;
    let store = fixture.store();
    let read = async |range| store.read_upload(scenario.owned.key, range).await.expect("readable");
    assert_eq!(read(29_000..100_000).await, scenario.bytes(&(29_000..30_000)));
    assert_eq!(read(10..20).await, scenario.bytes(&(10..20)));
    assert!(read(30_000..40_000).await.is_empty() && read(60_000..70_000).await.is_empty());
    let image = scenario.publish().await;
    let read = async |range| store.read_image(image, range).await.expect("readable");
    assert_eq!(read(99_000..200_000).await, scenario.bytes(&(99_000..100_000)));
    assert_eq!(read(12_345..54_321).await, scenario.bytes(&(12_345..54_321)));
    assert!(
        read(100_000..100_001).await.is_empty() && read(u64::MAX - 1..u64::MAX).await.is_empty()
    );
}

/// Whatever its pages are, the same bytes come past the cache, and the same end.
pub async fn reading_past_the_cache_answers_the_same(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 60, 5_000_001).await;
    let image = scenario.publish().await;
    let store = fixture.store();
    for range in [
        0..1,
        0..4096,
        4095..4097,
        1..9_000,
        12_345..54_321,
        4_999_999..5_000_001,
        5_000_000..6_000_000,
        5_000_001..5_000_002,
        0..u64::MAX,
        3..u64::MAX,
        u64::MAX - 1..u64::MAX,
        9..9,
    ] {
        let read = store.read_image_past_cache(image, range.clone()).await.expect("readable");
        let expected = store.read_image(image, range.clone()).await.expect("readable");
        assert_eq!(read.len(), expected.len(), "{range:?}");
        assert!(read == expected, "{range:?}: other bytes");
    }
    let absent = ImageKey(Uuid::new_v4());
    let error = store.read_image_past_cache(absent, 0..10).await;
    assert!(matches!(error, Err(StoreError::ImageNotFound { image }) if image == absent));
}
