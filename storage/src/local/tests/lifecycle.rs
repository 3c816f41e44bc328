//! Creating, declaring, revoking, finishing, publishing, discarding, setting aside.

use super::*;
use crate::{Ended, kill::KILL_POINTS};

#[tokio::test]
async fn creating_twice_is_once_and_another_specification_is_refused() {
    let bench = Bench::new();
    let owned = bench.create(Some(10)).await;
    bench.store.create(owned, spec(Some(10))).await.unwrap();
    let other = bench.store.create(owned, spec(Some(11))).await.unwrap_err();
    assert!(matches!(other, StoreError::AlreadyExists { .. }));
    let unknown = bench.store.state(UploadKey(Uuid::new_v4())).await.unwrap_err();
    assert!(matches!(unknown, StoreError::NotFound { .. }));
    assert_eq!(bench.store.uploads().await.unwrap(), [owned.key]);
}

#[tokio::test]
async fn the_first_length_wins() {
    let bench = Bench::new();
    let owned = bench.create(None).await;
    bench.send(owned, chunk(0, Some(100)), &[1; 100]).await.unwrap();
    let below = bench.store.declare_length(owned, 99).await.unwrap_err();
    assert!(matches!(below, StoreError::LengthConflict { offered: 99, declared: 100 }));
    let mut writer = bench.writer(owned, chunk(100, None)).await.unwrap();
    writer.append(&[1; 50]).await.unwrap();
    assert!(bench.store.declare_length(owned, 149).await.is_err(), "its bytes are on their way");
    bench.store.declare_length(owned, 160).await.unwrap();
    bench.store.declare_length(owned, 160).await.unwrap();
    assert!(bench.store.declare_length(owned, 161).await.is_err());
    assert!(writer.append(&[1; 11]).await.is_err());
    writer.append(&[1; 10]).await.unwrap();
    writer.acknowledge().await.unwrap();
    let bench = bench.reopen();
    assert!(bench.store.state(owned.key).await.unwrap().is_complete());
}

#[tokio::test]
async fn nothing_at_all_is_an_image_too() {
    let bench = Bench::new();
    let owned = bench.create(Some(0)).await;
    let finished = bench.finish(owned).await.unwrap();
    assert_eq!(finished, Finished { length: 0, digests: digests(b"") });
    let image = random_image();
    bench.store.publish(owned, image).await.unwrap();
    assert_eq!(bench.store.image_length(image).await.unwrap(), 0);
}

#[tokio::test]
async fn revoking_drains_writers_and_is_remembered_while_files_are_closed() {
    let bench = Bench::new();
    let owned = bench.create(None).await;
    let mut writer = bench.writer(owned, chunk(0, None)).await.unwrap();
    writer.append(&[7; 12_345]).await.unwrap();
    let state = bench.store.revoke(owned).await.unwrap();
    assert_eq!((state.offset, state.writers, state.phase), (12_345, 0, UploadPhase::Revoked));
    assert_eq!(writer.ended().await, Ended::Revoked);
    assert_eq!(writer.interrupt().await.unwrap().counted_bytes, 12_345);
    let refused = bench.store.write(owned, chunk(12_345, None)).await.err().unwrap();
    assert!(matches!(refused, StoreError::Revoked { .. }));
    bench.store.revoke(owned).await.unwrap();
    bench.store.admit(owned).await.unwrap();
    bench.send(owned, chunk(12_345, Some(5)), &[7; 5]).await.unwrap();
}

#[tokio::test]
async fn an_old_epoch_changes_nothing() {
    let bench = Bench::new();
    let old = bench.create(Some(1_000)).await;
    let mut writer = bench.writer(old, chunk(0, None)).await.unwrap();
    writer.append(&[1; 500]).await.unwrap();
    let new = Owned { epoch: 2, ..old };
    bench.store.admit(new).await.unwrap();
    assert!(matches!(writer.append(&[1; 1]).await, Err(StoreError::Fenced { current: 2, .. })));
    assert!(matches!(writer.acknowledge().await, Err(StoreError::Fenced { .. })));
    let bench = bench.reopen();
    assert_eq!(bench.store.state(old.key).await.unwrap().stored_bytes(), 0);
    let fenced = |result: Result<()>| assert!(matches!(result, Err(StoreError::Fenced { .. })));
    fenced(bench.store.write(old, chunk(0, None)).await.map(|_| ()));
    fenced(bench.store.declare_length(old, 1_000).await);
    fenced(bench.store.revoke(old).await.map(|_| ()));
    fenced(bench.store.admit(old).await);
    fenced(bench.finish(old).await.map(|_| ()));
    fenced(bench.store.publish(old, random_image()).await);
    fenced(bench.store.discard(old).await);
    fenced(bench.store.create(old, spec(Some(1_000))).await);
    bench.send(new, chunk(0, None), &[1; 1_000]).await.unwrap();
}

#[tokio::test]
async fn finishing_and_publishing_can_be_repeated() {
    let bench = Bench::new();
    let bytes = image(300_001);
    let owned = bench.create(Some(bytes.len() as u64)).await;
    bench.send_part(owned, &bytes, 0..300_000).await;
    let early = bench.finish(owned).await.unwrap_err();
    assert!(matches!(early, StoreError::Incomplete { offset: 300_000 }));
    assert!(bench.store.publish(owned, random_image()).await.is_err());
    bench.send_part(owned, &bytes, 300_000..300_001).await;
    let first = bench.finish(owned).await.unwrap();
    assert_eq!(first, bench.finish(owned).await.unwrap());
    let bench = bench.reopen();
    assert_eq!(first, bench.finish(owned).await.unwrap());
    assert_eq!(bench.store.statistics().hashed_bytes, 0, "the digests come from the checkpoint");
    let image = random_image();
    bench.store.publish(owned, image).await.unwrap();
    bench.store.publish(owned, image).await.unwrap();
    let bench = bench.reopen();
    bench.store.publish(owned, image).await.unwrap();
    assert_eq!(bench.store.images().await.unwrap(), [image]);
    assert_eq!(bench.store.uploads().await.unwrap(), []);
    assert_eq!(bench.store.read_image(image, 0..400_000).await.unwrap(), bytes);
    assert_eq!(bench.store.read_image(image, 300_000..300_001).await.unwrap(), bytes[300_000..]);
    let elsewhere = bench.store.publish(owned, random_image()).await.unwrap_err();
    assert!(matches!(elsewhere, StoreError::NotFound { .. }));
    bench.store.discard(owned).await.unwrap();
    assert_eq!(bench.store.image_length(image).await.unwrap(), 300_001);
    bench.store.delete_image(image).await.unwrap();
    bench.store.delete_image(image).await.unwrap();
    assert!(bench.store.image_length(image).await.is_err());
}

#[tokio::test]
async fn an_image_is_never_replaced() {
    let bench = Bench::new();
    let image = random_image();
    let mut results = Vec::new();
    for byte in [1, 2] {
        let owned = bench.create(Some(10)).await;
        bench.send(owned, chunk(0, None), &[byte; 10]).await.unwrap();
        results.push(bench.store.publish(owned, image).await.is_ok());
    }
    assert_eq!(results, [true, false]);
    assert_eq!(bench.store.read_image(image, 0..10).await.unwrap(), [1; 10].as_slice());
}

#[tokio::test]
async fn discarding_leaves_nothing_in_any_state() {
    let bench = Bench::new();
    let owned = bench.create(None).await;
    let mut writer = bench.writer(owned, chunk(0, None)).await.unwrap();
    writer.append(&vec![1; 100_000]).await.unwrap();
    bench.store.discard(owned).await.unwrap();
    bench.store.discard(owned).await.unwrap();
    assert_eq!(writer.ended().await, Ended::Revoked);
    assert!(writer.append(b"late").await.is_err());
    assert!(writer.acknowledge().await.is_err());
    assert_eq!(bench.store.uploads().await.unwrap(), []);
    // A record that cannot be read goes too.
    let owned = bench.create(None).await;
    let bench = bench.reopen();
    let path =
        bench.store.shared.layout.staging(owned.key, super::super::layout::StagingFile::Checkpoint);
    std::fs::write(path, b"rubbish").unwrap();
    let damaged = bench.store.state(owned.key).await.unwrap_err();
    assert!(matches!(damaged, StoreError::Damaged { .. }), "{damaged:?}");
    bench.store.discard(owned).await.unwrap();
    assert_eq!(bench.store.uploads().await.unwrap(), []);
    // The key is free again.
    bench.store.create(owned, spec(None)).await.unwrap();
}

#[tokio::test]
async fn strays_are_set_aside_and_purged_by_age() {
    let bench = Bench::new();
    let owned = bench.create(None).await;
    bench.send(owned, chunk(0, None), &[1; 1000]).await.unwrap();
    bench.store.set_aside(owned.key).await.unwrap();
    bench.store.set_aside(owned.key).await.unwrap();
    assert_eq!(bench.store.uploads().await.unwrap(), []);
    assert!(bench.store.state(owned.key).await.is_err());
    let young = bench.store.purge_set_aside(Duration::from_hours(1)).await.unwrap();
    assert_eq!(young, []);
    let purged = bench.store.purge_set_aside(Duration::ZERO).await.unwrap();
    assert!(purged.iter().any(|(name, bytes)| name.contains(".data") && *bytes == 1000));
    assert_eq!(bench.store.purge_set_aside(Duration::ZERO).await.unwrap(), []);
}

#[tokio::test]
async fn open_files_are_bounded_and_nothing_is_lost_by_closing_them() {
    let bench = Bench::with(Arc::new(OsDisk), LIMITS);
    let first = bench.create(None).await;
    bench.send(first, chunk(0, None), &[1; 10]).await.unwrap();
    bench.store.revoke(first).await.unwrap();
    for _ in 0..1_300 {
        bench.create(None).await;
    }
    let open = bench.store.statistics().open_uploads;
    assert!((1..=1_100).contains(&open), "{open} uploads have open files");
    let state = bench.store.state(first.key).await.unwrap();
    assert_eq!((state.offset, state.phase), (10, UploadPhase::Revoked));
    assert_eq!(bench.store.uploads().await.unwrap().len(), 1_301);
}

#[tokio::test]
async fn the_store_answers_for_itself() {
    let bench = Bench::new();
    let uuid = bench.store.store_uuid();
    bench.store.probe().await.unwrap();
    let space = bench.store.space().await.unwrap();
    assert!(space.total_bytes >= space.free_bytes && space.free_bytes > 0);
    let second =
        LocalStore::open(bench.dir.path(), Arc::new(OsDisk), LIMITS, Durability::PowerLoss);
    assert!(matches!(second, Err(StoreError::Unusable { .. })));
    assert_eq!(bench.reopen().store.store_uuid(), uuid);
    assert!(KILL_POINTS.contains(&"publish.after_rename"));
}
