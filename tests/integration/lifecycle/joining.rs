//! Partial uploads, and what is joined from them.

use std::time::Duration;

use longshore::{
    domain::{
        clock::Clock as _,
        ids::UploadUuid,
        job::Stage,
        job_state::{JobState, SuspendReason},
        upload::{UploadFate, UploadRecord},
    },
    jobs::{JobError, JobView},
    uploads::{Append, PartFault, PartialStatus, StoreError, Takeover, UploadError, UploadKey},
};

use super::{
    bodies::{broken_after, content, whole},
    on_all,
    rigged::{Op, Side},
    world::{Backing, Settings, World, at, new_job, upload_of, words},
};

on_all! {
    parts_become_one_image_and_are_gone
    every_copy_that_fails_once_heals
    a_part_that_can_never_be_read_ends_its_job
    a_crash_while_joining_goes_on
    a_crash_after_joining_goes_on
    suspended_and_resumed_while_joining
    canceled_while_joining_leaves_nothing
    what_cannot_be_joined_is_refused_and_stays
    of_two_that_join_the_same_parts_one_does
    asked_twice_at_once_for_the_same_one_is_made
    asked_again_with_other_metadata_is_another_wish
    a_partial_upload_is_continued_where_it_stands
    partial_uploads_expire_and_are_forgotten
    partial_uploads_hold_room_and_a_place
}

pub(super) const A_MINUTE: Duration = Duration::from_secs(61);

pub(super) async fn partial(world: &World, length: usize) -> UploadRecord {
    world.jobs().create_partial(world.caller, Some(length as u64), None).await.unwrap()
}

pub(super) async fn append(
    world: &World,
    part: &UploadRecord,
    offset: usize,
    bytes: &[u8],
) -> Result<PartialStatus, UploadError> {
    let append = Append {
        slice: at(offset, Some(bytes.len())),
        takeover: Takeover::Silent,
        ends_if_longer: false,
    };
    world.uploads().append_partial(part.uuid, append, whole(bytes)).await
}

/// Three parts that are these bytes, one of them empty.
pub(super) async fn parts_of(world: &World, bytes: &[u8]) -> Vec<UploadRecord> {
    let middle = bytes.len() / 3;
    let mut parts = Vec::new();
    for piece in [&bytes[..middle], &[], &bytes[middle..]] {
        let part = partial(world, piece.len()).await;
        let status = append(world, &part, 0, piece).await.unwrap();
        assert_eq!((status.offset, status.length), (piece.len() as u64, Some(status.offset)));
        parts.push(part);
    }
    parts
}

fn uuids(parts: &[UploadRecord]) -> Vec<UploadUuid> {
    parts.iter().map(|part| part.uuid).collect()
}

pub(super) async fn join(world: &World, parts: &[UploadRecord]) -> Result<JobView, JobError> {
    let new = longshore::jobs::NewJob { uuid: None, ..new_job(None) };
    let record = world.jobs().submit_joined(world.caller, new, uuids(parts)).await?;
    world.jobs().job(world.caller, record.job).await
}

/// Nothing is left of the parts, and no room is held for them. Their end comes a moment before or after that of the job.
pub(super) async fn are_gone(world: &World, parts: &[UploadRecord]) {
    let begun = std::time::Instant::now();
    for part in parts {
        let key = UploadKey(part.uuid.0);
        while world.store().state(key).await.is_ok() || world.uploads().touched(part.uuid).is_some()
        {
            assert!(begun.elapsed() < Duration::from_secs(20), "a part is left");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        match world.uploads().settled_partial(part.uuid).await {
            // It is in an image.
            Ok(status) => {
                assert_eq!(status.length, part.declared_length);
                assert_eq!(status.length, Some(status.offset));
            }
            Err(error) => assert!(matches!(error, UploadError::Gone { .. }), "{error:?}"),
        }
    }
    assert_eq!(world.uploads().promised_bytes(), 0);
}

/// Whoever has lost the answer finds nothing missing in any part, and takes none away.
pub(super) async fn are_told_as_whole(world: &World, parts: &[UploadRecord]) {
    for part in parts {
        let length = part.declared_length.unwrap();
        let status = world.uploads().settled_partial(part.uuid).await.unwrap();
        assert_eq!((status.offset, status.length), (length, Some(length)));
        let nothing = append(world, part, usize::try_from(length).unwrap(), &[]).await.unwrap();
        assert_eq!(nothing.offset, length);
        let wrong = append(world, part, 1_000_000, &[1]).await;
        assert!(
            matches!(wrong, Err(UploadError::WrongOffset { expected }) if expected == length),
            "{wrong:?}"
        );
        let more = append(world, part, usize::try_from(length).unwrap(), &[1]).await;
        let beyond = matches!(more, Err(UploadError::Overlong { length: told, offset })
            if told == length && offset == length);
        assert!(beyond, "{more:?}");
        let removed = world.jobs().discard_partial(part).await;
        assert!(matches!(removed, Err(JobError::Upload(UploadError::PartInUse))), "{removed:?}");
    }
}

async fn parts_become_one_image_and_are_gone(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(70_001, 1);
    let parts = parts_of(&world, &bytes).await;
    let held = world.rig.hold(Op::Copy, Side::Before);
    let job = join(&world, &parts).await.unwrap();
    held.reached().await;
    // Answered at once; room is held for the copy.
    let now = world.job(&job).await;
    assert_eq!((now.state, now.stage), (JobState::Running, Stage::Joining));
    assert_eq!(world.uploads().promised_bytes(), 70_001);
    let status = world.uploads().status(upload_of(&job)).await.unwrap();
    assert_eq!((status.offset, status.length, status.complete), (0, Some(70_001), false));
    // No request brings bytes, and no part of it can be taken away.
    for sent in [world.send(&job, 0, &bytes).await.map(drop), {
        let append =
            Append { slice: at(0, Some(1)), takeover: Takeover::Silent, ends_if_longer: false };
        world.uploads().append(upload_of(&job), append, whole(&[1])).await.map(drop)
    }] {
        assert!(matches!(sent, Err(UploadError::Joined)), "{sent:?}");
    }
    let removed = world.jobs().discard_partial(&parts[0]).await;
    assert!(matches!(removed, Err(JobError::Upload(UploadError::PartInUse))), "{removed:?}");
    held.release();
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
    are_gone(&world, &parts).await;
    are_told_as_whole(&world, &parts).await;
    // Whoever asks for the same again has lost the answer.
    assert_eq!(join(&world, &parts).await.unwrap().job.uuid, job.job.uuid);
}

async fn every_copy_that_fails_once_heals(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(50_000, 2);
    let io = StoreError::Io { action: "copy", message: "bad sector".to_owned() };
    for (error, reason) in
        [(StoreError::NoSpace, SuspendReason::NoSpace), (io, SuspendReason::IoError)]
    {
        let parts = parts_of(&world, &bytes).await;
        world.rig.fail(Op::Copy, 1, error);
        let job = join(&world, &parts).await.unwrap();
        let now = world.until(&job, JobState::Suspended(reason)).await;
        assert!(now.waits_for.is_some());
        world.pass(A_MINUTE).await;
        world.until(&job, JobState::Succeeded).await;
        world.assert_ready(&job, &bytes).await;
        are_gone(&world, &parts).await;
    }
}

async fn a_part_that_can_never_be_read_ends_its_job(backing: Backing) {
    let world = World::new(backing).await;
    let parts = parts_of(&world, &content(50_000, 13)).await;
    let io = StoreError::Io { action: "copy", message: "bad sector".to_owned() };
    world.rig.fail(Op::Copy, usize::MAX, io);
    let job = join(&world, &parts).await.unwrap();
    let failed = JobState::Suspended(SuspendReason::IoError);
    // Day by day, by which the clock is believed.
    for _ in 0..7 {
        world.until(&job, failed).await;
        world.pass(Duration::from_hours(23)).await;
        world.uploads().renew_leases(world.clock.now_ms()).await.unwrap();
    }
    world.until(&job, failed).await;
    world.pass(Duration::from_hours(23)).await;
    let ended = world.until(&job, JobState::Failed).await;
    assert!(words(&ended).1.contains("7 days"), "{:?}", ended.result);
    world.assert_nothing_left(&job).await;
    world.pass(A_MINUTE).await;
    are_gone(&world, &parts).await;
}

async fn a_crash_while_joining_goes_on(backing: Backing) {
    for side in [Side::Before, Side::After] {
        let mut world = World::new(backing).await;
        let bytes = content(60_000, 3);
        let parts = parts_of(&world, &bytes).await;
        let held = world.rig.hold(Op::Copy, side);
        let job = join(&world, &parts).await.unwrap();
        held.reached().await;
        world.crash().await;
        world.until(&job, JobState::Succeeded).await;
        world.assert_ready(&job, &bytes).await;
        are_gone(&world, &parts).await;
    }
}

async fn a_crash_after_joining_goes_on(backing: Backing) {
    for (op, side) in [(Op::Finish, Side::Before), (Op::Publish, Side::After)] {
        let mut world = World::new(backing).await;
        let bytes = content(60_000, 4);
        let parts = parts_of(&world, &bytes).await;
        let held = world.rig.hold(op, side);
        let job = join(&world, &parts).await.unwrap();
        held.reached().await;
        world.crash().await;
        world.until(&job, JobState::Succeeded).await;
        world.assert_ready(&job, &bytes).await;
        world.pass(A_MINUTE).await;
        are_gone(&world, &parts).await;
    }
}

async fn suspended_and_resumed_while_joining(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(60_000, 5);
    let parts = parts_of(&world, &bytes).await;
    let held = world.rig.hold(Op::Copy, Side::Before);
    let job = join(&world, &parts).await.unwrap();
    held.reached().await;
    world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
    held.release();
    world.rig.release_all();
    let user = JobState::Suspended(SuspendReason::User);
    world.pass(A_MINUTE).await;
    assert_eq!(world.state(&job).await, user, "it waits for its user");
    assert!(world.uploads().status(upload_of(&job)).await.unwrap().offset < 60_000);
    world.jobs().resume(world.caller, job.job.uuid).await.unwrap();
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
    are_gone(&world, &parts).await;
}

async fn canceled_while_joining_leaves_nothing(backing: Backing) {
    let world = World::new(backing).await;
    let parts = parts_of(&world, &content(60_000, 6)).await;
    let held = world.rig.hold(Op::Copy, Side::Before);
    let job = join(&world, &parts).await.unwrap();
    held.reached().await;
    world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
    held.release();
    world.until(&job, JobState::Canceled).await;
    world.assert_nothing_left(&job).await;
    are_gone(&world, &parts).await;
    for part in &parts {
        let status = world.uploads().settled_partial(part.uuid).await;
        assert!(matches!(status, Err(UploadError::Gone { .. })), "they went with it: {status:?}");
    }
    let again = join(&world, &parts).await;
    assert_eq!(fault(again), PartFault::Taken, "they went with it");
}

pub(super) fn fault(refused: Result<JobView, JobError>) -> PartFault {
    match refused {
        Err(JobError::Upload(UploadError::Part { fault, .. })) => fault,
        other => panic!("not refused for a part: {other:?}"),
    }
}

async fn what_cannot_be_joined_is_refused_and_stays(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(30_000, 7);
    let parts = parts_of(&world, &bytes).await;
    let with = |part: &UploadRecord| [parts.clone(), vec![part.clone()]].concat();
    let unfinished = partial(&world, 10).await;
    append(&world, &unfinished, 0, &[1; 4]).await.unwrap();
    let refused = fault(join(&world, &with(&unfinished)).await);
    assert_eq!(refused, PartFault::Unfinished { offset: 4 });
    assert_eq!(fault(join(&world, &with(&parts[0])).await), PartFault::Twice);
    let foreign = UploadRecord { uuid: UploadUuid::random(), ..unfinished.clone() };
    assert_eq!(fault(join(&world, &with(&foreign)).await), PartFault::Missing);
    let job = world.submit(Some(5)).await;
    let whole = job.upload.clone().unwrap();
    assert_eq!(fault(join(&world, &with(&whole)).await), PartFault::NotPartial);
    world.jobs().discard_partial(&unfinished).await.unwrap();
    let gone = PartFault::Gone { fate: UploadFate::Discarded };
    assert_eq!(fault(join(&world, &with(&unfinished)).await), gone);
    // Somebody else's parts are nobody's.
    let stranger = longshore::domain::account::Caller {
        account: longshore::domain::ids::AccountUuid::random(),
        admin: true,
    };
    let new = longshore::jobs::NewJob { uuid: None, ..new_job(None) };
    let refused = world.jobs().submit_joined(stranger, new, uuids(&parts)).await;
    assert!(
        matches!(
            refused,
            Err(JobError::Upload(UploadError::Part { number: 1, fault: PartFault::Missing }))
        ),
        "{refused:?}"
    );
    // None of it has touched the good ones.
    let job = join(&world, &parts).await.unwrap();
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
}

async fn of_two_that_join_the_same_parts_one_does(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(30_000, 8);
    for _ in 0..5 {
        let parts = parts_of(&world, &bytes).await;
        let backwards: Vec<_> = parts.iter().rev().cloned().collect();
        let (one, other) = tokio::join!(join(&world, &parts), join(&world, &backwards));
        let (won, lost, expected) = match (one, other) {
            (Ok(won), lost) => (won, lost, bytes.clone()),
            (lost, Ok(won)) => (won, lost, [&bytes[10_000..], &bytes[..10_000]].concat()),
            (one, other) => panic!("nobody joined: {one:?} {other:?}"),
        };
        assert_eq!(fault(lost), PartFault::Taken);
        world.until(&won, JobState::Succeeded).await;
        world.assert_ready(&won, &expected).await;
        are_gone(&world, &parts).await;
    }
}

async fn asked_twice_at_once_for_the_same_one_is_made(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(30_000, 11);
    for _ in 0..5 {
        let parts = parts_of(&world, &bytes).await;
        let (one, other) = tokio::join!(join(&world, &parts), join(&world, &parts));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!((one.job.uuid, upload_of(&one)), (other.job.uuid, upload_of(&other)));
        world.until(&one, JobState::Succeeded).await;
        world.assert_ready(&one, &bytes).await;
        are_gone(&world, &parts).await;
    }
}

async fn asked_again_with_other_metadata_is_another_wish(backing: Backing) {
    let world = World::new(backing).await;
    let parts = parts_of(&world, &content(30_000, 12)).await;
    let job = join(&world, &parts).await.unwrap();
    let other = longshore::jobs::NewJob {
        uuid: None,
        client_metadata: Some("filename eA==".to_owned()),
        ..new_job(None)
    };
    let refused = world.jobs().submit_joined(world.caller, other, uuids(&parts)).await;
    let taken =
        JobError::Upload(UploadError::Part { number: 1, fault: PartFault::Taken }).to_string();
    assert_eq!(refused.unwrap_err().to_string(), taken);
    assert_eq!(join(&world, &parts).await.unwrap().job.uuid, job.job.uuid);
    world.until(&job, JobState::Succeeded).await;
}

async fn a_partial_upload_is_continued_where_it_stands(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(20_000, 9);
    let part = partial(&world, bytes.len()).await;
    let slice = at(0, Some(bytes.len()));
    let half = Append { slice, takeover: Takeover::Silent, ends_if_longer: false };
    let body = broken_after(&bytes[..7_000]);
    let broken = world.uploads().append_partial(part.uuid, half, body).await;
    assert!(matches!(broken, Err(UploadError::Body { offset: 7_000, .. })), "{broken:?}");
    let wrong = append(&world, &part, 0, &bytes).await;
    assert!(matches!(wrong, Err(UploadError::WrongOffset { expected: 7_000 })), "{wrong:?}");
    world.uploads().write_down().await.unwrap();
    world.crash().await;
    assert_eq!(world.uploads().promised_bytes(), 20_000 - 7_000, "its room is held again");
    let stands = world.uploads().settled_partial(part.uuid).await.unwrap();
    assert_eq!((stands.offset, stands.length), (7_000, Some(20_000)));
    let done = append(&world, &part, 7_000, &bytes[7_000..]).await.unwrap();
    assert_eq!(done.offset, 20_000);
    // Idle for long, it is neither suspended nor removed.
    world.pass(Duration::from_hours(24)).await;
    let job = join(&world, &[part]).await.unwrap();
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
}

async fn partial_uploads_expire_and_are_forgotten(backing: Backing) {
    let world = World::new(backing).await;
    let never = partial(&world, 1_000).await;
    let begun = partial(&world, 1_000).await;
    append(&world, &begun, 0, &[7; 10]).await.unwrap();
    let kept = world.settings.jobs;
    // A day, by which the clock is believed, is less than the time that a begun one is kept.
    world.pass(kept.idle_fail + A_MINUTE).await;
    world.pass(Duration::from_hours(25)).await;
    let status = world.uploads().settled_partial(never.uuid).await;
    let expired = UploadFate::Expired;
    assert!(matches!(status, Err(UploadError::Gone { fate }) if fate == expired), "{status:?}");
    let status = world.uploads().settled_partial(begun.uuid).await;
    assert_eq!(status.unwrap().offset, 10);
    for _ in 0..9 {
        world.pass(Duration::from_hours(23)).await;
        world.uploads().renew_leases(world.clock.now_ms()).await.unwrap();
    }
    let status = world.uploads().settled_partial(begun.uuid).await;
    assert!(matches!(status, Err(UploadError::Gone { fate }) if fate == expired), "{status:?}");
    assert!(world.store().uploads().await.unwrap().is_empty());
    assert_eq!(world.uploads().promised_bytes(), 0);
    for _ in 0..16 {
        world.pass(Duration::from_hours(23)).await;
    }
    let status = world.uploads().settled_partial(begun.uuid).await;
    assert!(matches!(status, Err(UploadError::NotFound)), "its record is gone: {status:?}");
}

async fn partial_uploads_hold_room_and_a_place(backing: Backing) {
    let mut settings = Settings::default();
    settings.jobs.open_uploads_max = 5;
    let world = World::with(backing, &settings).await;
    world.rig.room(1_000_000, 100_000);
    let part = partial(&world, 60_000).await;
    let second = world.jobs().create_partial(world.caller, Some(60_000), None).await;
    assert!(matches!(second, Err(JobError::Upload(UploadError::NoRoom { .. }))), "{second:?}");
    let bytes = content(60_000, 10);
    append(&world, &part, 0, &bytes).await.unwrap();
    // What it has written is not free any more, and the copy needs as much again.
    world.rig.room(1_000_000, 40_000);
    let refused = join(&world, std::slice::from_ref(&part)).await;
    assert!(matches!(refused, Err(JobError::Upload(UploadError::NoRoom { .. }))), "{refused:?}");
    world.rig.room(1_000_000, 400_000);
    let job = join(&world, std::slice::from_ref(&part)).await.unwrap();
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
    let max = world.settings.jobs.open_uploads_max;
    let mut made = 0;
    let mut parts = Vec::new();
    let refused = loop {
        match world.jobs().create_partial(world.caller, Some(1), None).await {
            Ok(part) => parts.push(part),
            Err(error) => break error,
        }
        made += 1;
        assert!(made <= max);
    };
    assert_eq!(made, max);
    let full =
        |error: &JobError| matches!(error, JobError::Upload(UploadError::TooManyOpen { .. }));
    assert!(full(&refused), "{refused:?}");
    let job = world.jobs().submit(world.caller, new_job(Some(1))).await;
    assert!(job.as_ref().is_err_and(full), "{job:?}");
    // What joins them takes their places.
    for part in &parts {
        append(&world, part, 0, &[7]).await.unwrap();
    }
    let job = join(&world, &parts).await.unwrap();
    world.until(&job, JobState::Succeeded).await;
}
