//! Two ways to the disk meet within a page: nothing is lost, and never do both write one page.

use std::{ops::Range, path::Path, sync::Arc};

use longshore_storage::{
    Chunk, Claimed, Owned, UploadKey, UploadSpec,
    conformance::{
        Backend,
        local::scratch,
        scenario::{content, read_upload},
    },
    digest::DigestChoice,
    local::{
        OsDisk,
        disk::{Disk, PastCache},
        power::{Lie, PowerDisk},
    },
};
use uuid::Uuid;

use crate::script::{open, open_plain};

const LENGTH: u64 = 60_000;
const PAGE: u64 = 4_096;

async fn send(store: &Arc<dyn Backend>, owned: Owned, bytes: &[u8], range: Range<u64>) {
    let chunk =
        Chunk { offset: range.start, length: Some(range.end - range.start), checksum: None };
    let Ok(Claimed::Writer(mut writer)) = store.write(owned, chunk).await else {
        panic!("{range:?} was sent once only");
    };
    let at = |position| usize::try_from(position).unwrap();
    for piece in bytes[at(range.start)..at(range.end)].chunks(3_001) {
        writer.append(piece).await.unwrap();
    }
    writer.acknowledge().await.unwrap();
}

/// Sends slices that meet `cut` bytes behind the begin of a page, two by two, then cuts the power. Answers whether all bytes are
/// there, and how many went past the cache.
async fn survives(root: &Path, lie: Lie, cut: u64, seed: u64) -> (bool, u64) {
    let disk = PowerDisk::new(Arc::new(OsDisk), root).unwrap();
    let store = open(root, Arc::new(disk.clone())).await;
    let owned = Owned { key: UploadKey(Uuid::new_v4()), epoch: 1 };
    let spec = UploadSpec { declared_length: Some(LENGTH), digests: DigestChoice::BOTH };
    store.create(owned, spec).await.unwrap();
    disk.lie(lie);
    let bytes = content(cut, LENGTH);
    let ends = [0, 2 * PAGE + cut, 5 * PAGE + cut, 9 * PAGE + cut, LENGTH];
    for pair in [[1, 0], [2, 3]] {
        let [first, second] = pair.map(|slice| ends[slice]..ends[slice + 1]);
        tokio::join!(send(&store, owned, &bytes, first), send(&store, owned, &bytes, second));
    }
    let past = store.statistics().past_cache_bytes;
    assert_eq!(disk.mixed_pages(), 0, "cut {cut}");
    disk.cut(seed).unwrap();
    drop(store);
    let store = open_plain(root).await;
    let kept = match store.state(owned.key).await {
        Ok(state) if state.offset == LENGTH => {
            read_upload(&*store, owned.key, LENGTH).await == bytes
        }
        _ => false,
    };
    let _ = store.discard(owned).await;
    (kept, past)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_survive_wherever_slices_meet_in_a_page() {
    let directory = scratch();
    drop(open_plain(directory.path()).await);
    let mut past = 0;
    for cut in (0..PAGE).step_by(61).chain([1, 511, 512, 513, PAGE - 1]) {
        let (kept, bytes) = survives(directory.path(), Lie::None, cut, cut).await;
        assert!(kept, "cut {cut}");
        past += bytes;
    }
    assert!(past > 30 * LENGTH / 2, "only {past} bytes went past the cache");
}

/// The disk has a cache of its own: without a sync, what went past the system's is lost all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_lies_about_syncs_loses_what_went_past_the_cache() {
    let directory = scratch();
    drop(open_plain(directory.path()).await);
    let mut kept = 0;
    for seed in 0..20 {
        kept += u64::from(survives(directory.path(), Lie::FileSyncs, 512, seed).await.0);
    }
    assert!(kept < 20, "nothing was lost");
}

/// The count that is 0 above is not always 0.
#[test]
fn a_page_that_both_ways_write_is_counted() {
    let directory = scratch();
    let disk = PowerDisk::new(Arc::new(OsDisk), directory.path()).unwrap();
    let file = disk.create_new(&directory.path().join("file")).unwrap();
    let pages = vec![7; 4 * 4_096];
    let first = pages.as_ptr().addr().wrapping_neg() % 4_096;
    let two = &pages[first..first + 8_192];
    file.write_all_at(&[1; 100], 4_000).unwrap();
    assert_eq!(file.write_past_cache(two, 8_192).unwrap(), PastCache::Done(8_192));
    assert_eq!(disk.mixed_pages(), 0);
    assert_eq!(file.write_past_cache(two, 4_096).unwrap(), PastCache::Done(8_192));
    assert_eq!(disk.mixed_pages(), 1);
    file.sync_data().unwrap();
    file.write_past_cache(two, 0).unwrap();
    assert_eq!(disk.mixed_pages(), 1, "what was synced waits no more");
    assert!(file.write_past_cache(two, 1).is_err(), "a position within a page");
    assert!(file.write_past_cache(&two[1..4_097], 0).is_err(), "an address within a page");
    assert!(file.write_past_cache(&two[..100], 0).is_err(), "a part of a page");
}
