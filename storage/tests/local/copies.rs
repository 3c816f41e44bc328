//! The system's own copying from file to file, as it really is: short, refused, failing, interrupted. What is joined is right or is not
//! told of, and everything heals.

use std::{path::Path, sync::Arc};

use longshore_storage::{
    StoreError,
    conformance::{Backend, local::scratch, scenario::content},
    local::{
        OsDisk,
        disk::Disk,
        faulty::{Call, Event, Fault, FaultyDisk, Hits},
    },
};
use rustix::io::Errno;

use crate::script::{Client, LENGTH, Way, open, open_plain};

/// More calls that change something than a joining makes.
const CALLS_MAX: u64 = 400;

/// What the system may answer that is no failure: it copied less, or it does not copy.
const TAKEN: [Fault; 12] = [
    Fault::Short(1),
    Fault::Short(777),
    Fault::Short(4096),
    Fault::Short(0),
    Fault::Refused(Errno::INTR),
    Fault::Refused(Errno::XDEV),
    Fault::Refused(Errno::NOSYS),
    Fault::Refused(Errno::OPNOTSUPP),
    Fault::Refused(Errno::INVAL),
    Fault::Refused(Errno::PERM),
    Fault::Refused(Errno::TXTBSY),
    Fault::Short(29_999),
];

/// What is one.
const FAILURES: [Fault; 4] = [Fault::Io, Fault::NoSpace, Fault::Torn, Fault::DoneButFailed];

fn disk() -> FaultyDisk {
    FaultyDisk::new(Arc::new(OsDisk))
}

async fn open_on(root: &Path, disk: &FaultyDisk) -> Arc<dyn Backend> {
    open(root, Arc::new(disk.clone())).await
}

/// Calls by which the system copied.
fn copied(log: &[Event]) -> usize {
    log.iter().filter(|event| matches!(event, Event::End(Call::Copy(..), _))).count()
}

/// Negative control for all below: the files are really copied by the system, and not through memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_system_copies_where_nothing_is_wrong() {
    let directory = scratch();
    let disk = disk();
    let store = open_on(directory.path(), &disk).await;
    let client = Client::new(1);
    client.run(&store, Way::Join).await.unwrap();
    assert_eq!(copied(&disk.log()), 4, "one call for each of four ranges");
    client.complete(store, directory.path(), Way::Join).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_or_refused_copy_is_brought_to_its_end() {
    for fault in TAKEN {
        for nth in 0..5 {
            for stays in [false, true] {
                // One byte a call, for ever, shows no more than 777 do.
                if stays && matches!(fault, Fault::Short(1) | Fault::Refused(Errno::INTR)) {
                    continue;
                }
                let directory = scratch();
                let disk = disk();
                let store = open_on(directory.path(), &disk).await;
                let client = Client::new(nth);
                if stays {
                    disk.fail_from(Hits::Copies, nth, fault);
                } else {
                    disk.fail(Hits::Copies, nth, fault);
                }
                let what = format!("{fault:?} at {nth}, stays: {stays}");
                client.run(&store, Way::Join).await.unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_eq!(disk.fired().is_some(), nth < 4, "{what}");
                assert_eq!(client.check(&*store).await, Ok(()), "{what}");
                client.complete(store, directory.path(), Way::Join).await;
            }
        }
    }
}

/// Then, in turn, the store goes on as it is or is opened anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_copy_is_told_and_heals() {
    for fault in FAILURES {
        for (nth, goes_on) in (0..4).flat_map(|nth| [(nth, true), (nth, false)]) {
            let directory = scratch();
            let disk = disk();
            let store = open_on(directory.path(), &disk).await;
            let client = Client::new(nth);
            disk.fail(Hits::Copies, nth, fault);
            let answer = client.run(&store, Way::Join).await;
            let what = format!("{fault:?} at {nth}: {answer:?}");
            match answer {
                Err(StoreError::NoSpace) => assert_eq!(fault, Fault::NoSpace, "{what}"),
                Err(StoreError::Io { message, .. }) => assert!(!message.is_empty(), "{what}"),
                other => panic!("{fault:?} at {nth} was answered with {other:?}"),
            }
            assert!(matches!(disk.fired(), Some((Call::Copy(..), _))), "{what}");
            let told = client.told.lock().unwrap().offset;
            assert!(told <= nth * LENGTH / 4, "{what}: {told} were told");
            disk.heal();
            assert_eq!(client.check(&*store).await, Ok(()), "at once, {what}");
            let store = if goes_on {
                store
            } else {
                drop(store);
                open_plain(directory.path()).await
            };
            assert_eq!(client.check(&*store).await, Ok(()), "{what}");
            client.complete(store, directory.path(), Way::Join).await;
        }
    }
}

/// Before every single call of a joining the process ends: what was told is there, and the same steps again lead to the image.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_before_any_call_of_a_joining_loses_nothing() {
    let mut copies = 0;
    for nth in 0..CALLS_MAX {
        let directory = scratch();
        let root = directory.path();
        drop(open_plain(root).await);
        let disk = disk();
        let store = open_on(root, &disk).await;
        let client = Client::new(nth);
        disk.fail(Hits::Changes, nth, Fault::Killed);
        let answer = client.run(&store, Way::Join).await;
        let fired = disk.fired();
        copies += usize::from(matches!(fired, Some((Call::Copy(..), _))));
        assert_eq!(answer.is_ok(), fired.is_none(), "{nth} {fired:?}: {answer:?}");
        drop(store);
        let store = open_plain(root).await;
        assert_eq!(client.check(&*store).await, Ok(()), "{nth} {fired:?}");
        client.complete(store, root, Way::Join).await;
        if fired.is_none() {
            assert_eq!(copies, 4, "it ended before each copy, too");
            return;
        }
    }
    panic!("it makes more than {CALLS_MAX} calls");
}

/// Ranges that begin and end anywhere, between file systems too, and a source that has become shorter.
#[test]
fn files_are_copied_as_they_are() {
    let (here, there) = (scratch(), tempfile::tempdir().unwrap());
    let bytes = content(9, 300_000);
    for from_there in [false, true] {
        let source = if from_there { there.path() } else { here.path() }.join("source");
        let source = OsDisk.create_new(&source).unwrap();
        source.write_all_at(&bytes, 0).unwrap();
        let target = OsDisk.create_new(&here.path().join(format!("{from_there}"))).unwrap();
        let mut expected = vec![7; 400_000];
        target.write_all_at(&expected, 0).unwrap();
        for (from, to, length) in [
            (0, 0, 1),
            (1, 4_095, 2),
            (4_097, 10_001, 70_003),
            (4_096, 131_072, 65_536),
            (299_999, 399_999, 1),
        ] {
            target.copy_from(&*source, from, to..to + length).unwrap();
            let at = |position: u64| usize::try_from(position).unwrap();
            expected[at(to)..at(to + length)].copy_from_slice(&bytes[at(from)..at(from + length)]);
            let mut found = vec![0; 400_001];
            assert_eq!(target.read_at(&mut found, 0).unwrap(), 400_000);
            assert!(found[..400_000] == expected[..], "{from} to {to}, {length} bytes");
        }
        // Nobody is told that bytes were copied that are not there.
        for kept in [0, 299_000] {
            source.set_len(kept).unwrap();
            let error = target.copy_from(&*source, 250_000, 0..50_000).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
            source.write_all_at(&bytes, 0).unwrap();
        }
    }
}
