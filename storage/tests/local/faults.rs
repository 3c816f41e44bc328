//! Every call of every script fails once, in every way: words, never a wrong offset, and everything heals.

use std::{path::PathBuf, sync::Arc};

use longshore_storage::{
    StoreError,
    conformance::{Backend, local::scratch},
    local::{
        OsDisk,
        disk::Disk,
        faulty::{Call, Event, Fault, FaultyDisk, Hits},
        power::PowerDisk,
    },
};

use crate::script::{Client, LENGTH, Way, open, open_plain};

const CALLS_MAX: u64 = 400;

fn speaks(error: &StoreError, fault: Fault) -> bool {
    match error {
        StoreError::NoSpace => fault == Fault::NoSpace,
        StoreError::Io { message, .. } => !message.is_empty(),
        // Somebody else's request met the fault, and the upload was reopened under this one.
        StoreError::Superseded | StoreError::Busy { .. } | StoreError::Incomplete { .. } => true,
        StoreError::NotFound { .. }
        | StoreError::ImageNotFound { .. }
        | StoreError::AlreadyExists { .. }
        | StoreError::BeyondLength { .. }
        | StoreError::LengthConflict { .. }
        | StoreError::ChecksumMismatch { .. }
        | StoreError::CheckedChunkTooLarge { .. }
        | StoreError::WrongChunkLength { .. }
        | StoreError::TooManyExtents { .. }
        | StoreError::Revoked { .. }
        | StoreError::Fenced { .. }
        | StoreError::Damaged { .. }
        | StoreError::Unusable { .. } => false,
    }
}

/// Fails call after call of `way`; then, in turn, the store goes on as it is or is opened anew after a power cut.
async fn every_call_fails_once(way: Way, hits: Hits, fault: Fault) -> u64 {
    let directory = scratch();
    let root = directory.path();
    drop(open_plain(root).await);
    for nth in 0..CALLS_MAX {
        let mut fired = None;
        for heals_in_place in [true, false] {
            let power = PowerDisk::new(Arc::new(OsDisk), root).unwrap();
            let disk = FaultyDisk::new(Arc::new(power.clone()));
            let store = open(root, Arc::new(disk.clone())).await;
            let client = Client::new(nth);
            disk.fail(hits, nth, fault);
            let answer = client.run(&store, way).await;
            fired = disk.fired();
            disk.heal();
            let what = format!("{way:?}, {fault:?} at {hits:?} {nth}, {fired:?}: {answer:?}");
            if let Err(error) = &answer {
                assert!(fired.is_some() && speaks(error, fault), "{what}");
            }
            assert_eq!(client.check(&*store).await, Ok(()), "at once, {what}");
            if heals_in_place {
                client.complete(Arc::clone(&store), root, way).await;
            }
            power.cut(nth).unwrap();
            drop(store);
            let store = open_plain(root).await;
            if heals_in_place {
                assert_eq!(store.uploads().await.unwrap(), [], "{what}");
                assert_eq!(store.images().await.unwrap(), [], "{what}");
            } else {
                assert_eq!(client.check(&*store).await, Ok(()), "after a power cut, {what}");
                client.complete(store, root, way).await;
            }
        }
        if fired.is_none() {
            return nth;
        }
    }
    panic!("{way:?} makes more than {CALLS_MAX} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failing_change_heals() {
    for way in Way::ALL {
        for fault in [Fault::Io, Fault::NoSpace, Fault::Torn, Fault::DoneButFailed] {
            let calls = every_call_fails_once(way, Hits::Changes, fault).await;
            assert!(calls >= way.calls_min().0, "{way:?} makes only {calls} calls");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failing_sync_heals() {
    for way in Way::ALL {
        let calls = every_call_fails_once(way, Hits::Syncs, Fault::Io).await;
        assert!(calls >= way.calls_min().1, "{way:?} makes only {calls} syncs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failing_read_heals() {
    for way in Way::ALL {
        every_call_fails_once(way, Hits::Reads, Fault::Io).await;
    }
}

/// Opening a directory for the first time, with a failure at every tenth call, and at every sync: it fails in words,
/// and the next start succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_start_is_repeated() {
    use longshore_storage::{Durability, local::LocalStore};
    for (hits, step) in [(Hits::Changes, 29), (Hits::Syncs, 1)] {
        for nth in (0..).step_by(step) {
            let directory = scratch();
            let disk = FaultyDisk::new(Arc::new(OsDisk));
            disk.fail(hits, nth, Fault::Io);
            let limits = crate::script::limits();
            let faulty: Arc<dyn Disk> = Arc::new(disk.clone());
            match LocalStore::open(directory.path(), faulty, limits, Durability::PowerLoss) {
                Ok(_) if disk.fired().is_none() => break,
                Ok(_) => {}
                Err(error) => assert!(!error.to_string().is_empty()),
            }
            let store = open_plain(directory.path()).await;
            let client = Client::new(nth);
            client.complete(store, directory.path(), Way::Publish).await;
        }
    }
}

fn is_data(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|suffix| suffix == "data")
}

/// Index of the first event at or after `from` that `is` accepts.
fn after(log: &[Event], from: usize, is: impl Fn(&Event) -> bool) -> usize {
    let found = log[from..].iter().position(is);
    from + found.unwrap_or_else(|| panic!("not in the log after {from}: {log:#?}"))
}

/// Before an acknowledgement: all writes of the data, then a sync of the data, then the checkpoint, then its sync.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slice_is_acknowledged_after_data_and_checkpoint_are_synced() {
    let directory = scratch();
    let disk = FaultyDisk::new(Arc::new(OsDisk));
    let store = open(directory.path(), Arc::new(disk.clone())).await;
    let client = Client::new(1);
    client.create(&store, Way::Publish).await.unwrap();
    for start in [0, 60_000, 30_000] {
        disk.note("sent");
        client.send(&store, start..start + 30_000).await.unwrap();
        disk.note("acknowledged");
        let log = disk.log();
        let acknowledged = log.len() - 1;
        let sent = log.iter().rposition(|event| *event == Event::Note("sent".to_owned())).unwrap();
        let log = &log[..=acknowledged];
        let data_written = log
            .iter()
            .rposition(|e| matches!(e, Event::End(Call::Write(..), path) if is_data(path)))
            .unwrap();
        assert!(data_written > sent);
        let begun = after(
            log,
            data_written,
            |event| matches!(event, Event::Begin(Call::SyncData, path) if is_data(path)),
        );
        let synced = after(
            log,
            begun,
            |event| matches!(event, Event::End(Call::SyncData, path) if is_data(path)),
        );
        let record = after(
            log,
            synced,
            |event| matches!(event, Event::End(Call::Write(..), path) if !is_data(path)),
        );
        let begun = after(
            log,
            record,
            |event| matches!(event, Event::Begin(Call::SyncData, path) if !is_data(path)),
        );
        after(
            log,
            begun,
            |event| matches!(event, Event::End(Call::SyncData, path) if !is_data(path)),
        );
    }
    client.run(&store, Way::Publish).await.unwrap();
    check_publish(&disk.log(), &store, &client);
}

/// Publishing: sync of the data, rename to the image, sync of the image's directory.
fn check_publish(log: &[Event], store: &Arc<dyn Backend>, client: &Client) {
    let image: PathBuf = client.image.to_string().into();
    let is_image = |path: &PathBuf| path.file_name() == Some(image.as_os_str());
    let renamed =
        after(log, 0, |event| matches!(event, Event::End(Call::Rename, to) if is_image(to)));
    let last = |is: &dyn Fn(&Event) -> bool| log[..renamed].iter().rposition(is).unwrap();
    let written = last(&|e| matches!(e, Event::End(Call::Write(..), path) if is_data(path)));
    let synced = last(&|e| matches!(e, Event::End(Call::SyncData, path) if is_data(path)));
    assert!(written < synced, "the data is synced after its last write, before the rename");
    after(log, renamed, |event| {
        let folder = &client.image.to_string()[30..];
        matches!(event, Event::End(Call::SyncDir, path) if path.ends_with(format!("images/{folder}")))
    });
    assert_eq!(Arc::strong_count(store), 1);
    assert_eq!(client.told.lock().unwrap().offset, LENGTH);
}
