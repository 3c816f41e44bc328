//! Folders of the store that somebody removed while the server was running.

use std::fs;

use super::{Patient, check_words};
use crate::{
    disk::{Disk, can_mount},
    shared::{
        client::Session,
        runtime,
        server::{Server, Told},
    },
};

#[test]
#[ignore = "needs root and loop devices: scripts/test power runs it"]
fn a_store_folder_that_was_deleted_is_told_and_every_job_has_a_way_out() {
    if !can_mount() {
        return;
    }
    let disk = Disk::new(96);
    runtime().block_on(async {
        let server = Server::try_spawn(&disk.data(), &[], Told::Panics).unwrap();
        let session = Session::open(&server.base).await;
        let mut patient = Patient::new(&session, "gone", 8 << 20).await;
        let mut second = Patient::new(&session, "gone-too", 8 << 20).await;
        let _third = Patient::new(&session, "gone-as-well", 8 << 20).await;
        patient.send_slices(&session, 2).await;
        second.send_slices(&session, 2).await;
        assert_eq!(session.ready().await.0, 200);

        fs::remove_dir_all(disk.data().join("uploads")).unwrap();
        let (ready, reasons) = session.ready().await;
        println!("gone: {ready} {reasons}");
        assert_eq!(ready, 503, "{reasons}");
        let (status, words) = patient.send(&session).await;
        println!("gone: {status} {words}");
        assert!(status >= 400, "bytes went into a file without a name: {words}");
        check_words(&words, &server);
        let (status, words) = session.answer_to_create("new", 1 << 20).await;
        println!("gone: {status} {words}");
        assert!((500..600).contains(&status), "{status} {words}");
        check_words(&words, &server);

        // What met the loss has failed and says why; the other ones are canceled, by URL and by job; all records can be deleted.
        assert!(session.discard(&second.path).await.unwrap());
        for job in session.jobs().await {
            let (uuid, told) = (job["uuid"].as_str().unwrap(), job.to_string());
            match job["state"].as_str().unwrap() {
                "Failed" => assert!(told.contains("the storage has lost the bytes"), "{told}"),
                "Canceled" => {}
                _ => session.cancel(uuid).await.unwrap(),
            }
            session.delete_job(uuid).await.unwrap();
        }
        assert_eq!(session.jobs().await.len(), 0);
        server.kill();

        // The next start makes the folder again, and uploads are taken.
        let server = Server::try_spawn(&disk.data(), &[], Told::Errors).unwrap();
        let session = session.at(&server.base);
        let (ready, reasons) = session.ready().await;
        assert_eq!(ready, 200, "{reasons}");
        let after = Patient::new(&session, "after", 3 << 20).await;
        after.finish(&session, "after").await;
    });
}

/// Found gone at the start: the job says so and fails, instead of waiting for ever.
#[test]
#[ignore = "needs root and loop devices: scripts/test power runs it"]
fn a_store_folder_that_is_gone_at_the_start_fails_its_jobs_in_words() {
    if !can_mount() {
        return;
    }
    let disk = Disk::new(96);
    runtime().block_on(async {
        let server = Server::try_spawn(&disk.data(), &[], Told::Panics).unwrap();
        let session = Session::open(&server.base).await;
        let mut patient = Patient::new(&session, "gone", 8 << 20).await;
        patient.send_slices(&session, 2).await;
        server.kill();
        fs::remove_dir_all(disk.data().join("uploads")).unwrap();
        let server = Server::try_spawn(&disk.data(), &[], Told::Panics).unwrap();
        let session = session.at(&server.base);
        let mut state = String::new();
        for _ in 0..100 {
            let jobs = session.jobs().await;
            state = jobs[0].to_string();
            if jobs[0]["state"] == "Failed" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(state.contains("the storage has lost the bytes"), "{state}");
        check_words(&state, &server);
    });
}
