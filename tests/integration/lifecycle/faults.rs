//! A store that fails: what can heal waits in words and goes on, what cannot fails in words.

use std::time::Duration;

use longshore::{
    domain::{
        clock::Clock as _,
        job_state::{JobState, SuspendReason},
    },
    uploads::{StoreError, UploadError, Verdict},
};

use super::{
    bodies::{content, fed, whole},
    on_all,
    rigged::Op,
    world::{Backing, Settings, World, at, upload_of, words},
};

on_all! {
    every_step_that_fails_once_heals
    a_full_storage_that_lasts_waits_and_heals
    what_is_damaged_fails
    siblings_of_a_failed_writer_are_told_of_the_failure
    a_failure_after_the_image_is_there_does_not_lose_it
    a_resume_that_fails_says_why_it_waits
    records_that_do_not_answer_lose_nothing
}

fn io() -> StoreError {
    StoreError::Io { action: "sync data", message: "bad sector".to_owned() }
}

async fn every_step_that_fails_once_heals(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(30_000, 1);
    for op in [Op::Write, Op::Append, Op::Acknowledge, Op::Finish, Op::Publish] {
        for (error, reason) in
            [(StoreError::NoSpace, SuspendReason::NoSpace), (io(), SuspendReason::IoError)]
        {
            let job = world.submit(Some(bytes.len())).await;
            world.rig.fail(op, 1, error.clone());
            let first = world.send(&job, 0, &bytes).await;
            let finishing = matches!(op, Op::Finish | Op::Publish);
            if finishing {
                let verdict = first.unwrap().verdict;
                let stopped = Verdict::Stopped { state: JobState::Suspended(reason) };
                assert_eq!(verdict, Some(stopped), "{op:?}");
            } else {
                assert!(matches!(first, Err(UploadError::Store(_))), "{op:?} {first:?}");
            }
            let now = world.job(&job).await;
            assert_eq!(now.state, JobState::Suspended(reason), "{op:?}");
            assert!(words(&now).1.contains(&error.to_string()), "{op:?} {:?}", words(&now));
            assert!(now.waits_for.is_some(), "{op:?}");
            assert!(world.uploads().promised_bytes() <= 30_000);
            if finishing {
                // Every byte is here: no client will send one, so nobody but the service can go on.
                world.pass(Duration::from_secs(61)).await;
            } else {
                world.send(&job, 0, &bytes).await.unwrap();
            }
            world.until(&job, JobState::Succeeded).await;
            world.assert_ready(&job, &bytes).await;
        }
    }
}

async fn a_full_storage_that_lasts_waits_and_heals(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(30_000, 2);
    let job = world.submit(Some(bytes.len())).await;
    world.rig.fail(Op::Finish, usize::MAX, StoreError::NoSpace);
    world.send(&job, 0, &bytes).await.unwrap();
    let waits = JobState::Suspended(SuspendReason::NoSpace);
    for _ in 0..3 {
        world.pass(Duration::from_secs(61)).await;
        world.until(&job, waits).await;
    }
    // A client that asks again hears where it stands, and loses nothing.
    let again = world.send(&job, 0, &bytes).await.unwrap();
    assert!(again.duplicate);
    assert_eq!(again.verdict, Some(Verdict::Stopped { state: waits }));
    world.rig.heal();
    let again = world.send(&job, 0, &bytes).await.unwrap();
    assert!(matches!(again.verdict, Some(Verdict::Ready { .. })), "{:?}", again.verdict);
    world.assert_ready(&job, &bytes).await;
}

async fn what_is_damaged_fails(backing: Backing) {
    let world = World::new(backing).await;
    let damaged =
        || StoreError::Damaged { what: "the checkpoint".to_owned(), message: "CRC".to_owned() };
    for op in [Op::Write, Op::Finish, Op::Publish] {
        let job = world.submit(Some(10)).await;
        world.rig.fail(op, 1, damaged());
        let _told = world.send(&job, 0, b"0123456789").await;
        let now = world.until(&job, JobState::Failed).await;
        assert!(words(&now).1.contains("damaged"), "{op:?} {:?}", words(&now));
        world.assert_nothing_left(&job).await;
        assert_eq!(world.uploads().promised_bytes(), 0, "{op:?}");
        world.jobs().delete(world.caller, job.job.uuid).await.unwrap();
    }
}

/// Nobody took their place: told so, a client would look for another sender of its own.
async fn siblings_of_a_failed_writer_are_told_of_the_failure(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(Some(40)).await;
    let (feed, body) = fed();
    let sibling = world.sending(upload_of(&job), at(20, Some(20)), body);
    feed.send(vec![1; 5]).unwrap();
    world.rig.fail(Op::Acknowledge, 1, io());
    assert!(world.send(&job, 0, &[0; 20]).await.is_err());
    assert_eq!(world.state(&job).await, JobState::Suspended(SuspendReason::IoError));
    // The sibling is alive: its bytes wake the job again, and nothing is lost.
    feed.send(vec![1; 15]).unwrap();
    drop(feed);
    let told = sibling.await.unwrap();
    assert!(!matches!(told, Err(UploadError::Store(StoreError::Superseded))), "{told:?}");
    world.send(&job, 0, &[0; 20]).await.unwrap();
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &[[0; 20], [1; 20]].concat()).await;
}

/// The answer of the store is lost: the image is there, and the next attempt has to find it.
async fn a_failure_after_the_image_is_there_does_not_lose_it(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(30_000, 3);
    for crash in [false, true] {
        let job = world.submit(Some(bytes.len())).await;
        world.rig.fail(Op::Publish, 1, io());
        world.send(&job, 0, &bytes).await.unwrap();
        assert_eq!(world.state(&job).await, JobState::Suspended(SuspendReason::IoError));
        let key = longshore_storage::UploadKey(upload_of(&job).0);
        let owned = longshore_storage::Owned { key, epoch: 1_000 };
        let image = longshore_storage::ImageKey(job.job.image.0);
        world.store().publish(owned, image).await.unwrap();
        if crash {
            world.crash().await;
        } else {
            world.jobs().resume(world.caller, job.job.uuid).await.unwrap();
        }
        world.until(&job, JobState::Succeeded).await;
        world.assert_ready(&job, &bytes).await;
        assert_eq!(world.uploads().promised_bytes(), 0);
    }
}

async fn a_resume_that_fails_says_why_it_waits(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(30_000, 4);
    let job = world.submit(Some(bytes.len())).await;
    world.send(&job, 0, &bytes[..100]).await.unwrap();
    world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
    world.rig.fail(Op::Admit, 1, io());
    let _told = world.jobs().resume(world.caller, job.job.uuid).await;
    let now = world.job(&job).await;
    assert_eq!(
        now.state,
        JobState::Suspended(SuspendReason::IoError),
        "not Running without a store"
    );
    assert!(words(&now).1.contains("bad sector"));
    world.send(&job, 100, &bytes[100..]).await.unwrap();
    world.assert_ready(&job, &bytes).await;
}

/// The database is gone for a moment while an upload is being finished: nobody must have to send a byte again.
async fn records_that_do_not_answer_lose_nothing(backing: Backing) {
    if backing == Backing::LocalOnPostgres {
        // The trigger is SQLite's.
        return;
    }
    let mut settings = Settings::default();
    settings.uploads.finish_wait = Duration::from_millis(300);
    let world = World::with(backing, &settings).await;
    let bytes = content(30_000, 5);
    let job = world.submit(Some(bytes.len())).await;
    let refuse = "CREATE TRIGGER refuse BEFORE UPDATE OF generation ON long_job \
                  BEGIN SELECT RAISE(ABORT, 'the database is not well'); END";
    let hold = world.rig.hold(Op::Publish, super::rigged::Side::After);
    let sending = world.sending(upload_of(&job), at(0, Some(bytes.len())), whole(&bytes));
    hold.reached().await;
    world.test_db.sabotage(refuse).await;
    world.rig.release_all();
    sending.await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.state(&job).await, JobState::Running, "nothing could be recorded");
    world.clock.advance_ms(31_000);
    let _ = world.jobs().suspend_silent(world.clock.now_ms()).await;
    world.test_db.sabotage("DROP TRIGGER refuse").await;
    for _ in 0..3 {
        world.pass(Duration::from_secs(61)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
}
