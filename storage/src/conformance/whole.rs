//! Images whose bytes are all here at once.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::{
    Fixture,
    scenario::{Scenario, assert_image, checksum_hex, content, every_checksum, reference_digests},
};
use crate::{digest::DigestChoice, error::StoreError, store::ImageKey};

fn fresh(seed: u64, length: u64) -> (ImageKey, Bytes) {
    (ImageKey(Uuid::new_v4()), content(seed, length).into())
}

/// For every choice the digests are those of the reference; a checksum is compared, and a wrong one named.
pub async fn digests_of_whole_bytes_are_right(fixture: &dyn Fixture) {
    let store = fixture.store();
    for length in [0, 1, 63, 64, 65, 70_000] {
        let bytes = Bytes::from(content(80, length));
        for (md5, sha256) in [(true, true), (true, false), (false, true), (false, false)] {
            let choice = DigestChoice { md5, sha256 };
            for checksum in [None].into_iter().chain(every_checksum(&bytes).map(Some)) {
                let digests = store.digest(bytes.clone(), choice, checksum).await;
                assert_eq!(digests.expect("hashed"), reference_digests(&bytes, choice));
            }
        }
        let other = content(81, length + 1);
        for (wrong, right) in every_checksum(&other).into_iter().zip(every_checksum(&bytes)) {
            let error = store.digest(bytes.clone(), DigestChoice::BOTH, Some(wrong)).await;
            let Err(StoreError::ChecksumMismatch { offset: 0, actual }) = error else {
                panic!("{error:?}")
            };
            assert_eq!(actual, checksum_hex(&right));
        }
    }
}

/// It can be read from the moment it is there, before it is settled and after, and settling is repeatable.
pub async fn a_whole_image_is_there_settled_or_not(fixture: &dyn Fixture) {
    let store = fixture.store();
    let (image, bytes) = fresh(82, 70_000);
    store.put_whole(image, bytes.clone()).await.expect("put");
    assert_image(&*store, image, &bytes).await;
    assert_eq!(store.unsettled(Duration::ZERO).await.expect("listed"), [image]);
    assert_eq!(store.images().await.expect("listed"), []);
    for _ in 0..2 {
        store.settle(image).await.expect("settling is repeatable");
        assert_image(&*store, image, &bytes).await;
        assert_eq!(store.unsettled(Duration::ZERO).await.expect("listed"), []);
        assert_eq!(store.images().await.expect("listed"), [image]);
    }
    let absent = ImageKey(Uuid::new_v4());
    let error = store.settle(absent).await;
    assert!(matches!(error, Err(StoreError::ImageNotFound { image }) if image == absent));
}

/// Put is durable: after one crash and another it is there, unsettled; after settling and a crash it is there, in whatever place.
pub async fn a_whole_image_survives_crashes(fixture: &dyn Fixture) {
    let images = [0, 1, 70_000].map(|length| fresh(83, length));
    for (image, bytes) in &images {
        fixture.store().put_whole(*image, bytes.clone()).await.expect("put");
        fixture.crash().await;
        assert!(fixture.store().unsettled(Duration::ZERO).await.expect("listed").contains(image));
    }
    for (image, bytes) in &images {
        assert_image(&*fixture.store(), *image, bytes).await;
        fixture.store().settle(*image).await.expect("settled");
        fixture.crash().await;
        assert_image(&*fixture.store(), *image, bytes).await;
        fixture.store().settle(*image).await.expect("settling is repeatable after a crash");
        assert_image(&*fixture.store(), *image, bytes).await;
    }
    // A later crash may have put back what an earlier one had settled.
    for (image, _) in &images {
        fixture.store().settle(*image).await.expect("settled");
    }
    assert_eq!(fixture.store().unsettled(Duration::ZERO).await.expect("listed"), []);
    for (image, _) in &images {
        fixture.store().delete_image(*image).await.expect("deleted");
    }
}

/// Neither a whole image nor a published upload takes a name that is taken, settled or not.
pub async fn a_whole_image_replaces_nothing(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 84, 10_000).await;
    let published = scenario.publish().await;
    let store = fixture.store();
    let (image, bytes) = fresh(85, 5_000);
    store.put_whole(image, bytes.clone()).await.expect("put");
    let other = Bytes::from(content(86, 6_000));
    let upload = Scenario::new(fixture, 87, 7_000).await;
    upload.complete().await;
    upload.finish().await;
    for _ in 0..2 {
        for taken in [image, published] {
            let error = store.put_whole(taken, other.clone()).await;
            assert!(matches!(error, Err(StoreError::AlreadyExists { .. })), "{error:?}");
            let error = store.publish(upload.owned, taken).await;
            assert!(matches!(error, Err(StoreError::AlreadyExists { .. })), "{error:?}");
        }
        assert_image(&*store, image, &bytes).await;
        assert_image(&*store, published, &scenario.content).await;
        store.settle(image).await.expect("settled");
    }
    drop(store);
    upload.check_prefix().await;
}

/// Deleting removes it in either place, durably; other images stay.
pub async fn a_whole_image_is_deleted_settled_or_not(fixture: &dyn Fixture) {
    let (stays, kept) = fresh(88, 5_000);
    fixture.store().put_whole(stays, kept.clone()).await.expect("put");
    for settled in [false, true] {
        let (image, bytes) = fresh(89, 5_000);
        fixture.store().put_whole(image, bytes).await.expect("put");
        if settled {
            fixture.store().settle(image).await.expect("settled");
        }
        for _ in 0..2 {
            fixture.store().delete_image(image).await.expect("deleting is repeatable");
            fixture.crash().await;
            let error = fixture.store().image_length(image).await;
            assert!(matches!(error, Err(StoreError::ImageNotFound { .. })), "{error:?}");
        }
    }
    assert_image(&*fixture.store(), stays, &kept).await;
}

/// What no record knows is set aside, and purged when it is old enough; a settled image is never touched by it.
pub async fn unsettled_images_are_set_aside_and_settled_ones_stay(fixture: &dyn Fixture) {
    let store = fixture.store();
    let (stray, bytes) = fresh(90, 5_000);
    let (settled, kept) = fresh(91, 6_000);
    store.put_whole(stray, bytes).await.expect("put");
    store.put_whole(settled, kept.clone()).await.expect("put");
    store.settle(settled).await.expect("settled");
    assert_eq!(store.unsettled(Duration::ZERO).await.expect("listed"), [stray]);
    assert_eq!(store.unsettled(Duration::from_hours(1)).await.expect("listed"), [], "it is new");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(store.unsettled(Duration::from_millis(10)).await.expect("listed"), [stray]);
    for _ in 0..2 {
        for image in [stray, settled, ImageKey(Uuid::new_v4())] {
            store.set_image_aside(image).await.expect("setting aside is repeatable");
        }
    }
    assert_eq!(store.unsettled(Duration::ZERO).await.expect("listed"), []);
    let error = store.image_length(stray).await;
    assert!(matches!(error, Err(StoreError::ImageNotFound { .. })), "{error:?}");
    assert_eq!(store.purge_set_aside(Duration::from_hours(1)).await.expect("purged"), []);
    let purged = store.purge_set_aside(Duration::ZERO).await.expect("purged");
    assert_eq!(purged.iter().map(|(_, bytes)| bytes).sum::<u64>(), 5_000, "{purged:?}");
    assert_image(&*store, settled, &kept).await;
}
