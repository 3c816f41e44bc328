//! Several schedulers over one set of records, and changes that cross.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use longshore::{
    db::{Runner, ScheduleChange, ScheduleChanged},
    domain::{
        account::Scope,
        clock::Clock,
        query::{Condition, Query},
        schedule::Target,
        tag::TagKind,
    },
    jobs::{NewTrigger, Scheduler},
    uploads::{AtWork, StoreError},
};
use longshore_storage::{Owned, UploadKey};
use serde_json::json;

use super::{
    bodies::content,
    rigged::{Op, Side},
    schedule::{admin, ended, image, job, result, run, runs, trigger},
    world::{Backing, Settings, World, upload_of},
};

/// The whole path of two processes with clocks of their own, over one set of records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_over_one_set_of_records_run_a_fire_once() {
    let world = World::new(Backing::Memory).await;
    let (one, two) = (world.scheduler(), world.scheduler());
    let job = job(&one, "pruneRecords", None, json!({})).await;
    let every = trigger(&one, 1, 0).await;
    one.bind(admin(), every, Target::Job(job), false).await.unwrap();
    let mut fires = 0;
    for round in 0..40 {
        let now_ms = world.clock.now_ms();
        let (a, b) = tokio::join!(one.fire_due(now_ms), two.fire_due(now_ms + round % 3));
        fires += a.unwrap() + b.unwrap();
        ended(&one, &[]).await;
        world.clock.advance_ms(1000);
    }
    let all = ended(&one, &[]).await;
    let mut moments: Vec<_> = all.iter().map(|run| run.fire_ms).collect();
    moments.dedup();
    assert_eq!((moments.len(), all.len()), (40, fires), "no fire twice, none left out");
}

/// What somebody else changed in between is told, and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_overtaken_changes_nothing() {
    let world = World::new(Backing::Memory).await;
    let scheduler: Arc<Scheduler> = world.scheduler();
    let job = job(&scheduler, "pruneRecords", None, json!({})).await;
    let minutely = trigger(&scheduler, 60, 0).await;
    scheduler.bind(admin(), minutely, Target::Job(job), false).await.unwrap();
    let before = world.db.bindings().await.unwrap().remove(0);
    scheduler.fire_due(world.clock.now_ms()).await.unwrap();
    let moved = world.db.change_schedule(ScheduleChange::Move(before)).await.unwrap();
    assert_eq!(moved, ScheduleChanged::Stale);
    assert_ne!(world.db.bindings().await.unwrap()[0].next_fire_ms, before.next_fire_ms);
    ended(&scheduler, &[]).await;
}

/// A commit whose answer was lost: the row is there, and nobody is at work on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_nobody_does_ends_with_its_lease_and_one_at_work_does_not() {
    let world = World::new(Backing::Memory).await;
    let scheduler = world.scheduler();
    let image = image(&world, &content(4_000, 1)).await.job.image;
    let living = job(&scheduler, "verifyImage", Some(image), json!({})).await;
    let hold = world.rig.hold(Op::ReadImage, Side::Before);
    scheduler.run_job(admin(), living).await.unwrap();
    hold.reached().await;
    let lost = job(&scheduler, "pruneRecords", None, json!({})).await;
    let now_ms = world.clock.now_ms();
    let by = Runner { node: world.node, until_ms: now_ms + 60_000, now_ms };
    world.db.begin_run_now(lost, None, None, by).await.unwrap().unwrap();
    let begun = Instant::now();
    for after_ms in [0_i64, 15_000, 50_000, 75_000] {
        let seen_at = begun + Duration::from_millis(after_ms.unsigned_abs());
        scheduler.keep_runs(now_ms + after_ms, seen_at).await.unwrap();
        let all = runs(&scheduler, &[]).await;
        let open: Vec<_> =
            all.iter().filter(|run| run.ended_ms.is_none()).map(|run| run.job).collect();
        let expected = if after_ms < 60_000 { vec![living, lost] } else { vec![living] };
        assert_eq!(open, expected, "after {after_ms} ms");
    }
    world.rig.release_all();
    assert_eq!(run(&scheduler, lost).await.success, Some(true), "it runs without a restart");
    assert_eq!(ended(&scheduler, &[]).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_run_when_it_is_bound_is_not_run_twice() {
    let world = World::new(Backing::Memory).await;
    let scheduler = world.scheduler();
    for repeats in [0, 1] {
        let job = job(&scheduler, "pruneRecords", None, json!({})).await;
        let minutely = trigger(&scheduler, 60, repeats).await;
        scheduler.bind(admin(), minutely, Target::Job(job), true).await.unwrap();
        let of = format!("schedulerJobUuid={job}");
        ended(&scheduler, &[&of]).await;
        assert_eq!(scheduler.fire_due(world.clock.now_ms()).await.unwrap(), 0);
        assert_eq!(ended(&scheduler, &[&of]).await.len(), 1, "repeatCount {repeats}");
    }
}

/// Its only fire, of tomorrow, was taken by a clock that was a year ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_ahead_takes_no_fire_for_good() {
    let mut settings = Settings::default();
    settings.jobs.tick = Duration::from_millis(10);
    let world = World::with(Backing::Memory, &settings).await;
    let scheduler = world.scheduler();
    let job = job(&scheduler, "pruneRecords", None, json!({})).await;
    let (day_ms, tomorrow_ms) = (86_400_000, world.clock.now_ms() + 86_400_000);
    let new = NewTrigger {
        name: Some("tomorrow".to_owned()),
        kind: Some("simple".to_owned()),
        repeat_count: Some(1),
        start_time: Some(tomorrow_ms),
        ..NewTrigger::default()
    };
    let once = scheduler.create_trigger(admin(), new).await.unwrap().trigger.uuid;
    scheduler.bind(admin(), once, Target::Job(job), false).await.unwrap();
    world.clock.advance_ms(365 * day_ms);
    assert_eq!(scheduler.fire_due(world.clock.now_ms()).await.unwrap(), 1);
    ended(&scheduler, &[]).await;
    world.clock.advance_ms(-365 * day_ms);
    assert_eq!(world.db.bindings().await.unwrap()[0].next_fire_ms, None);
    scheduler.spawn();
    let begun = Instant::now();
    while world.db.bindings().await.unwrap()[0].next_fire_ms != Some(tomorrow_ms) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it sleeps for ever");
        world.clock.advance_ms(1_000);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// After kill -9 the rows still name jobs as running, and nobody is at work on them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_upload_whose_bytes_are_gone_is_told_when_nobody_is_at_work() {
    let world = World::new(Backing::Memory).await;
    let upload = world.submit(Some(20)).await;
    world.send(&upload, 0, b"abc").await.unwrap();
    assert!(world.state(&upload).await.suspend_reason().is_none(), "it is at work");
    let looked = world.uploads().check_store(false, AtWork::Nobody).await.unwrap();
    assert!(looked.agrees(), "the control: {looked:?}");
    let owned = Owned { key: UploadKey(upload_of(&upload).0), epoch: u64::MAX };
    world.store().discard(owned).await.unwrap();
    let looked = world.uploads().check_store(false, AtWork::Service).await.unwrap();
    assert!(looked.agrees(), "whoever is at work on it finds it out: {looked:?}");
    let looked = world.uploads().check_store(false, AtWork::Nobody).await.unwrap();
    assert_eq!((looked.agrees(), looked.missing_uploads.len()), (false, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_cannot_be_read_twice_is_marked_and_one_of_a_clock_ahead_is_looked_at() {
    let world = World::new(Backing::Memory).await;
    let scheduler = world.scheduler();
    let image = image(&world, &content(4_000, 7)).await.job.image;
    let ahead_ms = world.clock.now_ms() + 10 * 365 * 86_400_000;
    world.db.image_was_checked(image, ahead_ms).await.unwrap();
    let always = json!({"mebibytesPerSec": 100_000, "againAfterDays": 0});
    let scrub = job(&scheduler, "scrubImages", None, always).await;
    let marks = || async {
        let marked = Condition::parse("tag=imageDamaged::unreadable").unwrap();
        let marked = Query { conditions: vec![marked], ..Query::default() };
        world.db.tags(TagKind::System, &marked, Scope::All).await.unwrap().rows.len()
    };
    for (times, damaged) in [(2, 1), (1, 0)] {
        let error = StoreError::Io { action: "read", message: "Input/output error".to_owned() };
        world.rig.fail(Op::ReadImage, times, error);
        let counts = result(&run(&scheduler, scrub).await)["counts"].clone();
        let told = (&counts["damaged"], &counts["sound"]);
        assert_eq!(told, (&json!(damaged), &json!(1 - damaged)), "{counts}");
        assert_eq!(marks().await, damaged, "after {times} errors");
        // It was looked at, and by the clock of now: it is not the first of every run, before all others.
        let again = result(&run(&scheduler, scrub).await)["counts"].clone();
        assert_eq!((&again["sound"], &again["damaged"]), (&json!(0), &json!(0)), "{again}");
        world.clock.advance_ms(1_000);
    }
}

/// Hours may have been spent on what was read before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_the_disk_refuses_once_is_read_again_and_not_the_whole_image() {
    let world = World::new(Backing::Memory).await;
    let scheduler = world.scheduler();
    let image = image(&world, &content(2_500_000, 8)).await.job.image;
    let verify = job(&scheduler, "verifyImage", Some(image), json!({})).await;
    let fail_once = || {
        let error = StoreError::Io { action: "read", message: "Input/output error".to_owned() };
        world.rig.fail(Op::ReadImage, 1, error);
    };
    let is_read = world.rig.hold(Op::ReadImage, Side::After);
    fail_once();
    let id = scheduler.run_job(admin(), verify).await.unwrap();
    // The first block, the second time; now the next one.
    is_read.reached().await;
    fail_once();
    world.rig.release_all();
    let looked = ended(&scheduler, &[&format!("id={id}")]).await.remove(0);
    let counts = result(&looked)["counts"].clone();
    assert_eq!((&counts["sound"], &counts["bytes"]), (&json!(1), &json!(2_500_000)), "{counts}");
}
