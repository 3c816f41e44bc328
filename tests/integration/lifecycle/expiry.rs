//! Seven days after the last byte, and not a moment after the first.

use std::time::Duration;

use longshore::{
    domain::{
        clock::Clock,
        job_state::{JobState, SuspendReason},
        upload::UploadFate,
    },
    uploads::UploadError,
};

use super::{
    bodies::content,
    on_all,
    rigged::{Op, Side},
    world::{Backing, Settings, World, at, upload_of, words},
};

on_all! {
    expiry_counts_from_the_last_byte
    what_a_user_suspended_expires_as_well
    a_complete_upload_is_finished_and_not_expired
    one_that_cannot_be_removed_does_not_keep_the_others
    bytes_that_the_records_missed_are_bytes
    a_clock_that_is_set_forward_expires_nothing_at_once
    a_start_with_a_clock_far_ahead_expires_nothing_at_once
    a_clock_that_is_set_while_housekeeping_waits_expires_nothing
    a_complete_upload_whose_record_missed_its_end_is_finished
}

const DAY: Duration = Duration::from_hours(24);

async fn expiry_counts_from_the_last_byte(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(20, 1);
    let job = world.submit(Some(bytes.len())).await;
    // A slow upload of three weeks is none that expires.
    for n in 0..4 {
        world.send(&job, n, &bytes[n..=n]).await.unwrap();
        world.pass(DAY * 6).await;
        assert_eq!(world.state(&job).await, JobState::Suspended(SuspendReason::Idle));
    }
    world.crash().await;
    world.pass(DAY.saturating_sub(Duration::from_secs(5))).await;
    assert_eq!(world.offset(&job).await, 4);
    world.pass(Duration::from_secs(10)).await;
    let now = world.job(&job).await;
    assert_eq!(now.state, JobState::Failed);
    assert!(words(&now).0.contains("expired"), "{:?}", words(&now));
    world.assert_nothing_left(&job).await;
    assert_eq!(world.uploads().promised_bytes(), 0);
    let record = world.db.upload(upload_of(&job)).await.unwrap().unwrap();
    assert_eq!(record.fate, UploadFate::Expired);
    let expired =
        |answer: &UploadError| matches!(answer, UploadError::Gone { fate: UploadFate::Expired });
    assert!(expired(&world.uploads().status(upload_of(&job)).await.unwrap_err()));
    assert!(expired(&world.send(&job, 4, &bytes[4..]).await.unwrap_err()));
}

async fn what_a_user_suspended_expires_as_well(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(Some(20)).await;
    world.send(&job, 0, b"abc").await.unwrap();
    world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
    world.pass(DAY * 8).await;
    assert_eq!(world.state(&job).await, JobState::Failed);
    world.assert_nothing_left(&job).await;
}

/// The service was down for longer than an upload lives; this one only waited for the service.
async fn a_complete_upload_is_finished_and_not_expired(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(5_000, 2);
    let job = world.submit(Some(bytes.len())).await;
    let hold = world.rig.hold(Op::Finish, Side::Before);
    let slice = super::world::at(0, Some(bytes.len()));
    let _lost = world.sending(upload_of(&job), slice, super::bodies::whole(&bytes));
    hold.reached().await;
    world.uploads().write_down().await.unwrap();
    world.kill().await;
    let recovered = world.boot().await;
    world.pass(DAY * 8).await;
    world.recover(recovered).await;
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
}

async fn one_that_cannot_be_removed_does_not_keep_the_others(backing: Backing) {
    let world = World::new(backing).await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        let job = world.submit(Some(20)).await;
        world.send(&job, 0, b"abc").await.unwrap();
        jobs.push(job);
    }
    let error = longshore::uploads::StoreError::Io { action: "remove", message: "no".to_owned() };
    world.rig.fail(Op::Discard, 1, error);
    world.pass(DAY * 8).await;
    for job in &jobs {
        assert_eq!(world.state(job).await, JobState::Failed);
        assert!(world.uploads().touched(upload_of(job)).is_none(), "it is left in memory");
    }
    assert_eq!(world.uploads().promised_bytes(), 0, "a reservation is left");
    // What could not be removed is removed at the latest by the next look for strays.
    world.uploads().reconcile_store().await.unwrap();
    for job in &jobs {
        world.assert_nothing_left(job).await;
    }
}

/// Killed between an acknowledgement and the next time that is written down: the record has no byte, the store does.
async fn bytes_that_the_records_missed_are_bytes(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(20_000, 5);
    let (job, unused) = (world.submit(Some(bytes.len())).await, world.submit(Some(10)).await);
    world.send(&job, 0, &bytes[..10_000]).await.unwrap();
    world.crash().await;
    let record = world.db.upload(upload_of(&job)).await.unwrap().unwrap();
    assert_eq!(record.last_byte_ms, None, "this is about bytes that were not written down");
    world.pass(DAY * 2).await;
    assert_eq!(world.state(&unused).await, JobState::Failed);
    assert_eq!(world.offset(&job).await, 10_000);
    assert_eq!(world.state(&job).await, JobState::Suspended(SuspendReason::Restart));
    // The week begins when they were found.
    world.pass(DAY * 6).await;
    assert_eq!(world.offset(&job).await, 10_000);
    world.jobs().resume(world.caller, job.job.uuid).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    world.send(&job, 10_000, &bytes[10_000..]).await.unwrap();
    world.assert_ready(&job, &bytes).await;
}

/// Eight days in a minute: the clock was set. Neither uploads nor deleted images go by it, until it has stood for a day.
async fn a_clock_that_is_set_forward_expires_nothing_at_once(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(5_000, 6);
    let deleted = world.submit(Some(bytes.len())).await;
    world.send(&deleted, 0, &bytes).await.unwrap();
    world.jobs().delete_image(world.caller, deleted.job.image, false, &[]).await.unwrap();
    let (begun, unused) = (world.submit(Some(20)).await, world.submit(Some(20)).await);
    world.send(&begun, 0, b"abc").await.unwrap();
    let minute = Duration::from_mins(1);
    let look = |steady: Duration| world.jobs().look_at_clock(world.clock.now_ms(), steady);
    look(Duration::ZERO);
    world.clock.advance_ms(8 * 86_400_000);
    look(minute);
    world.pass(Duration::ZERO).await;
    world.jobs().purge(world.clock.now_ms()).await.unwrap();
    assert_eq!(world.state(&begun).await, JobState::Suspended(SuspendReason::Idle));
    assert_eq!(world.state(&unused).await, JobState::Running);
    let image = world.db.image(deleted.job.image, longshore::domain::account::Scope::All).await;
    assert!(image.unwrap().is_some(), "it is kept for 72 hours, and those are not over");

    // Negative control: what has stood for a day is so.
    world.clock.advance_ms(86_400_000);
    look(minute + DAY);
    world.pass(Duration::ZERO).await;
    world.jobs().purge(world.clock.now_ms()).await.unwrap();
    for job in [&begun, &unused] {
        assert_eq!(world.state(job).await, JobState::Failed);
    }
    let image = world.db.image(deleted.job.image, longshore::domain::account::Scope::All).await;
    assert!(image.unwrap().is_none());
}

/// The round that suspends the silent, and used to be the one to look at the clock, waits for a disk; the sweep goes on.
async fn a_start_with_a_clock_far_ahead_expires_nothing_at_once(backing: Backing) {
    let mut world = World::new(backing).await;
    let begun = world.submit(Some(20)).await;
    world.send(&begun, 0, b"abc").await.unwrap();
    world.uploads().write_down().await.unwrap();
    world.clock.advance_ms(30 * 86_400_000);
    world.crash().await;
    world.pass(Duration::ZERO).await;
    assert_eq!(world.offset(&begun).await, 3, "nobody can tell whether the month is over");
    // What begins now is as old as it is.
    let unused = world.submit(Some(20)).await;
    world.pass(Duration::from_hours(2)).await;
    assert_eq!(world.state(&unused).await, JobState::Failed);
    // Negative control: the clock has stood for a day.
    world.jobs().look_at_clock(world.clock.now_ms(), Duration::ZERO);
    world.clock.advance_ms(86_400_000);
    world.jobs().look_at_clock(world.clock.now_ms(), DAY);
    world.pass(Duration::ZERO).await;
    assert_eq!(world.state(&begun).await, JobState::Failed);
}

async fn a_clock_that_is_set_while_housekeeping_waits_expires_nothing(backing: Backing) {
    let mut settings = Settings::default();
    settings.jobs.tick = Duration::from_millis(10);
    let world = World::with(backing, &settings).await;
    world.jobs().spawn_supervisor();
    let scheduler = world.scheduler();
    scheduler.ensure_defaults(world.caller.account).await.unwrap();
    scheduler.spawn();
    // The first sweep is over; the next comes when a minute has passed.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (idle, kept, swept) =
        (world.submit(Some(20)).await, world.submit(Some(20)).await, world.submit(Some(20)).await);
    for job in [&idle, &kept] {
        world.send(job, 0, b"abc").await.unwrap();
    }
    world.jobs().suspend(world.caller, kept.job.uuid).await.unwrap();
    let error = longshore::uploads::StoreError::Io { action: "remove", message: "no".to_owned() };
    world.rig.fail(Op::Discard, 1, error);
    assert!(world.jobs().cancel(world.caller, swept.job.uuid).await.is_err());
    assert_eq!(world.state(&swept).await, JobState::Canceling);

    let slow_disk = world.rig.hold(Op::State, Side::Before);
    world.clock.advance_ms(31_000);
    slow_disk.reached().await;
    world.clock.advance_ms(8 * 86_400_000);
    // The sweep has come by.
    world.until(&swept, JobState::Canceled).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.state(&kept).await, JobState::Suspended(SuspendReason::User));
    world.rig.release_all();
    assert_eq!(world.offset(&kept).await, 3);
}

/// Killed between the last acknowledgement and the moment when that is written down, and then recovery failed.
async fn a_complete_upload_whose_record_missed_its_end_is_finished(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(5_000, 7);
    let job = world.submit(Some(bytes.len())).await;
    world.send(&job, 0, &bytes[..10]).await.unwrap();
    world.uploads().write_down().await.unwrap();
    let hold = world.rig.hold(Op::Acknowledge, Side::After);
    let rest = super::bodies::whole(&bytes[10..]);
    let _lost = world.sending(upload_of(&job), at(10, Some(bytes.len() - 10)), rest);
    hold.reached().await;
    world.kill().await;
    let _not_recovered = world.boot().await;
    let record = world.db.upload(upload_of(&job)).await.unwrap().unwrap();
    assert_eq!(record.offset_cached, 10, "this is about bytes that were not written down");
    world.pass(DAY * 8).await;
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
}
