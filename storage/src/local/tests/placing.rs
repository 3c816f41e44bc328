//! Bytes that go past the cache of the system, and those that do not.

use std::sync::atomic::Ordering;

use super::{fault_disk::FaultDisk, *};
use crate::{Statistics, WholeImages};

const PAGE: usize = 4096;

/// What a store has done after it took these slices, each by a request of its own, one after the other; it has to have them right.
async fn after(disk: FaultDisk, limits: Limits, slices: &[Range<usize>]) -> Statistics {
    let bench = Bench::with(Arc::new(disk), limits);
    let length = slices.iter().map(|slice| slice.end).max().unwrap();
    let image = image(length);
    let owned = bench.create(Some(length as u64)).await;
    for slice in slices {
        bench.send_part(owned, &image, slice.clone()).await;
        let held = bench.store.statistics().ahead_cache_bytes;
        assert!(held <= limits.ahead_cache_bytes_max, "{held} bytes are held");
    }
    assert_eq!(bench.finish(owned).await.unwrap().digests, digests(&image));
    assert_eq!(bench.prefix(owned.key).await, image);
    bench.store.statistics()
}

#[tokio::test]
async fn blocks_at_the_prefix_go_past_the_cache_but_for_their_broken_pages() {
    // Blocks of one size: how they grow with the rate of a stream must not decide here which bytes are in the last one.
    let block = 16 << 10;
    let limits = Limits { block_bytes_min: block, block_bytes_max: block, ..LIMITS };
    let slices = [0..200_001, 200_001..300_000];
    let statistics = after(FaultDisk::default(), limits, &slices).await;
    // 12 blocks of the one and 5 of the other. The page that both have a part of goes through the cache, with what is left of its
    // block, and so does the last block of each, which is small.
    assert_eq!(statistics.past_cache_bytes, 17 * block as u64);
    assert_eq!((statistics.written_bytes, statistics.read_back_bytes), (300_000, 0));
}

#[tokio::test]
async fn blocks_that_are_small_go_through_the_cache() {
    let limits = Limits { past_cache_bytes_min: usize::MAX, ..LIMITS };
    let statistics = after(FaultDisk::default(), limits, &[0..300_000]).await;
    assert_eq!((statistics.past_cache_bytes, statistics.read_back_bytes), (0, 0));
}

#[tokio::test]
async fn what_is_ahead_stays_in_the_cache_up_to_a_bound_and_comes_back_the_way_it_went() {
    let limits = Limits { ahead_cache_bytes_max: 100_000, ..LIMITS };
    let slices = [400_000..600_000, 200_001..400_000, 0..200_001];
    let statistics = after(FaultDisk::default(), limits, &slices).await;
    assert_eq!(statistics.read_back_bytes, 399_999, "both slices ahead were read back, once");
    let past = statistics.past_cache_bytes;
    assert!((280_000..=520_000).contains(&past), "{past}");
    assert_eq!(statistics.ahead_cache_bytes, 0, "the digests have passed all of it");

    let limits = Limits { past_cache_bytes_min: usize::MAX, ..LIMITS };
    let statistics = after(FaultDisk::default(), limits, &[100_000..300_000, 0..100_000]).await;
    let done = (statistics.past_cache_bytes, statistics.read_back_bytes);
    assert_eq!(done, (0, 200_000), "there was room for all of it");
}

#[tokio::test]
async fn what_is_held_in_the_cache_is_given_back_with_the_upload() {
    let bench = Bench::new();
    let owned = bench.create(Some(200_000)).await;
    bench.send_part(owned, &image(200_000), 100_000..200_000).await;
    assert_eq!(bench.store.statistics().ahead_cache_bytes, 100_000);
    bench.store.discard(owned).await.unwrap();
    assert_eq!(bench.store.statistics().ahead_cache_bytes, 0);
}

#[tokio::test]
async fn a_file_system_that_refuses_is_asked_once() {
    let disk = FaultDisk::default();
    disk.faults.past_cache.store(1, Ordering::SeqCst);
    let slices = [0..100_000, 200_000..300_000, 100_000..200_000];
    let limits = Limits { block_bytes_min: 16 << 10, ..LIMITS };
    let statistics = after(disk.clone(), limits, &slices).await;
    assert_eq!(disk.faults.past_cache_asked.load(Ordering::SeqCst), 1);
    assert_eq!(statistics.past_cache_bytes, 0);
}

#[tokio::test]
async fn a_want_of_descriptors_is_asked_about_again() {
    let disk = FaultDisk::default();
    disk.faults.past_cache.store(2, Ordering::SeqCst);
    let limits = Limits { block_bytes_min: 16 << 10, ..LIMITS };
    let statistics = after(disk.clone(), limits, &[0..100_000, 100_000..200_000]).await;
    assert!(disk.faults.past_cache_asked.load(Ordering::SeqCst) > 1);
    assert_eq!(statistics.past_cache_bytes, 0);
}

#[tokio::test]
async fn a_checked_chunk_that_comes_again_may_go_another_way() {
    let limits = Limits { block_bytes_min: 16 << 10, ..LIMITS };
    let bench = Bench::with(Arc::new(OsDisk), limits);
    let image = image(150_000);
    let owned = bench.create(Some(150_000)).await;
    let mut wrong = image.clone();
    wrong[149_999] ^= 1;
    // Ahead of the prefix, and wrong, through the cache; then at the prefix past it, over the same pages.
    let sum = checked(50_000, &image[50_000..]);
    assert!(bench.send(owned, sum.clone(), &wrong[50_000..]).await.is_err());
    assert_eq!(bench.store.statistics().past_cache_bytes, 0);
    bench.send_part(owned, &image, 0..50_000).await;
    let before = bench.store.statistics().past_cache_bytes;
    bench.send(owned, sum, &image[50_000..]).await.unwrap();
    assert!(bench.store.statistics().past_cache_bytes > before + 50_000);
    assert_eq!(bench.finish(owned).await.unwrap().digests, digests(&image));
    assert_eq!(bench.prefix(owned.key).await, image);
}

/// Every odd way to cut a page, on the real file system, read back by the real page cache.
#[tokio::test]
async fn slices_may_meet_anywhere_in_a_page() {
    let limits = Limits { past_cache_bytes_min: PAGE, ahead_cache_bytes_max: 20_000, ..LIMITS };
    let bench = Bench::with(Arc::new(OsDisk), limits);
    let image = image(3 * 12_288 + PAGE);
    for cut in (0..=PAGE).step_by(89).chain([1, 511, 512, 513, PAGE - 1]) {
        let ends = [0, cut, 12_288 + cut, 2 * 12_288 + cut, image.len()];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            let owned = bench.create(Some(image.len() as u64)).await;
            for slice in order {
                bench.send_part(owned, &image, ends[slice]..ends[slice + 1]).await;
            }
            assert_eq!(bench.finish(owned).await.unwrap().digests, digests(&image), "{cut}");
            assert_eq!(bench.prefix(owned.key).await, image, "{cut}");
            bench.store.discard(owned).await.unwrap();
        }
    }
    assert!(bench.store.statistics().past_cache_bytes > 0);
}

/// The cache remembers what was written, and the disk has lost it: whoever looks for rot is shown what the disk has.
#[tokio::test]
async fn whoever_looks_for_rot_is_shown_the_disk_and_not_the_cache() {
    let disk = FaultDisk::default();
    let bench = Bench::with(Arc::new(disk.clone()), LIMITS);
    let (key, bytes) = (ImageKey(uuid::Uuid::new_v4()), image(1_000_001));
    bench.store.put_whole(key, bytes.clone().into()).await.unwrap();
    disk.faults.cache_lies.store(1, Ordering::SeqCst);
    let range = 4_000..900_000;
    let whole = &bytes[4_000..900_000];
    assert!(bench.store.read_image(key, range.clone()).await.unwrap() != whole, "the control");
    assert!(bench.store.read_image_past_cache(key, range.clone()).await.unwrap() == whole);
    assert_eq!(disk.faults.dropped.load(Ordering::SeqCst), 0);
    // Refused, or no descriptor left: through the cache, which is emptied before and after.
    disk.faults.cache_lies.store(0, Ordering::SeqCst);
    for (answer, dropped) in [(1, 2), (2, 4)] {
        disk.faults.past_cache.store(answer, Ordering::SeqCst);
        assert!(bench.store.read_image_past_cache(key, range.clone()).await.unwrap() == whole);
        assert_eq!(disk.faults.dropped.load(Ordering::SeqCst), dropped);
    }
}
