//! What a process finds that starts after another was killed.

use super::*;
use crate::local::layout::StagingFile;

#[tokio::test]
async fn acknowledged_bytes_survive_and_hashing_goes_on_where_it_was() {
    let bench = Bench::new();
    let image = image(1_000_000);
    let owned = bench.create(Some(1_000_000)).await;
    bench.send_part(owned, &image, 0..400_001).await;
    bench.send_part(owned, &image, 600_000..700_000).await;
    let mut writer = bench.writer(owned, chunk(400_001, None)).await.unwrap();
    writer.append(&image[400_001..500_000]).await.unwrap();
    let killed = bench.after_kill();
    let state = killed.store.state(owned.key).await.unwrap();
    assert!(state.offset >= 400_001 && state.offset <= 500_000);
    assert!(state.hashed_offset <= state.offset && state.hashed_offset % 64 == 0);
    assert_eq!(killed.store.statistics().read_back_bytes, 0, "looking reads no bytes");
    assert_eq!(killed.prefix(owned.key).await, image[..usize::try_from(state.offset).unwrap()]);
    let from = usize::try_from(state.offset).unwrap();
    killed.send_part(owned, &image, from..1_000_000).await;
    assert_eq!(killed.finish(owned).await.unwrap().digests, digests(&image));
}

#[tokio::test]
async fn a_long_body_without_an_answer_is_checkpointed_on_its_way() {
    let bench = Bench::new();
    let image = image(6_000_000);
    let owned = bench.create(None).await;
    let mut writer = bench.writer(owned, chunk(0, None)).await.unwrap();
    for piece in image.chunks(100_000) {
        writer.append(piece).await.unwrap();
    }
    let mut offset = 0;
    for _ in 0..200 {
        offset = bench.store.state(owned.key).await.unwrap().offset;
        if offset >= 2_000_000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(offset >= 2_000_000, "only {offset} bytes are durable");
    let killed = bench.after_kill();
    assert!(killed.store.state(owned.key).await.unwrap().offset >= offset);
}

#[tokio::test]
async fn many_islands_make_the_checkpoint_grow() {
    let bench = Bench::new();
    let owned = bench.create(None).await;
    let mut starts: Vec<usize> = (0..600).map(|island| 100 + island * 100).collect();
    starts.reverse();
    for start in &starts {
        bench.send(owned, chunk(*start, Some(10)), &[3; 10]).await.unwrap();
    }
    let killed = bench.after_kill();
    let state = killed.store.state(owned.key).await.unwrap();
    assert_eq!((state.extents.len(), state.stored_bytes()), (600, 6_000));
}

#[tokio::test]
async fn publishing_goes_on_after_each_of_its_steps() {
    for steps in 0..4 {
        let bench = Bench::new();
        let bytes = image(70_000);
        let owned = bench.create(Some(70_000)).await;
        bench.send_part(owned, &bytes, 0..70_000).await;
        let finished = bench.finish(owned).await.unwrap();
        let image = random_image();
        let layout = bench.store.shared.layout.clone();
        let upload = bench.store.upload(owned.key).await.unwrap();
        upload.name_image(owned, image).await.unwrap();
        drop(upload);
        let (data, checkpoint) = (
            layout.staging(owned.key, StagingFile::Data),
            layout.staging(owned.key, StagingFile::Checkpoint),
        );
        if steps >= 1 {
            std::fs::rename(data, layout.image(image)).unwrap();
        }
        if steps >= 2 {
            std::fs::remove_file(checkpoint).unwrap();
        }
        let killed = bench.after_kill();
        if steps == 1 {
            let state = killed.store.state(owned.key).await.unwrap();
            assert_eq!(state.phase, UploadPhase::Published);
            assert_eq!(killed.finish(owned).await.unwrap(), finished);
            assert!(killed.store.publish(owned, random_image()).await.is_err());
            assert!(killed.store.write(owned, chunk(0, None)).await.is_err());
            assert!(killed.store.create(owned, spec(Some(70_000))).await.is_err());
            assert_eq!(killed.store.read_upload(owned.key, 5..10).await.unwrap(), bytes[5..10]);
        }
        if steps == 3 {
            killed.store.discard(owned).await.unwrap();
        }
        killed.store.publish(owned, image).await.unwrap();
        assert_eq!(killed.store.read_image(image, 0..70_000).await.unwrap(), bytes);
        assert_eq!(killed.store.uploads().await.unwrap(), []);
    }
}

#[tokio::test]
async fn half_made_uploads_are_listed_and_can_be_made_again() {
    let bench = Bench::new();
    let owned = Owned { key: UploadKey(Uuid::new_v4()), epoch: 1 };
    let layout = bench.store.shared.layout.clone();
    std::fs::write(layout.staging(owned.key, StagingFile::Data), b"never promised").unwrap();
    std::fs::write(layout.staging(owned.key, StagingFile::CheckpointNew), b"half").unwrap();
    assert_eq!(bench.store.uploads().await.unwrap(), [owned.key]);
    assert!(matches!(bench.store.state(owned.key).await, Err(StoreError::NotFound { .. })));
    bench.store.create(owned, spec(Some(5))).await.unwrap();
    bench.send(owned, chunk(0, None), b"right").await.unwrap();
    assert_eq!(bench.finish(owned).await.unwrap().digests, digests(b"right"));
    // A power cut may keep the checkpoint and lose the empty data file.
    let empty = bench.create(None).await;
    let bench = bench.reopen();
    std::fs::remove_file(layout.staging(empty.key, StagingFile::Data)).unwrap();
    bench.send(empty, chunk(0, None), b"bytes").await.unwrap();
    // Data that was acknowledged and is gone is said to be gone.
    let bench = bench.reopen();
    std::fs::remove_file(layout.staging(empty.key, StagingFile::Data)).unwrap();
    assert!(matches!(bench.store.state(empty.key).await, Err(StoreError::Damaged { .. })));
}

#[tokio::test]
async fn bytes_behind_the_end_of_a_chunk_that_never_counted_are_cut_off() {
    let bench = Bench::new();
    let owned = bench.create(None).await;
    let mut writer = bench.writer(owned, checked(0, &vec![9; 50_000])).await.unwrap();
    writer.append(&vec![9; 40_000]).await.unwrap();
    writer.flush().await.unwrap();
    writer.interrupt().await.unwrap();
    bench.send(owned, chunk(0, Some(100)), &[1; 100]).await.unwrap();
    bench.store.declare_length(owned, 100).await.unwrap();
    let image = random_image();
    bench.store.publish(owned, image).await.unwrap();
    assert_eq!(bench.store.image_length(image).await.unwrap(), 100);
}

#[tokio::test]
async fn the_end_of_a_process_only_needs_no_sync() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(OsDisk);
    let store = LocalStore::open(dir.path(), disk, LIMITS, Durability::ProcessCrash).unwrap();
    let bench = Bench { dir, store };
    let owned = bench.create(Some(10)).await;
    bench.send(owned, chunk(0, None), &[1; 10]).await.unwrap();
    assert_eq!(bench.store.statistics().syncs, 0);
    assert_eq!(bench.after_kill().finish(owned).await.unwrap().digests, digests(&[1; 10]));
}

/// The newest record may not be on stable storage although it can be read: opening makes it so, and leaves the older one alone
/// until then.
#[tokio::test]
async fn opening_writes_over_the_newest_record_only() {
    let bench = Bench::new();
    let owned = bench.create(None).await;
    for byte in 0..5 {
        bench.send(owned, chunk(byte, Some(1)), &[1]).await.unwrap();
    }
    let path = bench.store.shared.layout.staging(owned.key, StagingFile::Checkpoint);
    let bench = bench.reopen();
    let before = std::fs::read(&path).unwrap();
    assert_eq!(bench.store.state(owned.key).await.unwrap().offset, 5);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let syncs = bench.store.statistics().syncs;
    assert!(syncs > 0, "the record and its name were synced");
    // The same again costs nothing, and a torn newest record leaves the older one.
    bench.store.state(owned.key).await.unwrap();
    assert_eq!(bench.store.statistics().syncs, syncs);
    let slot = before.len() / 2;
    let newest = usize::from(before[slot + 16] > before[16]) * slot;
    let mut torn = before;
    torn[newest + 130] ^= 0xff;
    let bench = bench.reopen();
    std::fs::write(&path, torn).unwrap();
    assert_eq!(bench.store.state(owned.key).await.unwrap().offset, 4);
}

/// Blocks in which nothing counts are gone from the file, the one at its end too; whatever counts is as it was.
#[tokio::test]
async fn opening_gives_up_what_does_not_count_and_nothing_else() {
    const BLOCK: u64 = 4096;
    let bench = Bench::new();
    let image = image(200_000);
    let owned = bench.create(None).await;
    let counted = [0..10_001, 50_001..70_003, 90_112..94_208, 120_000..120_001];
    for range in counted.clone() {
        bench.send_part(owned, &image, range).await;
    }
    let path = bench.store.shared.layout.staging(owned.key, StagingFile::Data);
    // As a process leaves it that was killed while slices were on their way.
    let mut left = vec![0xee; 150_777];
    for range in counted.clone() {
        left[range.clone()].copy_from_slice(&image[range]);
    }
    let bench = bench.reopen();
    std::fs::write(&path, &left).unwrap();
    std::fs::File::open(&path).unwrap().sync_all().unwrap();
    let stored = bench.store.state(owned.key).await.unwrap().stored_bytes();
    assert_eq!(stored, counted.iter().map(|range| range.len() as u64).sum::<u64>());

    let found = std::fs::read(&path).unwrap();
    assert_eq!(found.len(), left.len(), "the length stays");
    for (at, byte) in found.iter().enumerate() {
        let expected = if counted.iter().any(|range| range.contains(&at)) { left[at] } else { 0 };
        assert_eq!(*byte, expected, "byte {at}");
    }
    let touched = |block: &u64| {
        let (start, end) = (block * BLOCK, (block + 1) * BLOCK);
        counted.iter().any(|range| (range.start as u64) < end && start < range.end as u64)
    };
    let kept = (0..=left.len() as u64 / BLOCK).filter(touched).count() as u64 * BLOCK;
    let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&path).unwrap());
    assert!(blocks * 512 <= kept, "{blocks} sectors are still there, {kept} bytes were to be kept");
    bench.send_part(owned, &image, 0..200_000).await;
    bench.store.declare_length(owned, 200_000).await.unwrap();
    assert_eq!(bench.finish(owned).await.unwrap().digests, digests(&image));
}

/// A data file that somebody cut short has lost what was acknowledged: it is not filled up with zeros.
#[tokio::test]
async fn data_that_is_shorter_than_what_was_stored_is_said_to_be_damaged() {
    let bench = Bench::new();
    let image = image(100_000);
    let cut = |bench: &Bench, owned: Owned, length| {
        let path = bench.store.shared.layout.staging(owned.key, StagingFile::Data);
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
    };
    // Under an open upload whose bytes have all been hashed already.
    let owned = bench.create(Some(100_000)).await;
    bench.send_part(owned, &image, 0..100_000).await;
    cut(&bench, owned, 99_999);
    let finished = bench.finish(owned).await;
    assert!(matches!(finished, Err(StoreError::Damaged { .. })), "{finished:?}");
    // Found so by the next process.
    let owned = bench.create(Some(100_000)).await;
    bench.send_part(owned, &image, 0..50_000).await;
    let bench = bench.reopen();
    cut(&bench, owned, 49_999);
    let state = bench.store.state(owned.key).await;
    assert!(matches!(state, Err(StoreError::Damaged { .. })), "{state:?}");
    bench.store.discard(owned).await.unwrap();
}
