//! A full disk, and one that has become read-only.

use std::{fs::File, io::Write, path::Path, time::Duration};

use super::{Patient, check_words};
use crate::{
    disk::{Disk, can_mount, run},
    shared::{
        client::Session,
        runtime,
        server::{Server, Told},
    },
};

/// Fills a file system to its last block.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let mut block = vec![0x5a; 1 << 20];
    loop {
        match file.write(&block) {
            Ok(_) => {}
            Err(_) if block.len() > 1 => block.truncate(block.len() / 2),
            Err(_) => break,
        }
    }
    let _ = file.sync_all();
}

/// ENOSPC in the middle of an upload, caused by others: 507 in words, Suspended(no_space), and on it goes when there is room.
async fn full(environment: &[(&str, &str)], name: &str) {
    let disk = Disk::new(96);
    let server = Server::try_spawn(&disk.data(), environment, Told::Panics).unwrap();
    let session = Session::open(&server.base).await;
    let mut patient = Patient::new(&session, name, 24 << 20).await;
    patient.send_slices(&session, 3).await;

    let (status, words) = session.answer_to_create("too-large", 1 << 30).await;
    assert_eq!(status, 507, "{words}");

    let ballast = disk.path().join("ballast");
    fill(&ballast);
    let mut refused = None;
    for _ in 0..20 {
        let (status, words) = patient.send(&session).await;
        if status != 200 {
            refused = Some((status, words));
            break;
        }
    }
    let (status, words) = refused.expect("a disk without room refuses");
    println!("{name}: {status} {words}");
    check_words(&words, &server);
    let records_are_elsewhere = !environment.is_empty();
    if records_are_elsewhere {
        assert_eq!(status, 507, "{words}");
        let state = patient.state(&session).await;
        println!("{name}: {state:?}");
        assert_eq!(state.name, "Suspended", "{state:?}");
        assert!(state.waits_for.is_some(), "{state:?}");
        assert_eq!(session.ready().await.0, 503, "a store that cannot be written is not ready");
    }
    std::fs::remove_file(&ballast).unwrap();
    let (ready, reasons) = session.ready().await;
    assert_eq!(ready, 200, "{reasons}");
    patient.state(&session).await;
    patient.finish(&session, name).await;
}

#[test]
#[ignore = "needs root and loop devices: scripts/test power runs it"]
fn a_full_disk_suspends_and_an_upload_goes_on_when_there_is_room() {
    if !can_mount() {
        return;
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", elsewhere.path().join("records.db").display());
    runtime().block_on(async {
        full(&[("LONGSHORE_DATABASE_URL", &database)], "full").await;
        // The records have no room either: less can be said, and no less is kept.
        full(&[], "full-with-records").await;
    });
}

/// A file system that the kernel made read-only after an error of its journal, as `errors=remount-ro` does.
#[test]
#[ignore = "needs root and loop devices: scripts/test power runs it"]
fn a_read_only_disk_is_told_and_heals_with_the_next_start() {
    if !can_mount() {
        return;
    }
    let mut disk = Disk::new(96);
    runtime().block_on(async {
        let server = Server::try_spawn(&disk.data(), &[], Told::Panics).unwrap();
        let session = Session::open(&server.base).await;
        let mut patient = Patient::new(&session, "aborted", 8 << 20).await;
        patient.send_slices(&session, 3).await;
        run("mount", &["-o", "remount,abort", disk.path().to_str().unwrap()]);
        let (status, words) = patient.send(&session).await;
        println!("aborted: {status} {words}");
        assert!((500..600).contains(&status), "{status} {words}");
        check_words(&words, &server);
        let (ready, reasons) = session.ready().await;
        println!("aborted: {ready} {reasons}");
        assert_eq!(ready, 503, "{reasons}");
        server.kill();

        disk.power_on();
        let server = Server::try_spawn(&disk.data(), &[], Told::Errors).unwrap();
        let session = session.at(&server.base);
        patient.state(&session).await;
        patient.finish(&session, "aborted").await;
    });
}

/// Read-only for everything that is opened from now on, writable again later, while the server lives.
#[test]
#[ignore = "needs root and loop devices: scripts/test power runs it"]
fn a_folder_that_is_read_only_for_a_while_heals_by_itself() {
    if !can_mount() {
        return;
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", elsewhere.path().join("records.db").display());
    let disk = Disk::new(96);
    runtime().block_on(async {
        let environment = [("LONGSHORE_DATABASE_URL", database.as_str())];
        let server = Server::try_spawn(&disk.data(), &environment, Told::Panics).unwrap();
        let session = Session::open(&server.base).await;
        let mut patient = Patient::new(&session, "covered", 8 << 20).await;
        patient.send_slices(&session, 2).await;
        let data = disk.data();
        let data = data.to_str().unwrap();
        run("mount", &["--bind", data, data]);
        run("mount", &["-o", "remount,bind,ro", data]);

        let (ready, reasons) = session.ready().await;
        let (status, words) = session.answer_to_create("while-read-only", 1 << 20).await;
        let known = patient.state(&session).await;
        run("umount", &[data]);
        println!("read-only: {ready} {reasons}; {status} {words}");
        assert_eq!(ready, 503, "{reasons}");
        assert!(reasons.contains("Read-only"), "{reasons}");
        assert!((500..600).contains(&status), "{status} {words}");
        check_words(&words, &server);
        assert_eq!(known.offset, patient.end, "reading goes on");

        tokio::time::sleep(Duration::from_millis(10)).await;
        let (ready, reasons) = session.ready().await;
        assert_eq!(ready, 200, "{reasons}");
        patient.send_slices(&session, 1).await;
        patient.finish(&session, "covered").await;
    });
}
