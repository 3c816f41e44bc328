//! Silence: what suspends, what fails, and what wakes a job again.

use std::time::Duration;

use longshore::{
    domain::{
        clock::Clock,
        job_state::{JobState, SuspendReason},
        upload::UploadFate,
    },
    uploads::{Slice, StoreError, UploadError},
};

use super::{
    bodies::{content, fed, pending_after, whole},
    on_all,
    rigged::{Op, Side},
    world::{Backing, World, at, upload_of, words},
};

on_all! {
    silence_after_a_byte_suspends_and_bytes_resume
    a_job_without_a_byte_fails
    a_first_byte_at_the_last_moment_is_kept_or_refused
    a_slice_that_is_refused_fixes_no_length
    a_suspension_without_a_byte_is_not_a_byte
    bytes_of_a_running_request_resume
    a_clock_that_is_set_back_does_not_stop_the_idle_clock
    one_job_that_fails_to_move_does_not_keep_the_others
    every_reason_but_the_users_is_ended_by_bytes
    what_was_not_written_down_to_the_end_is_written_by_the_next
}

const SILENCE: Duration = Duration::from_secs(31);

async fn silence_after_a_byte_suspends_and_bytes_resume(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(50_000, 1);
    let job = world.submit(Some(bytes.len())).await;
    world.send(&job, 0, &bytes[..20_000]).await.unwrap();
    world.pass(Duration::from_secs(29)).await;
    assert_eq!(world.state(&job).await, JobState::Running);
    world.pass(Duration::from_secs(2)).await;
    let now = world.job(&job).await;
    assert_eq!(now.state, JobState::Suspended(SuspendReason::Idle));
    assert!(words(&now).1.contains("inactive more than 30 sec"), "{:?}", words(&now));
    assert!(now.waits_for.is_some());
    assert_eq!(world.offset(&job).await, 20_000);
    world.send(&job, 20_000, &bytes[20_000..30_000]).await.unwrap();
    let now = world.job(&job).await;
    assert_eq!(now.state, JobState::Running, "bytes resume by themselves");
    assert_eq!(now.result, Some(longshore::domain::job::JobResult::Event));
    world.send(&job, 30_000, &bytes[30_000..]).await.unwrap();
    world.assert_ready(&job, &bytes).await;
}

async fn a_job_without_a_byte_fails(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(Some(10)).await;
    world.pass(Duration::from_secs(3590)).await;
    assert_eq!(world.state(&job).await, JobState::Running, "a person may take an hour");
    world.pass(Duration::from_secs(20)).await;
    let now = world.job(&job).await;
    assert_eq!(now.state, JobState::Failed);
    assert!(words(&now).0.contains("upload session expired"), "{:?}", words(&now));
    world.assert_nothing_left(&job).await;
    assert_eq!(world.uploads().promised_bytes(), 0);
    let late = world.send(&job, 0, b"x").await;
    assert!(matches!(late, Err(UploadError::Gone { fate: UploadFate::Expired })), "{late:?}");
}

/// The look for bytes has found none, and before the job fails the first one comes: acknowledged it must not be lost.
async fn a_first_byte_at_the_last_moment_is_kept_or_refused(backing: Backing) {
    let world = World::new(backing).await;
    for side in [Side::Before, Side::After] {
        let job = world.submit(Some(10)).await;
        world.clock.advance_ms(3_601_000);
        let looking = world.rig.hold(Op::State, side);
        let (jobs, now_ms) = (world.jobs(), world.clock.now_ms());
        let silent = world.spawn(async move { jobs.suspend_silent(now_ms).await });
        looking.reached().await;
        let first = world.sending(upload_of(&job), at(0, Some(3)), whole(b"abc"));
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.rig.release_all();
        silent.await.unwrap().unwrap();
        match first.await.unwrap() {
            Ok(_) => {
                assert_eq!(world.state(&job).await, JobState::Running, "{side:?}");
                assert_eq!(world.offset(&job).await, 3, "{side:?}: an acknowledged byte is lost");
            }
            Err(refused) => {
                assert!(
                    matches!(
                        refused,
                        UploadError::Gone { .. }
                            | UploadError::NotTaking { state: JobState::Failed }
                    ),
                    "{side:?}: {refused:?}"
                );
                assert_eq!(world.state(&job).await, JobState::Failed);
                world.assert_nothing_left(&job).await;
            }
        }
    }
}

/// It has passed the gate when the user suspends, and names a length: that of the next slice stands.
async fn a_slice_that_is_refused_fixes_no_length(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(None).await;
    let claiming = world.rig.hold(Op::Write, Side::Before);
    let wrong = Slice { total: Some(77), ..at(0, Some(3)) };
    let refused = world.sending(upload_of(&job), wrong, whole(b"abc"));
    claiming.reached().await;
    world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
    world.rig.release_all();
    let refused = refused.await.unwrap();
    assert!(matches!(refused, Err(UploadError::NotTaking { .. })), "{refused:?}");
    let status = world.uploads().status(upload_of(&job)).await.unwrap();
    assert_eq!((status.length, status.record.declared_length), (None, None));
    world.jobs().resume(world.caller, job.job.uuid).await.unwrap();
    let right = Slice { total: Some(3), ..at(0, Some(3)) };
    world.sending(upload_of(&job), right, whole(b"abc")).await.unwrap().unwrap();
    world.assert_ready(&job, b"abc").await;
}

/// Suspending and resuming by hand writes offsets down; that must not look as if a byte had come, also after a restart.
async fn a_suspension_without_a_byte_is_not_a_byte(backing: Backing) {
    let mut world = World::new(backing).await;
    let job = world.submit(Some(10)).await;
    world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
    world.jobs().resume(world.caller, job.job.uuid).await.unwrap();
    world.pass(SILENCE).await;
    assert_eq!(world.state(&job).await, JobState::Running, "the idle clock runs from a first byte");
    world.crash().await;
    world.pass(Duration::from_hours(1)).await;
    assert_eq!(world.state(&job).await, JobState::Failed);
}

/// One request of a large image may be silent for a while and go on; the job must not look idle for the rest of it.
async fn bytes_of_a_running_request_resume(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(50_000, 2);
    let job = world.submit(Some(bytes.len())).await;
    let (feed, body) = fed();
    let sending = world.sending(upload_of(&job), at(0, Some(bytes.len())), body);
    feed.send(bytes[..10_000].to_vec()).unwrap();
    while world.uploads().touched(upload_of(&job)).unwrap().last_byte_ms().is_none() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    world.pass(SILENCE).await;
    assert_eq!(world.state(&job).await, JobState::Suspended(SuspendReason::Idle));
    feed.send(bytes[10_000..30_000].to_vec()).unwrap();
    world.until(&job, JobState::Running).await;
    feed.send(bytes[30_000..].to_vec()).unwrap();
    drop(feed);
    sending.await.unwrap().unwrap();
    world.assert_ready(&job, &bytes).await;
}

async fn a_clock_that_is_set_back_does_not_stop_the_idle_clock(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(Some(10)).await;
    world.send(&job, 0, b"x").await.unwrap();
    world.clock.advance_ms(-86_400_000);
    world.pass(Duration::ZERO).await;
    world.pass(SILENCE).await;
    assert_eq!(world.state(&job).await, JobState::Suspended(SuspendReason::Idle));
}

async fn one_job_that_fails_to_move_does_not_keep_the_others(backing: Backing) {
    let world = World::new(backing).await;
    let mut jobs = Vec::new();
    for _ in 0..4 {
        let job = world.submit(Some(10)).await;
        world.send(&job, 0, b"x").await.unwrap();
        jobs.push(job);
    }
    let broken = &jobs[0].job.uuid;
    if backing == Backing::LocalOnPostgres {
        world.test_db.sabotage("ALTER TABLE long_job DROP CONSTRAINT long_job_stage").await;
    }
    world
        .test_db
        .sabotage(&format!("UPDATE long_job SET stage = 'dreaming' WHERE uuid = '{broken}'"))
        .await;
    world.clock.advance_ms(31_000);
    let _ = world.jobs().suspend_silent(world.clock.now_ms()).await;
    for job in &jobs[1..] {
        assert_eq!(world.state(job).await, JobState::Suspended(SuspendReason::Idle));
    }
}

async fn every_reason_but_the_users_is_ended_by_bytes(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(40_000, 3);
    let job = world.submit(Some(bytes.len())).await;
    world.send(&job, 0, &bytes[..1_000]).await.unwrap();

    world.crash().await;
    assert_eq!(world.state(&job).await, JobState::Suspended(SuspendReason::Restart));
    world.send(&job, 1_000, &bytes[1_000..2_000]).await.unwrap();
    assert_eq!(world.state(&job).await, JobState::Running);

    let io = StoreError::Io { action: "write data", message: "bad sector".to_owned() };
    for (error, reason, at) in
        [(StoreError::NoSpace, SuspendReason::NoSpace, 2_000), (io, SuspendReason::IoError, 3_000)]
    {
        world.rig.fail(Op::Acknowledge, 1, error);
        assert!(world.send(&job, at, &bytes[at..at + 1_000]).await.is_err());
        let now = world.job(&job).await;
        assert_eq!(now.state, JobState::Suspended(reason));
        assert!(now.waits_for.is_some() && !words(&now).1.is_empty());
        world.send(&job, at, &bytes[at..at + 1_000]).await.unwrap();
        assert_eq!(world.state(&job).await, JobState::Running);
    }

    world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
    let refused = world.sending(upload_of(&job), at(4_000, Some(10)), pending_after(b"12345"));
    let refused = refused.await.unwrap();
    let user = JobState::Suspended(SuspendReason::User);
    assert!(matches!(refused, Err(UploadError::NotTaking { state }) if state == user));
    assert_eq!(world.offset(&job).await, 4_000);
    world.jobs().resume(world.caller, job.job.uuid).await.unwrap();
    world.send(&job, 4_000, &bytes[4_000..]).await.unwrap();
    world.assert_ready(&job, &bytes).await;
}

/// An orderly stop drops housekeeping where it stands, and then writes down what is left.
async fn what_was_not_written_down_to_the_end_is_written_by_the_next(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(Some(20)).await;
    // A busy machine may let the records answer while the first look at them lasts; not every time.
    let mut dropped_half_way = 0;
    for (n, byte) in [b"a", b"b", b"c"].into_iter().enumerate() {
        world.send(&job, n, byte).await.unwrap();
        let uploads = world.uploads();
        let mut dropped = Box::pin(uploads.write_down());
        dropped_half_way += usize::from(futures::poll!(&mut dropped).is_pending());
        drop(dropped);
        uploads.write_down().await.unwrap();
        let record = world.db.upload(upload_of(&job)).await.unwrap().unwrap();
        assert_eq!(record.offset_cached, n as u64 + 1);
    }
    assert!(dropped_half_way > 0, "each was over at once");
    // Two at once: neither returns before it is there.
    world.send(&job, 3, b"d").await.unwrap();
    let uploads = world.uploads();
    let mut first = Box::pin(uploads.write_down());
    let begun = futures::poll!(&mut first);
    let second = async {
        uploads.write_down().await.unwrap();
        world.db.upload(upload_of(&job)).await.unwrap().unwrap().offset_cached
    };
    let offset = if begun.is_pending() {
        let (first, offset) = futures::join!(first, second);
        first.unwrap();
        offset
    } else {
        second.await
    };
    assert_eq!(offset, 4);
}
