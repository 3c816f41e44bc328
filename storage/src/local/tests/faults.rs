//! A storage that fails or is slow.

use std::sync::atomic::Ordering;

use super::{fault_disk::FaultDisk, *};
use crate::{Ended, local::layout::StagingFile};

const EIO: i32 = 5;
const EINVAL: i32 = 22;
const EFBIG: i32 = 27;
const ENOSPC: i32 = 28;

fn bench() -> (FaultDisk, Bench) {
    let disk = FaultDisk::default();
    let bench = Bench::with(Arc::new(disk.clone()), LIMITS);
    (disk, bench)
}

#[tokio::test]
async fn one_sync_serves_everybody_who_waits() {
    let (disk, bench) = bench();
    let owned = bench.create(None).await;
    disk.faults.sync_millis.store(100, Ordering::SeqCst);
    let before = disk.faults.syncs.load(Ordering::SeqCst);
    let send = &|start| bench.send(owned, chunk(start, Some(1_000)), &[5; 1_000]);
    let half = |start: usize| async move {
        let sends = [0, 1_000, 2_000, 3_000].map(|behind| send(start + behind));
        let [first, second, third, fourth] = sends;
        let all = tokio::join!(first, second, third, fourth);
        [all.0, all.1, all.2, all.3].map(|sent| sent.unwrap().counted_bytes)
    };
    let (first, second) = tokio::join!(half(0), half(4_000));
    assert_eq!([first, second], [[1_000; 4]; 2]);
    let syncs = disk.faults.syncs.load(Ordering::SeqCst) - before;
    // Two syncs (data, checkpoint) for the first, two for all who came meanwhile.
    assert!(syncs <= 4, "{syncs} syncs for eight waiters");
    assert_eq!(bench.store.state(owned.key).await.unwrap().offset, 8_000);
}

#[tokio::test]
async fn after_a_failed_sync_everybody_is_told_and_only_durable_bytes_remain() {
    let (disk, bench) = bench();
    let image = image(100_000);
    let owned = bench.create(Some(100_000)).await;
    bench.send_part(owned, &image, 0..40_000).await;
    let mut other = bench.writer(owned, chunk(70_000, Some(30_000))).await.unwrap();
    other.append(&image[70_000..80_000]).await.unwrap();
    disk.faults.sync_errno.store(EIO, Ordering::SeqCst);
    let told = bench.send(owned, chunk(40_000, Some(30_000)), &image[40_000..70_000]).await;
    assert!(matches!(told, Err(StoreError::Io { .. })), "{told:?}");
    assert_eq!(other.ended().await, Ended::Failed);
    assert!(matches!(other.append(b"late").await, Err(StoreError::Io { .. })));
    assert!(matches!(other.interrupt().await, Err(StoreError::Io { .. })));
    let state = bench.store.state(owned.key).await.unwrap();
    assert_eq!((state.offset, state.stored_bytes()), (40_000, 40_000));
    bench.send_part(owned, &image, 40_000..100_000).await;
    assert_eq!(bench.finish(owned).await.unwrap().digests, digests(&image));
}

#[tokio::test]
async fn a_failed_write_is_told_and_the_next_try_succeeds() {
    let (disk, bench) = bench();
    let owned = bench.create(Some(10_000)).await;
    disk.faults.write_errno.store(EIO, Ordering::SeqCst);
    let told = bench.send(owned, chunk(0, None), &[1; 10_000]).await;
    assert!(matches!(told, Err(StoreError::Io { .. })), "{told:?}");
    bench.send(owned, chunk(0, None), &[1; 10_000]).await.unwrap();
    assert_eq!(bench.finish(owned).await.unwrap().digests, digests(&[1; 10_000]));
}

#[tokio::test]
async fn a_write_that_finds_no_place_fails_one_writer_and_keeps_the_others() {
    let (disk, bench) = bench();
    let owned = bench.create(Some(20_000)).await;
    let mut other = bench.writer(owned, chunk(10_000, Some(10_000))).await.unwrap();
    disk.faults.write_errno.store(ENOSPC, Ordering::SeqCst);
    let told = bench.send(owned, chunk(0, Some(10_000)), &[1; 10_000]).await;
    assert!(matches!(told, Err(StoreError::NoSpace)), "{told:?}");
    // Beyond what the file system can address: that is the fault of this chunk alone, too.
    for errno in [EFBIG, EINVAL] {
        disk.faults.write_errno.store(errno, Ordering::SeqCst);
        let told = bench.send(owned, chunk(0, Some(10_000)), &[1; 10_000]).await;
        assert!(matches!(told, Err(StoreError::Io { .. })), "{told:?}");
    }
    other.append(&[1; 10_000]).await.unwrap();
    other.acknowledge().await.unwrap();
    bench.send(owned, chunk(0, Some(10_000)), &[1; 10_000]).await.unwrap();
    assert_eq!(bench.finish(owned).await.unwrap().digests, digests(&vec![1; 20_000]));
}

/// Fails the Nth sync, for every N, until a whole life of an upload meets no failure: after each failure the same steps
/// again lead to the same image.
#[tokio::test]
async fn every_single_failed_write_or_sync_can_be_repaired_by_trying_again() {
    let bytes = image(200_000);
    let mut failures = 0;
    for fail_at in 0..24 {
        let (disk, bench) = bench();
        let owned = Owned { key: UploadKey(Uuid::new_v4()), epoch: 1 };
        let image = random_image();
        let steps = async |at: u32| {
            let arm = |step| {
                if at == fail_at && step == fail_at % 6 {
                    let errno = if fail_at / 6 % 2 == 0 { EIO } else { ENOSPC };
                    let fault = if fail_at / 12 == 0 {
                        &disk.faults.sync_errno
                    } else {
                        &disk.faults.write_errno
                    };
                    fault.store(errno, Ordering::SeqCst);
                }
            };
            arm(0);
            bench.store.create(owned, spec(None)).await?;
            arm(1);
            bench.send(owned, chunk(100_000, Some(100_000)), &bytes[100_000..]).await?;
            arm(2);
            bench.send(owned, checked(0, &bytes[..100_000]), &bytes[..100_000]).await?;
            arm(3);
            bench.store.declare_length(owned, 200_000).await?;
            arm(4);
            let finished = bench.finish(owned).await?;
            assert_eq!(finished.digests, digests(&bytes));
            arm(5);
            bench.store.publish(owned, image).await
        };
        if steps(fail_at).await.is_err() {
            failures += 1;
            steps(u32::MAX).await.unwrap();
        }
        assert_eq!(bench.store.read_image(image, 0..200_000).await.unwrap(), bytes);
        assert_eq!(bench.store.uploads().await.unwrap(), []);
    }
    assert!(failures >= 20, "only {failures} of 24 faults were felt");
}

#[tokio::test]
async fn probes_at_once_do_not_disturb_each_other() {
    let (disk, bench) = bench();
    disk.faults.sync_millis.store(20, Ordering::SeqCst);
    for _ in 0..5 {
        let probe = || bench.store.probe();
        let probed = tokio::join!(probe(), probe(), probe(), probe());
        for probed in [probed.0, probed.1, probed.2, probed.3] {
            probed.unwrap();
        }
    }
}

#[tokio::test]
async fn a_creation_that_fails_leaves_no_file() {
    let (disk, bench) = bench();
    let create = async || {
        let owned = Owned { key: UploadKey(Uuid::new_v4()), epoch: 1 };
        bench.store.create(owned, spec(Some(10))).await
    };
    disk.faults.write_errno.store(ENOSPC, Ordering::SeqCst);
    assert!(matches!(create().await, Err(StoreError::NoSpace)));
    disk.faults.sync_errno.store(EIO, Ordering::SeqCst);
    assert!(matches!(create().await, Err(StoreError::Io { .. })));
    assert_eq!(bench.store.uploads().await.unwrap(), []);
    create().await.unwrap();
    assert_eq!(bench.store.uploads().await.unwrap().len(), 1);
}

/// What does not count could not be cleared when an upload was opened: nothing can be done with it but end it, until the disk is
/// well again.
#[tokio::test]
async fn an_upload_that_cannot_be_cleared_is_told_and_can_be_discarded() {
    let image = image(20_000);
    for errno in [EIO, ENOSPC] {
        let bench = Bench::new();
        let (owned, other) = (bench.create(None).await, bench.create(None).await);
        for owned in [owned, other] {
            bench.send_part(owned, &image, 0..5_000).await;
            let path = bench.store.shared.layout.staging(owned.key, StagingFile::Data);
            std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(20_000).unwrap();
        }
        let Bench { dir, store } = bench;
        drop(store);
        let disk = FaultDisk::default();
        let store = open(dir.path(), Arc::new(disk.clone()), LIMITS);
        let bench = Bench { dir, store };
        let fails = || disk.faults.forget_errno.store(errno, Ordering::SeqCst);
        fails();
        let told = bench.store.state(owned.key).await;
        assert!(matches!(told, Err(StoreError::NoSpace | StoreError::Io { .. })), "{told:?}");
        assert_eq!(bench.store.state(owned.key).await.unwrap().offset, 5_000);
        bench.send_part(owned, &image, 5_000..20_000).await;
        assert_eq!(bench.prefix(owned.key).await, image);

        fails();
        let old = bench.store.discard(Owned { epoch: 0, ..other }).await;
        assert!(matches!(old, Err(StoreError::Fenced { .. })), "{old:?}");
        fails();
        bench.store.discard(other).await.unwrap();
        assert_eq!(bench.store.uploads().await.unwrap(), [owned.key]);
    }
}

/// Whose fault a failed copy is decides what becomes of the upload that is copied into.
#[tokio::test]
async fn a_source_that_cannot_be_read_fails_its_copy_and_nothing_else() {
    let (disk, bench) = bench();
    let image = image(100_000);
    let (whole, part) = (bench.create(Some(100_000)).await, bench.create(Some(60_000)).await);
    bench.send_part(part, &image, 0..60_000).await;
    let copy = || bench.store.copy(whole, 0, part.key, 0..60_000);
    let mut other = bench.writer(whole, chunk(60_000, Some(40_000))).await.unwrap();
    other.append(&image[60_000..70_000]).await.unwrap();

    let path = bench.store.shared.layout.staging(part.key, StagingFile::Data);
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(50_000).unwrap();
    let told = copy().await.unwrap_err();
    assert!(told.to_string().contains(&part.key.to_string()), "{told}");
    assert!(matches!(told, StoreError::Io { .. }), "{told:?}");
    assert_eq!(bench.store.state(whole.key).await.unwrap().writers, 1, "the other one goes on");
    other.append(&image[70_000..]).await.unwrap();
    assert_eq!(other.acknowledge().await.unwrap().counted_bytes, 40_000);
    std::os::unix::fs::FileExt::write_all_at(&file, &image[50_000..60_000], 50_000).unwrap();

    // Negative control: what cannot be written is not the fault of the source.
    disk.faults.write_errno.store(EIO, Ordering::SeqCst);
    let told = copy().await.unwrap_err();
    assert!(!told.to_string().contains(&part.key.to_string()), "{told}");
    assert_eq!(copy().await.unwrap().offset, 100_000);
    assert_eq!(bench.finish(whole).await.unwrap().digests, digests(&image));
}
