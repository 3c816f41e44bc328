//! The simulated disks do what they say; else the tests that stand on them show nothing.

use std::{path::Path, sync::Arc};

use longshore_storage::conformance::local::scratch;
use longshore_storage::local::{
    OsDisk,
    disk::Disk,
    faulty::{Call, Event, Fault, FaultyDisk, Hits},
    power::{Lie, PowerDisk},
};
use rustix::io::Errno;

fn power(root: &Path, lie: Lie) -> PowerDisk {
    let disk = PowerDisk::new(Arc::new(OsDisk), root).unwrap();
    disk.lie(lie);
    disk
}

/// Runs `script` on a fresh directory for many seeds; answers in how many of them `path` was found as `expected`.
fn found(lie: Lie, expected: &[u8], script: impl Fn(&PowerDisk, &Path)) -> u64 {
    let mut hits = 0;
    for seed in 0..40 {
        let directory = scratch();
        let disk = power(directory.path(), lie);
        script(&disk, directory.path());
        disk.cut(seed).unwrap();
        let found = std::fs::read(directory.path().join("file"));
        hits += u64::from(found.is_ok_and(|found| found == expected));
        assert!(disk.is_off() && disk.list(directory.path()).is_err());
    }
    hits
}

fn write(disk: &PowerDisk, root: &Path, sync_data: bool, sync_name: bool) {
    let file = disk.create_new(&root.join("file")).unwrap();
    file.write_all_at(&[7; 2_000], 0).unwrap();
    if sync_data {
        file.sync_data().unwrap();
    }
    if sync_name {
        disk.sync_dir(root).unwrap();
    }
}

#[test]
fn synced_bytes_under_a_synced_name_survive_always_and_others_sometimes() {
    let bytes = [7; 2_000];
    assert_eq!(found(Lie::None, &bytes, |disk, root| write(disk, root, true, true)), 40);
    for (data, name) in [(true, false), (false, true), (false, false)] {
        let hits = found(Lie::None, &bytes, |disk, root| write(disk, root, data, name));
        assert!((1..40).contains(&hits), "{data} {name}: {hits} of 40");
    }
}

#[test]
fn a_lying_sync_loses_and_a_dropping_one_loses_for_ever() {
    let bytes = [7; 2_000];
    for lie in [Lie::FileSyncs, Lie::DirectorySyncs] {
        let hits = found(lie, &bytes, |disk, root| write(disk, root, true, true));
        assert!((1..40).contains(&hits), "{lie:?}: {hits} of 40");
    }
    let hits = found(Lie::DropsAtSync(0), &bytes, |disk, root| {
        let file = disk.create_new(&root.join("file")).unwrap();
        disk.sync_dir(root).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        let mut cached = [0; 2_000];
        assert_eq!(file.read_at(&mut cached, 0).unwrap(), 2_000);
        assert_eq!(cached, bytes, "the cache still shows what will never be stable");
    });
    assert_eq!(hits, 0);
}

#[test]
fn a_rename_is_whole_or_not_there() {
    let directory = scratch();
    let (old, new) = (directory.path().join("old"), directory.path().join("file"));
    let mut moved = 0;
    for seed in 0..40 {
        std::fs::write(&old, b"bytes").unwrap();
        let disk = power(directory.path(), Lie::None);
        disk.rename(&old, &new).unwrap();
        disk.cut(seed).unwrap();
        let names = (old.exists(), new.exists());
        assert!(names.0 ^ names.1, "seed {seed}: {names:?}");
        moved += u64::from(names.1);
        let name = if names.1 { &new } else { &old };
        assert_eq!(std::fs::read(name).unwrap(), b"bytes");
        std::fs::remove_file(name).unwrap();
    }
    assert!((1..40).contains(&moved), "{moved} of 40");
}

#[test]
fn a_killed_process_leaves_the_cache() {
    let directory = scratch();
    let disk = power(directory.path(), Lie::None);
    disk.kill_at(2);
    let file = disk.create_new(&directory.path().join("file")).unwrap();
    file.write_all_at(b"cached", 0).unwrap();
    assert!(file.sync_data().is_err() && file.len().is_err());
    disk.revive();
    let mut bytes = [0; 6];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 6);
    assert_eq!(&bytes, b"cached");
}

#[test]
fn exactly_the_chosen_call_fails_and_everything_is_in_the_log() {
    let directory = scratch();
    let path = directory.path().join("file");
    let disk = FaultyDisk::new(Arc::new(OsDisk));
    disk.fail(Hits::Changes, 2, Fault::Torn);
    let file = disk.create_new(&path).unwrap();
    file.write_all_at(b"first", 0).unwrap();
    assert_eq!(disk.fired(), None);
    assert!(file.write_all_at(b"abcdefgh", 5).is_err());
    assert_eq!(disk.fired(), Some((Call::Write(5, 8), path.clone())));
    assert_eq!(std::fs::read(&path).unwrap(), b"firstabcd");
    disk.fail(Hits::Syncs, 0, Fault::NoSpace);
    file.set_len(3).unwrap();
    let error = file.sync_data().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    file.sync_data().unwrap();
    disk.fail(Hits::Changes, 0, Fault::DoneButFailed);
    assert!(disk.remove_file(&path).is_err() && !path.exists());
    disk.note("end");
    let log = disk.log();
    let ended = |call| log.iter().filter(|event| **event == Event::End(call, path.clone())).count();
    assert_eq!((ended(Call::Create), ended(Call::SyncData), ended(Call::Remove)), (1, 1, 0));
    assert_eq!(log.last(), Some(&Event::Note("end".to_owned())));
}

#[test]
fn a_copy_is_short_refused_or_the_last_call_as_it_was_told() {
    let directory = scratch();
    let disk = FaultyDisk::new(Arc::new(OsDisk));
    let source = disk.create_new(&directory.path().join("source")).unwrap();
    source.write_all_at(&[7; 10_000], 0).unwrap();
    let path = directory.path().join("file");
    let file = disk.create_new(&path).unwrap();
    // The number of the system's calls, and whether the rest was written instead.
    let calls = |fault: Option<Fault>| {
        let before = disk.log().len();
        if let Some(fault) = fault {
            disk.fail_from(Hits::Copies, 0, fault);
        }
        file.set_len(0).unwrap();
        file.copy_from(&*source, 0, 0..10_000).unwrap();
        disk.heal();
        assert_eq!(std::fs::read(&path).unwrap(), [7; 10_000]);
        let log = disk.log();
        let count = |is: &dyn Fn(&Event) -> bool| log[before..].iter().filter(|e| is(e)).count();
        let copies = count(&|event| matches!(event, Event::Begin(Call::Copy(..), _)));
        (copies, count(&|event| matches!(event, Event::End(Call::Write(..), _))))
    };
    assert_eq!(calls(None), (1, 0));
    assert_eq!(calls(Some(Fault::Short(3_000))), (4, 0));
    assert_eq!(calls(Some(Fault::Short(0))), (1, 1));
    assert_eq!(calls(Some(Fault::Refused(Errno::XDEV))), (1, 1));
    disk.fail(Hits::Changes, 1, Fault::Killed);
    file.write_all_at(b"before", 0).unwrap();
    assert!(file.copy_from(&*source, 0, 0..10_000).is_err());
    assert!(file.len().is_err() && disk.exists(&path).is_err(), "nothing is done any more");
    assert_eq!(&std::fs::read(&path).unwrap()[..7], b"before\x07");
    disk.heal();
    assert_eq!(file.len().unwrap(), 10_000);
}
