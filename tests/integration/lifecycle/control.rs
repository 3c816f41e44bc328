//! Suspend, resume, cancel, delete: in every state, and with requests in flight.

use std::time::Duration;

use longshore::{
    domain::job_state::{JobState, SuspendReason},
    jobs::JobError,
    uploads::{StoreError, UploadError, Verdict},
};
use longshore_storage::{Owned, UploadKey};

use super::{
    bodies::{content, fed, pending_after, whole},
    on_all,
    rigged::{Op, Side},
    world::{Backing, Settings, World, at, new_job, upload_of, words},
};

on_all! {
    suspending_drains_the_writers_and_keeps_their_bytes
    a_suspension_whose_caller_went_away_is_whole
    a_submission_whose_caller_went_away_is_whole
    a_finish_that_lost_to_a_suspension_is_begun_again
    cancel_works_in_every_state_that_is_not_final
    cancel_while_verifying_and_publishing
    a_cancel_that_cannot_remove_is_tried_again
    only_final_jobs_are_deleted
    jobs_whose_bytes_the_store_has_lost_have_a_way_out
    a_failure_removes_its_bytes_though_the_image_has_a_new_job
}

const USER: JobState = JobState::Suspended(SuspendReason::User);

async fn suspending_drains_the_writers_and_keeps_their_bytes(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(400_000, 1);
    let job = world.submit(Some(bytes.len())).await;
    let mut writers = Vec::new();
    for n in 0..4 {
        let (feed, body) = fed();
        let from = n * 100_000;
        feed.send(bytes[from..from + 30_000].to_vec()).unwrap();
        writers.push((feed, world.sending(upload_of(&job), at(from, Some(100_000)), body)));
    }
    let key = UploadKey(upload_of(&job).0);
    while world.store().state(key).await.unwrap().writers < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The bytes are on their way through the pump.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let view = world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
    assert_eq!(view.job.state, USER);
    let state = world.store().state(key).await.unwrap();
    assert_eq!(state.writers, 0, "all of them have drained");
    let kept: Vec<_> = (0..4).map(|n| n * 100_000..n * 100_000 + 30_000).collect();
    assert_eq!(state.extents, kept);
    for (feed, sending) in writers {
        let _ = feed.send(vec![0; 1_000]);
        let ended = sending.await.unwrap();
        assert!(
            matches!(ended, Err(UploadError::NotTaking { state }) if state == USER),
            "{ended:?}"
        );
    }
    assert_eq!(world.store().state(key).await.unwrap().extents, kept, "none came afterwards");
    assert_eq!(world.jobs().suspend(world.caller, job.job.uuid).await.unwrap().job.state, USER);
    let words_now = words(&world.job(&job).await);
    assert!(words_now.0.contains("some error interrupt long job"), "{words_now:?}");
    world.jobs().resume(world.caller, job.job.uuid).await.unwrap();
    let again = world.jobs().resume(world.caller, job.job.uuid).await;
    assert!(matches!(again, Err(JobError::WrongState { .. })), "{again:?}");
    for n in 0..4 {
        let from = n * 100_000 + 30_000;
        world.send(&job, from, &bytes[from..from + 70_000]).await.unwrap();
    }
    world.assert_ready(&job, &bytes).await;
}

/// The connection of whoever asked breaks between the record and the store: bytes must not be taken all the same.
async fn a_suspension_whose_caller_went_away_is_whole(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(Some(10)).await;
    world.send(&job, 0, b"abc").await.unwrap();
    let hold = world.rig.hold(Op::Revoke, Side::Before);
    let (jobs, caller, uuid) = (world.jobs(), world.caller, job.job.uuid);
    let asking = world.spawn(async move { jobs.suspend(caller, uuid).await });
    hold.reached().await;
    asking.abort();
    assert!(asking.await.is_err());
    world.rig.release_all();
    // Whoever comes next stands behind it.
    world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
    let refused = world.send(&job, 3, b"def").await;
    assert!(matches!(refused, Err(UploadError::NotTaking { state }) if state == USER));
}

async fn a_submission_whose_caller_went_away_is_whole(backing: Backing) {
    let world = World::new(backing).await;
    let hold = world.rig.hold(Op::Create, Side::After);
    let (jobs, caller, new) = (world.jobs(), world.caller, new_job(Some(1_000)));
    let uuid = new.uuid.unwrap();
    let asking = world.spawn(async move { jobs.submit(caller, new).await });
    hold.reached().await;
    asking.abort();
    assert!(asking.await.is_err());
    world.rig.release_all();
    // Whole or not at all: a promise or an entry without a record is neither.
    let begun = std::time::Instant::now();
    loop {
        let recorded = world.jobs().job(caller, uuid).await.is_ok();
        let entries = world.store().uploads().await.unwrap().len();
        let promised = world.uploads().promised_bytes();
        let whole = (recorded, entries, promised) == (true, 1, 1_000);
        let nothing = (recorded, entries, promised) == (false, 0, 0);
        if whole || nothing {
            break;
        }
        assert!(begun.elapsed().as_secs() < 5, "{recorded} {entries} {promised}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The finish has seen the suspension but has not left yet when the job is resumed: somebody has to finish it.
async fn a_finish_that_lost_to_a_suspension_is_begun_again(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(20_000, 2);
    let job = world.submit(Some(bytes.len())).await;
    world.rig.fail(Op::Finish, 1, StoreError::NoSpace);
    let leaving = world.rig.hold(Op::Finish, Side::Before);
    let sending = world.sending(upload_of(&job), at(0, Some(bytes.len())), whole(&bytes));
    leaving.reached().await;
    let mut resumed = 0;
    leaving.release();
    // As soon as the record says Suspended, over and over: one of these falls between the record and the end of the finish.
    for _ in 0..2_000 {
        match world.jobs().resume(world.caller, job.job.uuid).await {
            Ok(_) => resumed += 1,
            Err(JobError::WrongState { state: JobState::Succeeded, .. }) => break,
            Err(JobError::WrongState { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
        if resumed == 1 {
            break;
        }
    }
    sending.await.unwrap().unwrap();
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
}

async fn cancel_works_in_every_state_that_is_not_final(backing: Backing) {
    let mut world = World::new(backing).await;
    let silence = Duration::from_secs(31);
    for reason in [None].into_iter().chain(SuspendReason::ALL.map(Some)) {
        let job = world.submit(Some(100)).await;
        world.send(&job, 0, b"some").await.unwrap();
        match reason {
            None => {}
            Some(SuspendReason::User) => {
                world.jobs().suspend(world.caller, job.job.uuid).await.map(drop).unwrap();
            }
            Some(SuspendReason::Idle) => world.pass(silence).await,
            Some(SuspendReason::Restart) => world.crash().await,
            Some(SuspendReason::NoSpace) => {
                world.rig.fail(Op::Write, 1, StoreError::NoSpace);
                assert!(world.send(&job, 4, b"more").await.is_err());
            }
            Some(SuspendReason::IoError) => {
                let error = StoreError::Io { action: "write data", message: "no".to_owned() };
                world.rig.fail(Op::Write, 1, error);
                assert!(world.send(&job, 4, b"more").await.is_err());
            }
        }
        let state = reason.map_or(JobState::Running, JobState::Suspended);
        assert_eq!(world.state(&job).await, state);
        let silent = world.sending(upload_of(&job), at(50, Some(20)), pending_after(b"12345"));
        world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
        let now = world.job(&job).await;
        assert_eq!(now.state, JobState::Canceled, "from {state}");
        assert!(words(&now).0.contains("has been canceled"));
        world.assert_nothing_left(&job).await;
        let ended = tokio::time::timeout(Duration::from_secs(5), silent).await.unwrap().unwrap();
        assert!(
            matches!(ended, Err(UploadError::NotTaking { .. } | UploadError::Gone { .. })),
            "{ended:?}"
        );
        world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
        assert!(world.jobs().resume(world.caller, job.job.uuid).await.is_err());
        assert_eq!(world.uploads().promised_bytes(), 0);
        assert!(matches!(world.send(&job, 0, b"x").await, Err(UploadError::Gone { .. })));
        world.assert_nothing_left(&job).await;
    }
}

async fn cancel_while_verifying_and_publishing(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(20_000, 3);
    for (op, side, wins) in [
        (Op::Finish, Side::Before, true),
        (Op::Finish, Side::After, true),
        (Op::Publish, Side::Before, false),
        (Op::Publish, Side::After, false),
    ] {
        let job = world.submit(Some(bytes.len())).await;
        let hold = world.rig.hold(op, side);
        let sending = world.sending(upload_of(&job), at(0, Some(bytes.len())), whole(&bytes));
        hold.reached().await;
        let (jobs, caller, uuid) = (world.jobs(), world.caller, job.job.uuid);
        let canceling = world.spawn(async move { jobs.cancel(caller, uuid).await });
        let begun = std::time::Instant::now();
        while !matches!(world.state(&job).await, JobState::Canceling | JobState::Canceled) {
            assert!(begun.elapsed().as_secs() < 5, "{op:?}: the cancel is not recorded");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        world.rig.release_all();
        canceling.await.unwrap().unwrap();
        let verdict = sending.await.unwrap().unwrap().verdict;
        if wins {
            assert!(matches!(verdict, Some(Verdict::Stopped { .. })), "{op:?} {verdict:?}");
            world.until(&job, JobState::Canceled).await;
            world.assert_nothing_left(&job).await;
        } else {
            assert!(matches!(verdict, Some(Verdict::Ready { .. })), "{op:?} {verdict:?}");
            world.assert_ready(&job, &bytes).await;
        }
    }
}

async fn a_cancel_that_cannot_remove_is_tried_again(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(Some(100)).await;
    world.send(&job, 0, b"some").await.unwrap();
    let error = StoreError::Io { action: "remove a file", message: "no".to_owned() };
    world.rig.fail(Op::Discard, 1, error);
    assert!(world.jobs().cancel(world.caller, job.job.uuid).await.is_err());
    assert_eq!(world.state(&job).await, JobState::Canceling);
    world.pass(Duration::from_mins(1)).await;
    assert_eq!(world.state(&job).await, JobState::Canceled);
    world.assert_nothing_left(&job).await;
}

async fn only_final_jobs_are_deleted(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(5_000, 4);
    let job = world.submit(Some(bytes.len())).await;
    let (caller, uuid) = (world.caller, job.job.uuid);
    for suspended in [false, true] {
        if suspended {
            world.jobs().suspend(caller, uuid).await.unwrap();
        }
        let refused = world.jobs().delete(caller, uuid).await;
        let state = if suspended { USER } else { JobState::Running };
        assert!(
            matches!(refused, Err(JobError::WrongState { state: told, .. }) if told == state),
            "{refused:?}"
        );
    }
    world.jobs().resume(caller, uuid).await.unwrap();
    world.send(&job, 0, &bytes).await.unwrap();
    world.assert_ready(&job, &bytes).await;
    world.jobs().delete(caller, uuid).await.unwrap();
    world.jobs().delete(caller, uuid).await.unwrap();
    assert!(world.jobs().job(caller, uuid).await.is_err());
    let ready = world.uploads().ready_image(caller, job.job.image).await.expect("the image stays");
    let (image, length) = (ready.record, ready.length);
    assert_eq!((image.actual_size, length), (5_000, 5_000));
}

async fn jobs_whose_bytes_the_store_has_lost_have_a_way_out(backing: Backing) {
    let mut world = World::new(backing).await;
    let lose = async |world: &World, job| {
        let owned = Owned { key: UploadKey(upload_of(job).0), epoch: u64::MAX };
        world.store().discard(owned).await.unwrap();
    };
    // Bytes find out.
    let job = world.submit(Some(100)).await;
    world.send(&job, 0, b"some").await.unwrap();
    lose(&world, &job).await;
    let refused = world.send(&job, 4, b"more").await;
    assert!(
        matches!(
            refused,
            Err(UploadError::Gone { .. } | UploadError::Store(StoreError::NotFound { .. }))
        ),
        "{refused:?}"
    );
    let now = world.until(&job, JobState::Failed).await;
    assert!(words(&now).0.contains("lost the bytes"), "{:?}", words(&now));
    world.assert_nothing_left(&job).await;
    world.jobs().delete(world.caller, job.job.uuid).await.unwrap();

    // Resuming finds out.
    let job = world.submit(Some(100)).await;
    world.send(&job, 0, b"some").await.unwrap();
    world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
    lose(&world, &job).await;
    let _ = world.jobs().resume(world.caller, job.job.uuid).await;
    let now = world.until(&job, JobState::Failed).await;
    assert!(words(&now).0.contains("lost the bytes"), "{:?}", words(&now));
    world.assert_nothing_left(&job).await;

    // A cancel does not care.
    let job = world.submit(Some(100)).await;
    lose(&world, &job).await;
    world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
    assert_eq!(world.state(&job).await, JobState::Canceled);
    world.jobs().delete(world.caller, job.job.uuid).await.unwrap();

    // A restart finds out, also of one that a user suspended.
    let job = world.submit(Some(100)).await;
    world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
    lose(&world, &job).await;
    world.crash().await;
    assert!(words(&world.job(&job).await).0.contains("lost the bytes"));
    assert_eq!(world.state(&job).await, JobState::Failed);
    world.jobs().delete(world.caller, job.job.uuid).await.unwrap();
    assert_eq!(world.uploads().promised_bytes(), 0);
}

/// The uuid of the image is free as soon as the first job has failed; its bytes must go all the same.
async fn a_failure_removes_its_bytes_though_the_image_has_a_new_job(backing: Backing) {
    let mut settings = Settings::default();
    settings.uploads.finish_wait = Duration::from_millis(20);
    let world = World::with(backing, &settings).await;
    let bytes = content(5_000, 5);
    let mut new = new_job(Some(bytes.len()));
    new.expected.md5 = Some([1; 16]);
    let mut second = new.clone();
    second.uuid = None;
    second.expected.md5 = None;
    let first = world.jobs().submit(world.caller, new).await.unwrap();
    let hold = world.rig.hold(Op::Discard, Side::Before);
    world.send(&first, 0, &bytes).await.unwrap();
    hold.reached().await;
    world.until(&first, JobState::Failed).await;
    let second = world.jobs().submit(world.caller, second).await.unwrap();
    world.rig.release_all();
    let key = UploadKey(upload_of(&first).0);
    let begun = std::time::Instant::now();
    while world.store().uploads().await.unwrap().contains(&key) {
        assert!(begun.elapsed().as_secs() < 5, "the bytes of the first stay");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.send(&second, 0, &bytes).await.unwrap();
    world.until(&second, JobState::Succeeded).await;
    world.assert_ready(&second, &bytes).await;
}
