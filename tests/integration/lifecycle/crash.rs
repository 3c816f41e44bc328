//! The process ends without warning, at every step of finishing and in every state.

use longshore::domain::{
    account::Scope,
    job::Stage,
    job_state::{JobState, SuspendReason},
    upload::UploadFate,
};
use longshore_storage::{Owned, UploadKey, UploadSpec};

use super::{
    bodies::{content, pending_after, whole},
    on_all,
    rigged::{Op, Side},
    world::{Backing, World, at, new_job, upload_of, words},
};

on_all! {
    every_step_of_finishing_ends_in_the_same_image
    a_cancel_after_a_crash_in_publishing_leaves_no_image
    bytes_find_the_image_before_recovery_does
    states_come_back_as_they_should
    strays_are_set_aside_and_ended_ones_removed
    a_submission_is_not_taken_for_a_stray
    a_length_that_only_the_store_knows_is_enough
    promises_are_rebuilt
}

async fn every_step_of_finishing_ends_in_the_same_image(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(50_000, 1);
    for (op, side, stage) in [
        (Op::Acknowledge, Side::After, Stage::Receiving),
        (Op::Finish, Side::Before, Stage::Verifying),
        (Op::Finish, Side::After, Stage::Verifying),
        (Op::Publish, Side::Before, Stage::Publishing),
        (Op::Publish, Side::After, Stage::Publishing),
    ] {
        let job = world.submit(Some(bytes.len())).await;
        let hold = world.rig.hold(op, side);
        let _lost = world.sending(upload_of(&job), at(0, Some(bytes.len())), whole(&bytes));
        hold.reached().await;
        assert_eq!(world.job(&job).await.stage, stage, "{op:?} {side:?}");
        world.kill().await;
        let recovered = world.boot().await;
        let restarted = JobState::Suspended(SuspendReason::Restart);
        assert_eq!(world.state(&job).await, restarted);
        let status = world.uploads().status(upload_of(&job)).await.unwrap();
        assert_eq!(status.offset, 50_000, "{op:?} {side:?}: nothing is asked for again");
        world.recover(recovered).await;
        world.until(&job, JobState::Succeeded).await;
        world.assert_ready(&job, &bytes).await;
        let record = world.db.upload(upload_of(&job)).await.unwrap().unwrap();
        assert_eq!(record.fate, UploadFate::Published);
        assert!(world.send(&job, 0, &bytes).await.unwrap().duplicate, "a replay is answered");
        assert_eq!(world.uploads().promised_bytes(), 0);
    }
}

/// The bytes have become an image that no record will ever name.
async fn a_cancel_after_a_crash_in_publishing_leaves_no_image(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(50_000, 2);
    let job = world.submit(Some(bytes.len())).await;
    let hold = world.rig.hold(Op::Publish, Side::After);
    let _lost = world.sending(upload_of(&job), at(0, Some(bytes.len())), whole(&bytes));
    hold.reached().await;
    world.kill().await;
    let recovered = world.boot().await;
    world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
    world.recover(recovered).await;
    assert_eq!(world.state(&job).await, JobState::Canceled);
    world.assert_nothing_left(&job).await;
}

/// A client that sends again is faster than the recovery: it must not be told that the upload is lost.
async fn bytes_find_the_image_before_recovery_does(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(50_000, 3);
    let job = world.submit(Some(bytes.len())).await;
    let hold = world.rig.hold(Op::Publish, Side::After);
    let _lost = world.sending(upload_of(&job), at(0, Some(bytes.len())), whole(&bytes));
    hold.reached().await;
    world.kill().await;
    let recovered = world.boot().await;
    let answered = world.send(&job, 40_000, &bytes[40_000..]).await.unwrap();
    assert!(answered.duplicate);
    world.until(&job, JobState::Succeeded).await;
    world.recover(recovered).await;
    world.assert_ready(&job, &bytes).await;
}

async fn states_come_back_as_they_should(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(50_000, 4);
    let running = world.submit(Some(bytes.len())).await;
    world.send(&running, 0, &bytes[..20_000]).await.unwrap();
    let _in_flight = world.sending(
        upload_of(&running),
        at(20_000, Some(30_000)),
        pending_after(&bytes[20_000..20_009]),
    );
    let held = world.submit(Some(bytes.len())).await;
    world.send(&held, 0, &bytes[..49_999]).await.unwrap();
    // The last byte comes, and the user suspends before anybody finishes it.
    let hold = world.rig.hold(Op::Acknowledge, Side::After);
    let last = world.sending(upload_of(&held), at(49_999, Some(1)), whole(&bytes[49_999..]));
    hold.reached().await;
    world.jobs().suspend(world.caller, held.job.uuid).await.unwrap();
    last.abort();
    let canceling = world.submit(Some(bytes.len())).await;
    world.rig.release_all();
    let hold = world.rig.hold(Op::Discard, Side::Before);
    let (jobs, caller, uuid) = (world.jobs(), world.caller, canceling.job.uuid);
    let _lost = world.spawn(async move { jobs.cancel(caller, uuid).await });
    hold.reached().await;
    assert_eq!(world.state(&canceling).await, JobState::Canceling);

    world.crash().await;
    assert_eq!(world.state(&running).await, JobState::Suspended(SuspendReason::Restart));
    assert!(words(&world.job(&running).await).1.contains("restarted"));
    assert!(world.offset(&running).await >= 20_000);
    assert_eq!(world.state(&canceling).await, JobState::Canceled);
    world.assert_nothing_left(&canceling).await;
    let user = JobState::Suspended(SuspendReason::User);
    assert_eq!(world.state(&held).await, user, "complete, but the user said no");
    world.pass(std::time::Duration::from_secs(120)).await;
    assert_eq!(world.state(&held).await, user);
    world.jobs().resume(world.caller, held.job.uuid).await.unwrap();
    world.until(&held, JobState::Succeeded).await;
    world.assert_ready(&held, &bytes).await;
    world.send(&running, 20_000, &bytes[20_000..]).await.unwrap();
    world.assert_ready(&running, &bytes).await;
}

async fn strays_are_set_aside_and_ended_ones_removed(backing: Backing) {
    let mut world = World::new(backing).await;
    let stray = UploadKey(uuid::Uuid::new_v4());
    let spec =
        UploadSpec { declared_length: Some(5), digests: longshore::uploads::DigestChoice::BOTH };
    world.store().create(Owned { key: stray, epoch: 1 }, spec).await.unwrap();
    // Failed, and the crash comes before the bytes are removed.
    let mut new = new_job(Some(3));
    new.expected.md5 = Some([1; 16]);
    let failed = world.jobs().submit(world.caller, new).await.unwrap();
    let hold = world.rig.hold(Op::Discard, Side::Before);
    let _lost = world.sending(upload_of(&failed), at(0, Some(3)), whole(b"abc"));
    hold.reached().await;
    world.until(&failed, JobState::Failed).await;
    let open = world.submit(Some(100)).await;
    world.crash().await;
    world.assert_nothing_left(&failed).await;
    let left = world.store().uploads().await.unwrap();
    assert_eq!(left, vec![UploadKey(upload_of(&open).0)]);
    let purged = world.store().purge_set_aside(std::time::Duration::ZERO).await.unwrap();
    let name = stray.to_string();
    assert!(
        !purged.is_empty() && purged.iter().all(|(file, _)| file.contains(&name)),
        "the stray, and it alone, was set aside: {purged:?}"
    );
}

/// Recovery looks for strays while requests are served: an entry whose record is being written is none.
async fn a_submission_is_not_taken_for_a_stray(backing: Backing) {
    let world = World::new(backing).await;
    let hold = world.rig.hold(Op::Create, Side::After);
    let (jobs, caller, new) = (world.jobs(), world.caller, new_job(Some(3)));
    let submitting = world.spawn(async move { jobs.submit(caller, new).await });
    hold.reached().await;
    world.uploads().reconcile_store().await.unwrap();
    hold.release();
    let job = submitting.await.unwrap().unwrap();
    world.send(&job, 0, b"abc").await.unwrap();
    world.assert_ready(&job, b"abc").await;
}

/// The crash comes between the store and the record: the client, which said it once, need not say it again.
async fn a_length_that_only_the_store_knows_is_enough(backing: Backing) {
    let mut world = World::new(backing).await;
    let job = world.submit(None).await;
    world.send(&job, 0, b"ab").await.unwrap();
    let hold = world.rig.hold(Op::Declare, Side::After);
    let slice = longshore::uploads::Slice { total: Some(4), ..at(2, Some(1)) };
    let _lost = world.sending(upload_of(&job), slice, whole(b"c"));
    hold.reached().await;
    world.crash().await;
    let record = world.db.upload(upload_of(&job)).await.unwrap().unwrap();
    assert_eq!(record.declared_length, None, "the record missed it");
    world.send(&job, 2, b"cd").await.unwrap();
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, b"abcd").await;
}

async fn promises_are_rebuilt(backing: Backing) {
    let mut world = World::new(backing).await;
    let known = world.submit(Some(1_000_000)).await;
    world.send(&known, 0, &content(300_000, 5)).await.unwrap();
    let unknown = world.submit(None).await;
    world.send(&unknown, 0, b"abc").await.unwrap();
    let ended = world.submit(Some(70)).await;
    world.jobs().cancel(world.caller, ended.job.uuid).await.unwrap();
    world.uploads().write_down().await.unwrap();
    let before = world.uploads().promised_bytes();
    assert_eq!(before, 700_000 + (1 << 30));
    world.crash().await;
    assert_eq!(world.uploads().promised_bytes(), before);
    assert!(world.db.job(ended.job.uuid, Scope::All).await.unwrap().is_some());
}
