//! Claims, parallel slices, checksums, takeover.

use super::*;
use crate::Ended;

#[tokio::test]
async fn parallel_slices_in_any_order_become_the_image() {
    let bench = Bench::new();
    let image = image(3_000_017);
    let owned = bench.create(Some(image.len() as u64)).await;
    let slice = 250_003;
    let mut starts: Vec<usize> = (0..image.len()).step_by(slice).collect();
    starts.reverse();
    starts.swap(2, 7);
    for group in starts.chunks(4) {
        let sends = group.iter().map(|&start| {
            let end = (start + slice).min(image.len());
            bench.send_part(owned, &image, start..end)
        });
        for acknowledged in futures_join(sends).await {
            assert!(acknowledged.counted_bytes > 0);
        }
    }
    let finished = bench.finish(owned).await.unwrap();
    assert_eq!(finished, Finished { length: image.len() as u64, digests: digests(&image) });
    assert_eq!(bench.prefix(owned.key).await, image);
}

/// Polls all of them together.
async fn futures_join<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut ready = true;
        for (future, result) in &mut waiting {
            if result.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(output) => *result = Some(output),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, result)| result).collect()
}

#[tokio::test]
async fn bytes_in_order_are_never_read_back() {
    let bench = Bench::new();
    let image = image(2_000_000);
    let owned = bench.create(Some(image.len() as u64)).await;
    for start in (0..image.len()).step_by(500_000) {
        bench.send_part(owned, &image, start..start + 500_000).await;
    }
    assert_eq!(bench.finish(owned).await.unwrap().digests, digests(&image));
    let statistics = bench.store.statistics();
    assert_eq!(statistics.hashed_bytes, image.len() as u64, "every byte is hashed once");
    assert_eq!(statistics.read_back_bytes, 0);
    assert_eq!(statistics.written_bytes, image.len() as u64);
}

#[tokio::test]
async fn stored_bytes_are_never_written_again() {
    let bench = Bench::new();
    let image = image(100_000);
    let owned = bench.create(Some(100_000)).await;
    bench.send_part(owned, &image, 30_000..60_000).await;
    let claimed = bench.store.write(owned, chunk(30_000, Some(30_000))).await.unwrap();
    assert!(matches!(claimed, Claimed::AlreadyStored(_)));
    // The same range with other bytes, inside a larger chunk.
    let mut other = image.clone();
    other[30_000..60_000].fill(0xee);
    let acknowledged = bench.send_part(owned, &other, 0..100_000).await;
    assert_eq!(acknowledged.counted_bytes, 100_000);
    assert_eq!(bench.prefix(owned.key).await, image);
    assert_eq!(bench.finish(owned).await.unwrap().digests, digests(&image));
}

#[tokio::test]
async fn a_checked_chunk_counts_only_when_it_matches() {
    let bench = Bench::new();
    let image = image(200_000);
    let owned = bench.create(Some(200_000)).await;
    let mut wrong = image[..100_000].to_vec();
    wrong[50_000] ^= 1;
    let refused = bench.send(owned, checked(0, &image[..100_000]), &wrong).await.unwrap_err();
    let actual = format!("{:08x}", crc32c::crc32c(&wrong));
    assert!(
        matches!(&refused, StoreError::ChecksumMismatch { offset: 0, actual: found } if *found == actual),
        "{refused:?}"
    );
    let state = bench.store.state(owned.key).await.unwrap();
    assert_eq!((state.stored_bytes(), state.writers), (0, 0));
    bench.send(owned, checked(0, &image[..100_000]), &image[..100_000]).await.unwrap();
    bench.send(owned, checked(100_000, &image[100_000..]), &image[100_000..]).await.unwrap();
    assert_eq!(bench.finish(owned).await.unwrap().digests, digests(&image));
    assert_eq!(bench.store.statistics().read_back_bytes, 0, "the copy that ran ahead is used");
}

#[tokio::test]
async fn a_broken_checked_chunk_leaves_nothing_and_a_broken_plain_one_what_came() {
    let bench = Bench::new();
    let image = image(50_000);
    let owned = bench.create(None).await;
    let mut writer = bench.writer(owned, checked(0, &image)).await.unwrap();
    writer.append(&image[..30_000]).await.unwrap();
    assert_eq!(writer.interrupt().await.unwrap().counted_bytes, 0);
    let mut writer = bench.writer(owned, chunk(0, Some(50_000))).await.unwrap();
    writer.append(&image[..30_001]).await.unwrap();
    let acknowledged = writer.interrupt().await.unwrap();
    assert_eq!((acknowledged.counted_bytes, acknowledged.state.offset), (30_001, 30_001));
    let mut writer = bench.writer(owned, chunk(30_001, Some(19_999))).await.unwrap();
    writer.append(&image[30_001..40_000]).await.unwrap();
    let short = writer.acknowledge().await.unwrap_err();
    assert!(matches!(short, StoreError::WrongChunkLength { announced: 19_999, received: 9_999 }));
    assert_eq!(bench.store.state(owned.key).await.unwrap().offset, 40_000);
    let mut writer = bench.writer(owned, chunk(40_000, Some(10_000))).await.unwrap();
    let long = writer.append(&image[..10_001]).await.unwrap_err();
    assert!(matches!(long, StoreError::WrongChunkLength { received: 10_001, .. }));
}

#[tokio::test]
async fn a_silent_holder_is_ended_and_what_it_received_is_kept() {
    let bench = Bench::new();
    let image = image(100_000);
    let owned = bench.create(Some(100_000)).await;
    let mut silent = bench.writer(owned, chunk(0, None)).await.unwrap();
    silent.append(&image[..10_001]).await.unwrap();
    // No flush, no help of the holder: its half-filled block counts all the same.
    let mut next = bench.writer(owned, chunk(0, None)).await.unwrap();
    assert_eq!(silent.ended().await, Ended::Superseded);
    assert_eq!(bench.store.state(owned.key).await.unwrap().writers, 1);
    let refused = silent.append(b"late").await.unwrap_err();
    assert!(matches!(refused, StoreError::Superseded), "{refused:?}");
    assert_eq!(silent.interrupt().await.unwrap().counted_bytes, 10_001);
    next.append(&image).await.unwrap();
    assert_eq!(next.acknowledge().await.unwrap().counted_bytes, 100_000);
    assert_eq!(bench.finish(owned).await.unwrap().digests, digests(&image));
}

#[tokio::test]
async fn a_live_holder_is_never_ended() {
    let bench = Bench::new();
    let owned = bench.create(None).await;
    let mut live = bench.writer(owned, chunk(0, None)).await.unwrap();
    let feed = async {
        for _ in 0..60 {
            live.append(b"still here").await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let newcomer = bench.store.write(owned, chunk(0, Some(5_000)));
    let (newcomer, ()) = tokio::join!(newcomer, feed);
    assert!(matches!(newcomer, Err(StoreError::Busy { .. })));
    assert_eq!(live.acknowledge().await.unwrap().counted_bytes, 600);
}

#[tokio::test]
async fn a_full_house_makes_room_only_after_silence() {
    let bench = Bench::new();
    let owned = bench.create(None).await;
    let mut writers = Vec::new();
    for slot in 0..8 {
        writers.push(bench.writer(owned, chunk(slot * 100, Some(100))).await.unwrap());
    }
    assert_eq!(bench.store.state(owned.key).await.unwrap().writers, 8);
    let ninth = bench.store.write(owned, chunk(900, Some(100))).await;
    assert!(matches!(ninth, Err(StoreError::Busy { .. })));
    tokio::time::sleep(LIMITS.writer_evict_silent).await;
    for writer in &mut writers[1..] {
        writer.append(b"x").await.unwrap();
    }
    bench.writer(owned, chunk(900, Some(100))).await.unwrap();
    assert_eq!(writers[0].ended().await, Ended::Superseded);
}

#[tokio::test]
async fn what_cannot_fit_is_refused_before_a_byte_is_written() {
    let limits = Limits { extents_max: 2, checked_chunk_bytes_max: 1000, ..LIMITS };
    let bench = Bench::with(Arc::new(OsDisk), limits);
    let owned = bench.create(Some(5_000)).await;
    let refused = |chunk| async { bench.store.write(owned, chunk).await.err().unwrap() };
    assert!(matches!(
        refused(chunk(4_000, Some(1_001))).await,
        StoreError::BeyondLength { end: 5_001, length: 5_000 }
    ));
    assert!(matches!(refused(chunk(5_001, None)).await, StoreError::BeyondLength { .. }));
    assert!(matches!(
        refused(chunk(usize::MAX, Some(usize::MAX))).await,
        StoreError::BeyondLength { .. }
    ));
    let large = checked(0, &[0; 1001]);
    assert!(matches!(refused(large).await, StoreError::CheckedChunkTooLarge { .. }));
    let mut open_end = bench.writer(owned, chunk(0, None)).await.unwrap();
    let beyond = open_end.append(&[0; 5_001]).await.unwrap_err();
    assert!(matches!(beyond, StoreError::BeyondLength { end: 5_001, .. }));
    open_end.interrupt().await.unwrap();
    for start in [1_000, 2_000] {
        bench.send(owned, chunk(start, Some(10)), &[1; 10]).await.unwrap();
    }
    let island = refused(chunk(3_000, Some(10))).await;
    assert!(matches!(island, StoreError::TooManyExtents { offset: 0 }));
    bench.send(owned, chunk(0, Some(10)), &[1; 10]).await.unwrap();
    assert_eq!(bench.store.statistics().written_bytes, 30);
}

#[tokio::test]
async fn a_dropped_writer_and_a_dropped_append_tear_nothing() {
    let bench = Bench::new();
    let image = image(400_000);
    let owned = bench.create(Some(400_000)).await;
    for round in 0..20 {
        let offset = usize::try_from(bench.store.state(owned.key).await.unwrap().offset).unwrap();
        let Ok(mut writer) = bench.writer(owned, chunk(offset, None)).await else { continue };
        let pause = Duration::from_micros(round * 40);
        let append = writer.append(&image[offset..(offset + 50_000).min(400_000)]);
        let _ = tokio::time::timeout(pause, append).await;
        if round % 2 == 0 {
            writer.interrupt().await.unwrap();
        }
        if offset >= 340_000 {
            break;
        }
    }
    let state = bench.store.state(owned.key).await.unwrap();
    if state.offset < 400_000 {
        let from = usize::try_from(state.offset).unwrap();
        let rest = bench.send(owned, chunk(from, None), &image[from..]).await.unwrap();
        assert_eq!(rest.state.offset, 400_000);
    }
    assert_eq!(bench.finish(owned).await.unwrap().digests, digests(&image));
}

/// Two clients with different bytes for overlapping slices: each byte is of one of them, the digests are of what is stored.
#[tokio::test]
async fn overlapping_slices_of_two_clients_never_mix_with_their_digests() {
    for round in 0..12_usize {
        let bench = Bench::new();
        let owned = bench.create(Some(60_000)).await;
        let (one, two) = (vec![1; 40_000], vec![2; 40_000]);
        let first = bench.send(owned, chunk(0, Some(40_000)), &one);
        let second = async {
            tokio::time::sleep(Duration::from_micros(round as u64 * 70)).await;
            bench.send(owned, chunk(20_000, Some(40_000)), &two).await
        };
        let (first, second) = tokio::join!(first, second);
        assert_eq!((first.unwrap().counted_bytes, second.unwrap().counted_bytes), (40_000, 40_000));
        let stored = bench.prefix(owned.key).await;
        assert!(stored[..20_000].iter().all(|byte| *byte == 1));
        assert!(stored[40_000..].iter().all(|byte| *byte == 2));
        assert_eq!(bench.finish(owned).await.unwrap().digests, digests(&stored));
    }
}
