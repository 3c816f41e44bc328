//! Many uploads at once: nobody who is at work notices those that are not.

use std::time::{Duration, Instant};

use longshore::{
    db::DbError,
    domain::{
        account::Scope,
        job_state::{JobState, SuspendReason},
        upload::UploadFate,
    },
    jobs::JobView,
};

use super::{
    bodies::content,
    on_all,
    world::{Backing, World, upload_of, words},
};

on_all! {
    a_row_that_cannot_be_read_keeps_nobody_from_starting
    a_restart_takes_over_what_was_at_work
    many_that_go_silent_together_are_suspended_together
}

const DAY: Duration = Duration::from_hours(24);

/// Before, between and after rows that can be read.
async fn a_row_that_cannot_be_read_keeps_nobody_from_starting(backing: Backing) {
    let mut world = World::new(backing).await;
    let mut jobs = Vec::new();
    for _ in 0..5 {
        let job = world.submit(Some(20)).await;
        world.send(&job, 0, b"abc").await.unwrap();
        jobs.push(job);
    }
    jobs.sort_by_key(|job| job.job.uuid);
    assert_eq!(world.jobs().unreadable().rows, 0);
    if world.test_db.file().is_none() {
        let unchecked = "ALTER TABLE long_job DROP CONSTRAINT long_job_stage";
        world.test_db.sabotage(unchecked).await;
    }
    let spoil = async |world: &World, job: &JobView, stage: &str| {
        let uuid = job.job.uuid;
        let sql = format!("UPDATE long_job SET stage = '{stage}' WHERE uuid = '{uuid}'");
        world.test_db.sabotage(&sql).await;
    };
    world.uploads().write_down().await.unwrap();
    for broken in [0, 2, 4] {
        spoil(&world, &jobs[broken], "levitating").await;
    }
    let error = world.db.job(jobs[2].job.uuid, Scope::All).await.unwrap_err();
    assert!(matches!(error, DbError::CorruptRow { .. }), "{error}");

    world.crash().await;
    for whole in [1, 3] {
        let state = world.state(&jobs[whole]).await;
        assert_eq!(state, JobState::Suspended(SuspendReason::Restart));
        assert_eq!(world.offset(&jobs[whole]).await, 3);
    }
    let unreadable = world.jobs().unreadable();
    assert_eq!(unreadable.rows, 3);
    for broken in [0, 2, 4] {
        let key = jobs[broken].job.uuid.to_string();
        assert!(unreadable.first.iter().any(|words| words.contains(&key)), "{unreadable:?}");
        let left = format!("SELECT state FROM long_job WHERE uuid = '{key}'");
        assert_eq!(world.test_db.peek(&left).await, ["Running"], "it is left as it was");
    }
    // Nor from expiring. What cannot be read keeps its bytes.
    world.pass(DAY * 8).await;
    for whole in [1, 3] {
        assert_eq!(world.state(&jobs[whole]).await, JobState::Failed);
    }
    let kept = world.store().uploads().await.unwrap();
    assert_eq!(kept.len(), 3, "bytes of a row that cannot be read are kept");

    // Mended, it is a job like any other.
    for broken in [0, 2, 4] {
        spoil(&world, &jobs[broken], "receiving").await;
    }
    world.crash().await;
    assert_eq!(world.jobs().unreadable().rows, 0);
    assert_eq!(world.offset(&jobs[2]).await, 3);
}

/// As one move each would have done it: state, words, generation, lease; the epoch rises only where the lease had ended.
async fn a_restart_takes_over_what_was_at_work(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(20, 3);
    let (running, by_user) = (world.submit(Some(20)).await, world.submit(Some(20)).await);
    world.send(&running, 0, &bytes[..3]).await.unwrap();
    world.send(&by_user, 0, &bytes[..3]).await.unwrap();
    world.jobs().suspend(world.caller, by_user.job.uuid).await.unwrap();
    world.uploads().write_down().await.unwrap();
    let elsewhere = world.submit(Some(20)).await;
    let far = i64::MAX / 4;
    let taken = format!(
        "UPDATE upload SET owner_node = '{}', lease_until_ms = {far} WHERE uuid = '{}'",
        longshore::domain::ids::NodeUuid::random(),
        upload_of(&elsewhere)
    );
    world.kill().await;
    world.test_db.sabotage(&taken).await;
    let before = world.db.job(running.job.uuid, Scope::All).await.unwrap().unwrap();
    let epoch = world.db.upload(upload_of(&running)).await.unwrap().unwrap().owner_epoch;
    world.clock.advance_ms(1_000);
    let ours = world.boot().await;

    let mut taken: Vec<_> = ours.iter().map(|(job, _)| job.uuid).collect();
    taken.sort();
    let mut wanted = [running.job.uuid, by_user.job.uuid];
    wanted.sort();
    assert_eq!(taken, wanted, "and not the one that another process holds");
    let now = world.job(&running).await;
    assert_eq!(now.state, JobState::Suspended(SuspendReason::Restart));
    assert_eq!((now.generation, now.stage), (before.generation + 1, before.stage));
    assert_eq!(now.waits_for.as_deref(), Some("the missing bytes"));
    let (detail, cause) = words(&now);
    assert!(detail.contains(&now.uuid.to_string()) && cause.contains("restarted"), "{detail}");
    assert_eq!(world.state(&by_user).await, JobState::Suspended(SuspendReason::User));
    assert_eq!(world.state(&elsewhere).await, JobState::Running);
    assert_eq!(world.uploads().promised_bytes(), 17 * 2, "the room of both is held again");
    let record = world.db.upload(upload_of(&running)).await.unwrap().unwrap();
    assert_eq!(record.owner_epoch, epoch, "our own lease had not ended");
    let (_, returned) = ours.iter().find(|(job, _)| job.uuid == running.job.uuid).unwrap();
    assert_eq!(returned.owner_epoch, record.owner_epoch);

    world.kill().await;
    world.clock.advance_ms(120_000);
    world.boot().await;
    let record = world.db.upload(upload_of(&running)).await.unwrap().unwrap();
    assert_eq!(record.owner_epoch, epoch + 1, "somebody else could have had it meanwhile");
    // The second restart found it suspended already.
    assert_eq!(world.job(&running).await.generation, now.generation);
    world.send(&running, 3, &bytes[3..]).await.unwrap();
    world.assert_ready(&running, &bytes).await;
}

async fn many_that_go_silent_together_are_suspended_together(backing: Backing) {
    let world = World::new(backing).await;
    let mut jobs = Vec::new();
    for _ in 0..100 {
        let job = world.submit(Some(20)).await;
        world.send(&job, 0, b"abc").await.unwrap();
        jobs.push(job);
    }
    let commits = world.test_db.counters.commits();
    world.pass(Duration::from_secs(31)).await;
    for job in &jobs {
        assert_eq!(world.state(job).await, JobState::Suspended(SuspendReason::Idle));
    }
    if world.test_db.file().is_some() {
        let commits = world.test_db.counters.commits() - commits;
        assert!(commits < 60, "{commits} commits for 100 jobs");
    }
}

/// Longest waits of slices in a row, each of a few bytes, until `done`: at least so many.
async fn paces(
    world: &World,
    job: &JobView,
    from: usize,
    least: usize,
    mut done: impl FnMut() -> bool,
) -> Vec<Duration> {
    let mut waits = Vec::new();
    while waits.len() < least || !done() {
        let begun = Instant::now();
        world.send(job, from + waits.len() * 64, &[7; 64]).await.unwrap();
        waits.push(begun.elapsed());
        assert!(waits.len() < 20_000, "the sweep does not end");
    }
    waits
}

fn at_per_mille(mut waits: Vec<Duration>, per_mille: usize) -> Duration {
    waits.sort_unstable();
    waits[(waits.len() * per_mille / 1000).min(waits.len() - 1)]
}

/// 600 expire in one sweep; an upload that runs meanwhile keeps its pace, and its offset gets written down.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_does_not_delay_an_upload() {
    let world = World::new(Backing::Local).await;
    let mut old = Vec::new();
    for _ in 0..600 {
        let job = world.submit(Some(20)).await;
        world.send(&job, 0, b"abc").await.unwrap();
        old.push(job);
    }
    world.pass(Duration::from_secs(40)).await;
    world.clock.advance_ms(i64::try_from((DAY * 8).as_millis()).unwrap());
    let alive = world.submit(Some(20_000 * 64)).await;
    let alone = paces(&world, &alive, 0, 300, || true).await;
    world.uploads().write_down().await.unwrap();

    let (jobs, now_ms) = (world.jobs(), longshore::domain::clock::Clock::now_ms(&*world.clock));
    let sweep = world.spawn(async move {
        let begun = Instant::now();
        jobs.expire(now_ms).await.unwrap();
        begun.elapsed()
    });
    let beside = paces(&world, &alive, alone.len() * 64, 50, || sweep.is_finished()).await;
    let took = sweep.await.unwrap();
    for job in &old {
        assert_eq!(world.state(job).await, JobState::Failed);
    }
    let record = world.db.upload(upload_of(&old[0])).await.unwrap().unwrap();
    assert_eq!(record.fate, UploadFate::Expired);
    assert_eq!(world.state(&alive).await, JobState::Running);
    let (quiet, busy) = (at_per_mille(alone, 990), at_per_mille(beside.clone(), 990));
    println!(
        "sweep of 600: {took:?}; slices p99 {quiet:?} alone, {busy:?} beside it ({})",
        beside.len()
    );
    // One slice after the other came through while it lasted, and none waited for the end of it.
    assert!(busy < took / 4, "{busy:?} of {took:?}");
    assert!(busy < quiet * 10 + Duration::from_millis(100), "{busy:?} after {quiet:?}");
}
