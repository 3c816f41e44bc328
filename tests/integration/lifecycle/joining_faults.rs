//! Partial uploads, and the jobs that need them, where the storage or the records fail.

use std::time::Duration;

use longshore::{
    domain::{
        clock::Clock as _,
        job_state::{JobState, SuspendReason},
        upload::{UploadFate, UploadRecord},
    },
    uploads::{PartFault, StoreError, UploadError, UploadKey},
};

use super::{
    bodies::content,
    joining::{A_MINUTE, append, are_gone, are_told_as_whole, fault, join, partial, parts_of},
    on_all,
    rigged::{Op, Side},
    world::{Backing, World, upload_of},
};

on_all! {
    what_could_not_be_removed_is_removed_later
    what_a_process_did_not_remove_the_next_one_does
    no_record_is_forgotten_before_its_bytes_are
    a_byte_at_the_hour_of_expiry_is_kept
    one_that_could_not_be_opened_again_is_by_the_next_look
    what_the_store_has_lost_ends
    a_part_that_has_become_shorter_ends_the_job
    a_partial_row_that_cannot_be_read_keeps_nobody_from_starting
}

async fn what_could_not_be_removed_is_removed_later(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(30_000, 13);
    let io = StoreError::Io { action: "remove", message: "bad sector".to_owned() };
    let is_stored = async |part: &UploadRecord| {
        let key = UploadKey(part.uuid.0);
        world.store().state(key).await.is_ok()
    };
    // By its client.
    let part = partial(&world, 10).await;
    world.rig.fail(Op::Discard, 1, io.clone());
    assert!(world.jobs().discard_partial(&part).await.is_err());
    assert!(is_stored(&part).await);
    world.pass(A_MINUTE).await;
    assert!(!is_stored(&part).await, "nobody has tried it again");
    // By the end of the joining: the job has its image all the same.
    let parts = parts_of(&world, &bytes).await;
    world.rig.fail(Op::Discard, parts.len(), io);
    let job = join(&world, &parts).await.unwrap();
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
    for part in &parts {
        assert!(is_stored(part).await);
    }
    world.pass(A_MINUTE).await;
    are_gone(&world, &parts).await;
    are_told_as_whole(&world, &parts).await;
}

async fn is_stored(world: &World, part: &UploadRecord) -> bool {
    world.store().state(UploadKey(part.uuid.0)).await.is_ok()
}

/// Nothing of ours was taken for a stray.
fn nothing_is_set_aside(world: &World) {
    if let Some(root) = world.root() {
        let aside = std::fs::read_dir(root.join("lost+found")).map_or(0, Iterator::count);
        assert_eq!(aside, 0, "set aside");
    }
}

/// What is to be removed is remembered in memory; the records and the store know it too.
async fn what_a_process_did_not_remove_the_next_one_does(backing: Backing) {
    let mut world = World::new(backing).await;
    let io = || StoreError::Io { action: "remove", message: "bad sector".to_owned() };
    for fails_at_start_too in [false, true] {
        // Removed by its client, expired, and joined.
        let removed = partial(&world, 10).await;
        world.rig.fail(Op::Discard, 1, io());
        assert!(world.jobs().discard_partial(&removed).await.is_err());
        let bytes = content(30_000, 16);
        let parts = parts_of(&world, &bytes).await;
        world.rig.fail(Op::Discard, parts.len(), io());
        let job = join(&world, &parts).await.unwrap();
        world.until(&job, JobState::Succeeded).await;
        let left = [vec![removed], parts.clone()].concat();
        for part in &left {
            assert!(is_stored(&world, part).await, "negative control");
        }
        if fails_at_start_too {
            world.rig.fail(Op::Discard, left.len(), io());
        }
        world.crash().await;
        for part in &left {
            assert_eq!(is_stored(&world, part).await, fails_at_start_too);
        }
        world.pass(A_MINUTE).await;
        for part in &left {
            assert!(!is_stored(&world, part).await, "nobody has tried it again");
        }
        nothing_is_set_aside(&world);
        are_told_as_whole(&world, &parts).await;
        world.assert_ready(&job, &bytes).await;
    }
}

/// As long as nobody has looked at what is in the store, an ended record may be all that says whose bytes they are.
async fn no_record_is_forgotten_before_its_bytes_are(backing: Backing) {
    let mut world = World::new(backing).await;
    let part = partial(&world, 10).await;
    append(&world, &part, 0, &[7; 10]).await.unwrap();
    let io = StoreError::Io { action: "remove", message: "bad sector".to_owned() };
    world.rig.fail(Op::Discard, 1, io);
    assert!(world.jobs().discard_partial(&part).await.is_err());
    world.kill().await;
    let recovered = world.boot().await;
    // The look at the store takes longer than the record is kept.
    for _ in 0..20 {
        world.pass(Duration::from_hours(23)).await;
    }
    assert!(is_stored(&world, &part).await);
    assert!(world.db.upload(part.uuid).await.unwrap().is_some(), "it was forgotten");
    world.recover(recovered).await;
    assert!(!is_stored(&world, &part).await);
    nothing_is_set_aside(&world);
    world.pass(A_MINUTE).await;
    assert!(world.db.upload(part.uuid).await.unwrap().is_none(), "negative control");
}

async fn a_byte_at_the_hour_of_expiry_is_kept(backing: Backing) {
    let world = World::new(backing).await;
    // The look goes by identifiers, and those of one millisecond have no order of their own: the idle one is to be met first.
    let mut both = [partial(&world, 1_000).await, partial(&world, 1_000).await];
    both.sort_by_key(|record| record.uuid.0);
    let [idle, part] = both;
    world.pass(world.settings.jobs.idle_fail.saturating_sub(A_MINUTE)).await;
    let held = world.rig.hold(Op::Revoke, Side::Before);
    tokio::join!(world.pass(A_MINUTE * 2), async {
        held.reached().await;
        assert_eq!(append(&world, &part, 0, &[7; 10]).await.unwrap().offset, 10);
        held.release();
    });
    let status = world.uploads().settled_partial(part.uuid).await.unwrap();
    assert_eq!(status.offset, 10);
    let status = world.uploads().settled_partial(idle.uuid).await;
    assert!(matches!(status, Err(UploadError::Gone { .. })), "{status:?}");
    // And it goes on.
    assert_eq!(append(&world, &part, 10, &[7; 990]).await.unwrap().offset, 1_000);
    world.rig.release_all();

    // One that meets the look itself is to come again: nothing has ended yet.
    let shut = partial(&world, 1_000).await;
    append(&world, &shut, 0, &[]).await.unwrap();
    world.pass(world.settings.jobs.idle_fail.saturating_sub(A_MINUTE)).await;
    let held = world.rig.hold(Op::Revoke, Side::After);
    tokio::join!(world.pass(A_MINUTE * 2), async {
        held.reached().await;
        let busy = append(&world, &shut, 0, &[7; 10]).await;
        assert!(matches!(busy, Err(UploadError::Store(StoreError::Busy { .. }))), "{busy:?}");
        held.release();
    });
}

async fn one_that_could_not_be_opened_again_is_by_the_next_look(backing: Backing) {
    let mut world = World::new(backing).await;
    let part = partial(&world, 1_000).await;
    append(&world, &part, 0, &[7; 10]).await.unwrap();
    // The records have not heard of the bytes: only one that is shut shows that it has some.
    world.crash().await;
    let io = StoreError::Io { action: "sync checkpoint", message: "bad sector".to_owned() };
    world.rig.fail(Op::Admit, 1, io);
    world.pass(world.settings.jobs.idle_fail + A_MINUTE).await;
    let shut = append(&world, &part, 10, &[7; 10]).await;
    assert!(matches!(shut, Err(UploadError::Store(StoreError::Busy { .. }))), "{shut:?}");
    world.pass(A_MINUTE).await;
    assert_eq!(append(&world, &part, 10, &[7; 990]).await.unwrap().offset, 1_000);
    let job = join(&world, &[part]).await.unwrap();
    world.until(&job, JobState::Succeeded).await;
}

async fn what_the_store_has_lost_ends(backing: Backing) {
    let world = World::new(backing).await;
    let io = |part: &UploadRecord| StoreError::Damaged {
        what: format!("upload {}", part.uuid),
        message: "rotten".to_owned(),
    };
    let gone =
        |error: &UploadError| matches!(error, UploadError::Gone { fate: UploadFate::Discarded });
    // Asked for.
    let part = partial(&world, 1_000).await;
    world.rig.fail(Op::State, 1, io(&part));
    let status = world.uploads().settled_partial(part.uuid).await;
    assert!(status.as_ref().is_err_and(gone), "{status:?}");
    // Continued.
    let second = partial(&world, 1_000).await;
    world.rig.fail(Op::State, 1, io(&second));
    let status = append(&world, &second, 0, &[7; 10]).await;
    assert!(status.as_ref().is_err_and(gone), "{status:?}");
    // Joined.
    let parts = parts_of(&world, &content(3_000, 14)).await;
    world.rig.fail(Op::State, 1, io(&parts[0]));
    let refused = fault(join(&world, &parts).await);
    assert_eq!(refused, PartFault::Gone { fate: UploadFate::Discarded });
    for part in [&part, &second, &parts[0]] {
        assert!(world.store().state(UploadKey(part.uuid.0)).await.is_err());
    }
    for part in &parts[1..] {
        world.jobs().discard_partial(part).await.unwrap();
    }
    assert_eq!(world.uploads().promised_bytes(), 0);
    assert!(world.store().uploads().await.unwrap().is_empty());
}

async fn a_part_that_has_become_shorter_ends_the_job(backing: Backing) {
    let world = World::new(backing).await;
    let parts = parts_of(&world, &content(30_000, 15)).await;
    let held = world.rig.hold(Op::Copy, Side::Before);
    let job = join(&world, &parts).await.unwrap();
    held.reached().await;
    world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
    held.release();
    world.until(&job, JobState::Suspended(SuspendReason::User)).await;
    world.rig.release_all();
    // The storage begins the last part anew.
    let last = parts.last().unwrap();
    let key = UploadKey(last.uuid.0);
    let owned = longshore_storage::Owned { key, epoch: last.owner_epoch };
    world.store().discard(owned).await.unwrap();
    let again = longshore_storage::UploadSpec {
        declared_length: last.declared_length,
        digests: longshore::uploads::DigestChoice { md5: false, sha256: false },
    };
    world.store().create(owned, again).await.unwrap();
    world.jobs().resume(world.caller, job.job.uuid).await.unwrap();
    world.until(&job, JobState::Failed).await;
    // The record says so first, and the bytes go then.
    let begun = std::time::Instant::now();
    while world.store().state(UploadKey(upload_of(&job).0)).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "bytes are left in the store");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.assert_nothing_left(&job).await;
}

async fn a_partial_row_that_cannot_be_read_keeps_nobody_from_starting(backing: Backing) {
    let mut world = World::new(backing).await;
    let mut parts = Vec::new();
    for _ in 0..3 {
        let part = partial(&world, 1_000).await;
        append(&world, &part, 0, &[7; 10]).await.unwrap();
        parts.push(part);
    }
    world.uploads().write_down().await.unwrap();
    for broken in [0, 2] {
        let uuid = parts[broken].uuid;
        let sql = format!("UPDATE upload SET parts = 'no uuid' WHERE uuid = '{uuid}'");
        world.test_db.sabotage(&sql).await;
    }
    world.crash().await;
    assert_eq!(world.uploads().promised_bytes(), 990, "the room of the one between is held");
    let told = |world: &World| {
        let unreadable = world.jobs().unreadable();
        assert_eq!(unreadable.rows, 2, "{unreadable:?}");
        for broken in [0, 2] {
            let key = parts[broken].uuid.to_string();
            assert!(unreadable.first.iter().any(|words| words.contains(&key)), "{unreadable:?}");
        }
    };
    told(&world);
    for _ in 0..9 {
        world.pass(Duration::from_hours(23)).await;
        world.uploads().renew_leases(world.clock.now_ms()).await.unwrap();
    }
    let status = world.uploads().settled_partial(parts[1].uuid).await;
    assert!(matches!(status, Err(UploadError::Gone { .. })), "it has expired: {status:?}");
    let kept = world.store().uploads().await.unwrap();
    assert_eq!(kept.len(), 2, "bytes of a row that cannot be read are kept");
    told(&world);
    let mended = "UPDATE upload SET parts = NULL WHERE parts = 'no uuid'";
    world.test_db.sabotage(mended).await;
    world.pass(A_MINUTE).await;
    assert_eq!(world.jobs().unreadable().rows, 0);
}
