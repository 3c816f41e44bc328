//! The power goes at every single call that changes something; what was acknowledged is there afterwards.

use std::{path::Path, sync::Arc};

use longshore_storage::{
    conformance::{Backend, local::scratch},
    local::{
        OsDisk,
        power::{Lie, PowerDisk},
    },
};

use crate::script::{Client, Way, open, open_plain};

/// More calls than any script makes.
const CALLS_MAX: u64 = 400;

/// A disk on `root`, and a store that is open on it.
async fn power(root: &Path, lie: Lie) -> (PowerDisk, Arc<dyn Backend>) {
    let disk = PowerDisk::new(Arc::new(OsDisk), root).unwrap();
    let store = open(root, Arc::new(disk.clone())).await;
    disk.lie(lie);
    (disk, store)
}

/// An empty store, so that the scripts do not begin with making its folders.
async fn directory() -> tempfile::TempDir {
    let directory = scratch();
    drop(open_plain(directory.path()).await);
    directory
}

/// For every call of every way, and several outcomes of the cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_bytes_survive_a_power_cut_at_every_call() {
    let directory = directory().await;
    let root = directory.path();
    for way in Way::ALL {
        let mut cuts = 0;
        for call in 0..CALLS_MAX {
            let mut on = false;
            for seed in 0..2 {
                let client = Client::new(call);
                let (disk, store) = power(root, Lie::None).await;
                disk.cut_at(call);
                let answer = client.run(&store, way).await;
                on |= !disk.is_off();
                assert!(answer.is_ok() || disk.is_off(), "{way:?} {call}: {answer:?}");
                disk.cut(call << 8 | seed).unwrap();
                drop(store);
                let store = open_plain(root).await;
                let kept = client.check(&*store).await;
                assert_eq!(kept, Ok(()), "{way:?}, cut at call {call}, seed {seed}");
                client.complete(store, root, way).await;
                cuts += 1;
            }
            if on {
                break;
            }
        }
        assert!((2 * way.calls_min().0..2 * CALLS_MAX).contains(&cuts), "{way:?}: {cuts} cuts");
    }
}

/// The process dies at every call, another one opens the upload and answers its offset; then the power goes. What
/// the second process answered was read through a cache that the first one never synced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_read_after_a_kill_survives_a_power_cut() {
    let directory = directory().await;
    let root = directory.path();
    for call in 0..CALLS_MAX {
        let client = Client::new(call);
        let (disk, store) = power(root, Lie::None).await;
        disk.kill_at(call);
        let answer = client.run(&store, Way::Publish).await;
        let died = disk.is_off();
        assert!(died || answer.is_ok());
        drop(store);
        disk.revive();
        let store = open(root, Arc::new(disk.clone())).await;
        if let Ok(state) = store.state(client.owned.key).await {
            let mut told = client.told.lock().unwrap();
            assert!(state.offset >= told.offset, "call {call}");
            told.offset = state.offset;
            told.stored.extend(state.extents);
        }
        disk.cut(call).unwrap();
        drop(store);
        let store = open_plain(root).await;
        assert_eq!(client.check(&*store).await, Ok(()), "killed at call {call}");
        client.complete(store, root, Way::Publish).await;
        if !died {
            assert!(call > 20, "the script makes only {call} calls");
            return;
        }
    }
    panic!("the script makes more than {CALLS_MAX} calls");
}

/// The process dies at every call, and the power goes while another one opens what it left: the record that the first one
/// had acknowledged is not given up for one that was only in the cache.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_after_a_kill_endangers_nothing() {
    let directory = directory().await;
    let root = directory.path();
    let mut cuts = 0;
    for call in 0..CALLS_MAX {
        let mut died = false;
        for later in 0..10 {
            let client = Client::new(call);
            let (disk, store) = power(root, Lie::None).await;
            disk.kill_at(call);
            let answer = client.run(&store, Way::BackToFront).await;
            died = disk.is_off();
            assert!(died || answer.is_ok());
            drop(store);
            disk.revive();
            let store = open(root, Arc::new(disk.clone())).await;
            // Clearing what does not count, the record, its sync.
            disk.cut_at(later % 5);
            cuts += u64::from(store.state(client.owned.key).await.is_err() && disk.is_off());
            disk.cut(call << 8 | later).unwrap();
            drop(store);
            let store = open_plain(root).await;
            assert_eq!(client.check(&*store).await, Ok(()), "killed at {call}, cut {later}");
            client.complete(store, root, Way::BackToFront).await;
        }
        if !died {
            assert!(cuts > 20, "only {cuts} cuts while an upload was opened");
            return;
        }
    }
    panic!("the script makes more than {CALLS_MAX} calls");
}

/// A failed sync loses its data although the next one succeeds (Linux does that): nothing of it is ever acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_of_a_failed_sync_is_never_acknowledged() {
    let directory = directory().await;
    let root = directory.path();
    for way in Way::ALL {
        for number in 0..CALLS_MAX {
            let client = Client::new(number);
            let (disk, store) = power(root, Lie::DropsAtSync(number)).await;
            let first = client.run(&store, way).await;
            // The same client goes on with the same store, whose disk works again.
            let mut last = first.clone();
            for _ in 0..3 {
                if last.is_err() {
                    last = client.run(&store, way).await;
                }
            }
            assert!(last.is_ok(), "{way:?}: sync {number} failed, and it does not heal: {last:?}");
            disk.cut(number).unwrap();
            drop(store);
            let store = open_plain(root).await;
            let kept = client.check(&*store).await;
            assert_eq!(kept, Ok(()), "{way:?}: after the failed sync {number}: {first:?}");
            client.complete(store, root, way).await;
            if first.is_ok() && number > 60 {
                break;
            }
        }
    }
}

/// The same, and the power goes before anybody tries again: what the state answers after the failure is stable too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_after_a_failed_sync_is_stable() {
    let directory = directory().await;
    let root = directory.path();
    let mut failures = 0;
    for number in 0..60 {
        let client = Client::new(number);
        let (disk, store) = power(root, Lie::DropsAtSync(number)).await;
        failures += u64::from(client.run(&store, Way::BackToFront).await.is_err());
        if let Ok(state) = store.state(client.owned.key).await {
            let mut told = client.told.lock().unwrap();
            told.offset = told.offset.max(state.offset);
            told.stored.extend(state.extents);
        }
        disk.cut(number).unwrap();
        drop(store);
        let store = open_plain(root).await;
        assert_eq!(client.check(&*store).await, Ok(()), "after the failed sync {number}");
        client.complete(store, root, Way::BackToFront).await;
    }
    assert!(failures >= 8, "only {failures} syncs failed");
}

/// Negative control: on disks whose syncs do nothing the same check must find lost acknowledged bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_lies_about_syncs_is_found_out() {
    for lie in [Lie::FileSyncs, Lie::DirectorySyncs] {
        let (mut lost, mut lost_images) = (Vec::new(), 0);
        for seed in 0..20 {
            let directory = directory().await;
            let root = directory.path();
            let client = Client::new(seed);
            let (disk, store) = power(root, lie).await;
            client.create(&store, Way::Publish).await.unwrap();
            client.send_all_at_once(&store).await.unwrap();
            let whole = Client::new(seed + 100);
            whole.run(&store, Way::Whole).await.unwrap();
            disk.cut(seed).unwrap();
            drop(store);
            let store = open_plain(root).await;
            lost.extend(client.check(&*store).await.err());
            lost_images += usize::from(whole.check(&*store).await.is_err());
        }
        assert!(!lost.is_empty(), "{lie:?} was not noticed: this test could not find a lost byte");
        assert!(lost_images > 0, "{lie:?} was not noticed: no whole image was lost");
    }
}
