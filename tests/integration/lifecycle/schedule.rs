//! What runs by itself does its work, once for each fire, and says how it went.

use std::time::{Duration, Instant};

use longshore::{
    domain::{
        account::{Caller, Scope},
        clock::Clock,
        ids::{AccountUuid, ImageUuid, NodeUuid, ScheduledJobUuid, TriggerUuid},
        job_state::JobState,
        query::{Condition, Query},
        schedule::{RunRecord, Target},
        tag::TagKind,
    },
    jobs::{JobView, NewScheduledJob, NewTrigger, ScheduleError, Scheduler},
};
use longshore_storage::{ImageKey, UploadKey};
use rstest::rstest;
use serde_json::{Value, json};

use super::{
    bodies::content,
    on_all,
    rigged::{Op, Side},
    world::{Backing, World, upload_of, words},
};

on_all! {
    the_defaults_run_and_stay_deleted
    a_missed_fire_runs_once
    a_fire_waits_while_its_job_is_at_work
    a_run_that_was_killed_is_ended_as_failed_at_the_next_start
    a_trigger_that_is_deleted_leaves_its_run_alone
    a_disabled_job_sleeps_until_it_is_enabled
    a_clock_that_was_set_back_stops_nothing
    expiring_and_purging_do_their_work
    a_sound_image_is_told_as_sound_and_the_oldest_look_comes_first
    what_the_store_has_lost_is_found
}

const DAY_MS: i64 = 86_400_000;

pub(super) fn admin() -> Caller {
    Caller { account: AccountUuid::random(), admin: true }
}

fn asked(conditions: &[&str]) -> Query {
    let conditions = conditions.iter().map(|text| Condition::parse(text).unwrap()).collect();
    Query { conditions, ..Query::default() }
}

pub(super) async fn runs(scheduler: &Scheduler, conditions: &[&str]) -> Vec<RunRecord> {
    scheduler.query_runs(admin(), &asked(conditions)).await.unwrap().rows
}

/// Waits until all runs have ended.
pub(super) async fn ended(scheduler: &Scheduler, conditions: &[&str]) -> Vec<RunRecord> {
    let begun = std::time::Instant::now();
    loop {
        let runs = runs(scheduler, conditions).await;
        if runs.iter().all(|run| run.ended_ms.is_some()) {
            return runs;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{runs:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) fn result(run: &RunRecord) -> Value {
    serde_json::from_str(run.result.as_deref().unwrap()).unwrap()
}

pub(super) async fn job(
    scheduler: &Scheduler,
    kind: &str,
    target: Option<ImageUuid>,
    parameters: Value,
) -> ScheduledJobUuid {
    let Value::Object(parameters) = parameters else { panic!("no object") };
    let new = NewScheduledJob {
        uuid: None,
        name: format!("a {kind}"),
        description: None,
        job_type: kind.to_owned(),
        target: target.map(|target| target.to_string()),
        parameters,
    };
    scheduler.create_job(admin(), new).await.unwrap().job.uuid
}

pub(super) async fn trigger(scheduler: &Scheduler, secs: i64, repeats: i64) -> TriggerUuid {
    let new = NewTrigger {
        name: Some("t".to_owned()),
        kind: Some("simple".to_owned()),
        interval_secs: Some(secs),
        repeat_count: Some(repeats),
        ..NewTrigger::default()
    };
    scheduler.create_trigger(admin(), new).await.unwrap().trigger.uuid
}

/// Runs a job to its end.
pub(super) async fn run(scheduler: &Scheduler, job: ScheduledJobUuid) -> RunRecord {
    let id = scheduler.run_job(admin(), job).await.unwrap();
    ended(scheduler, &[&format!("id={id}")]).await.remove(0)
}

pub(super) async fn image(world: &World, bytes: &[u8]) -> JobView {
    let job = world.submit(Some(bytes.len())).await;
    world.send(&job, 0, bytes).await.unwrap();
    world.assert_ready(&job, bytes).await;
    job
}

async fn the_defaults_run_and_stay_deleted(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    scheduler.ensure_defaults(world.caller.account).await.unwrap();
    assert_eq!(scheduler.close_own().await.unwrap(), 0);
    let now_ms = world.clock.now_ms();
    assert_eq!(scheduler.fire_due(now_ms).await.unwrap(), 3);
    assert_eq!(scheduler.fire_due(now_ms).await.unwrap(), 0, "a fire is taken once");
    let first = ended(&scheduler, &[]).await;
    let mut kinds: Vec<_> = first.iter().map(|run| run.job_type.name()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["expireUploads", "pruneRecords", "purgeDeletedImages"]);
    for run in &first {
        assert_eq!(run.success, Some(true), "{run:?}");
        assert_eq!((run.node, run.account), (world.node, world.caller.account));
        assert!(result(run)["counts"].is_object(), "{run:?}");
    }
    // The next ones, all of them, in a day.
    world.clock.advance_ms(DAY_MS);
    assert_eq!(scheduler.fire_due(world.clock.now_ms()).await.unwrap(), 5);
    assert_eq!(ended(&scheduler, &[]).await.len(), 8);

    let scrub: ScheduledJobUuid = "5ced01e0000040008000000000000005".parse().unwrap();
    scheduler.delete_job(admin(), scrub).await.unwrap();
    scheduler.ensure_defaults(world.caller.account).await.unwrap();
    let left = scheduler.query_jobs(admin(), &Query::default()).await.unwrap().rows;
    assert_eq!(left.len(), 4, "what was deleted stays deleted");
    assert_eq!(runs(&scheduler, &["jobType=scrubImages"]).await.len(), 1, "its history stays");
}

async fn a_missed_fire_runs_once(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let (job, minutely) =
        (job(&scheduler, "pruneRecords", None, json!({})).await, trigger(&scheduler, 60, 5).await);
    scheduler.bind(admin(), minutely, Target::Job(job), false).await.unwrap();
    let begin_ms = world.clock.now_ms();
    // Three fires pass while nobody looks: the first, the second and the third.
    world.clock.advance_ms(150_000);
    assert_eq!(scheduler.fire_due(world.clock.now_ms()).await.unwrap(), 1);
    let first = ended(&scheduler, &[]).await;
    assert_eq!((first.len(), first[0].fire_ms), (1, begin_ms));
    // The rest come when they are due, and then none.
    let mut fires = Vec::new();
    for _ in 0..10 {
        world.clock.advance_ms(30_000);
        scheduler.fire_due(world.clock.now_ms()).await.unwrap();
        fires = ended(&scheduler, &[]).await.iter().map(|run| run.fire_ms - begin_ms).collect();
    }
    assert_eq!(fires, [0, 180_000, 240_000]);
}

async fn a_fire_waits_while_its_job_is_at_work(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let image = image(&world, &content(4_000, 1)).await.job.image;
    let job = job(&scheduler, "verifyImage", Some(image), json!({})).await;
    let minutely = trigger(&scheduler, 60, 0).await;
    scheduler.bind(admin(), minutely, Target::Job(job), false).await.unwrap();
    let hold = world.rig.hold(Op::ReadImage, Side::Before);
    assert_eq!(scheduler.fire_due(world.clock.now_ms()).await.unwrap(), 1);
    hold.reached().await;
    world.clock.advance_ms(60_000);
    // Another process has no memory of what this one runs.
    let other = world.scheduler();
    for one in [&scheduler, &other] {
        assert_eq!(one.fire_due(world.clock.now_ms()).await.unwrap(), 0, "it runs beside itself");
    }
    let busy = scheduler.run_job(admin(), job).await;
    assert!(matches!(busy, Err(ScheduleError::Busy { .. })), "{busy:?}");
    let busy = scheduler.run_trigger(admin(), minutely, &[job]).await;
    assert!(matches!(busy, Err(ScheduleError::Busy { .. })), "{busy:?}");
    world.rig.release_all();
    assert_eq!(ended(&scheduler, &[]).await.len(), 1);
    assert_eq!(world.scheduler().fire_due(world.clock.now_ms()).await.unwrap(), 1);
    let all = ended(&scheduler, &[]).await;
    assert!(all.iter().all(|run| run.success == Some(true)), "{all:?}");
    assert_eq!(all[1].fire_ms - all[0].fire_ms, 60_000);
}

async fn a_run_that_was_killed_is_ended_as_failed_at_the_next_start(backing: Backing) {
    let mut world = World::new(backing).await;
    let scheduler = world.scheduler();
    let image = image(&world, &content(4_000, 2)).await.job.image;
    let job = job(&scheduler, "verifyImage", Some(image), json!({})).await;
    let hold = world.rig.hold(Op::ReadImage, Side::Before);
    let id = scheduler.run_job(admin(), job).await.unwrap();
    hold.reached().await;
    drop(scheduler);
    world.kill().await;
    world.boot().await;
    let scheduler = world.scheduler();
    let of = format!("id={id}");
    // Negative control: until somebody ends it, it is open, and its job cannot run.
    assert_eq!(runs(&scheduler, &[&of]).await[0].ended_ms, None);
    assert!(matches!(scheduler.run_job(admin(), job).await, Err(ScheduleError::Busy { .. })));
    assert_eq!(scheduler.close_own().await.unwrap(), 1);
    let killed = runs(&scheduler, &[&of]).await.remove(0);
    assert_eq!(killed.success, Some(false));
    let told = result(&killed)["words"].as_str().unwrap().to_owned();
    assert!(told.contains("the process that ran it ended"), "{told}");
    let again = run(&scheduler, job).await;
    assert_eq!((again.success, result(&again)["counts"]["sound"].clone()), (Some(true), json!(1)));
}

/// Of another process, whose clock is an hour behind or ahead of this one's: it is at work while it renews its lease.
#[rstest]
#[case::behind(-3_600_000)]
#[case::equal(0)]
#[case::ahead(3_600_000)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_another_process_is_ended_once_nobody_renews_it(#[case] skew_ms: i64) {
    let world = World::new(Backing::Memory).await;
    let scheduler = world.scheduler();
    let image = image(&world, &content(4_000, 2)).await.job.image;
    let job = job(&scheduler, "verifyImage", Some(image), json!({})).await;
    let (node, begun, now_ms) = (NodeUuid::random(), Instant::now(), world.clock.now_ms());
    let by = |after_secs: i64| {
        let now_ms = now_ms + skew_ms + after_secs * 1000;
        longshore::db::Runner { node, until_ms: now_ms + 60_000, now_ms }
    };
    let run = world.db.begin_run_now(job, None, None, by(0)).await.unwrap().unwrap();
    scheduler.close_own().await.unwrap();
    for secs in (0..300).step_by(15) {
        if secs <= 180 {
            assert_eq!(world.db.renew_runs(by(secs), vec![run.id]).await.unwrap(), 1);
        }
        let seen_at = begun + Duration::from_secs(secs.unsigned_abs());
        scheduler.keep_runs(now_ms + secs * 1000, seen_at).await.unwrap();
        // Last renewed after 180 s.
        let expected = (secs >= 240).then_some(false);
        assert_eq!(runs(&scheduler, &[]).await[0].success, expected, "after {secs} s");
    }
    let late = longshore::db::RunEnd { success: true, result: "{}".to_owned(), now_ms: 1 };
    assert!(!world.db.end_run(run.id, late).await.unwrap(), "it was taken for dead");
    assert_eq!(runs(&scheduler, &[]).await[0].success, Some(false));
}

async fn a_trigger_that_is_deleted_leaves_its_run_alone(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let image = image(&world, &content(4_000, 3)).await.job.image;
    let job = job(&scheduler, "verifyImage", Some(image), json!({})).await;
    let minutely = trigger(&scheduler, 60, 0).await;
    scheduler.bind(admin(), minutely, Target::Job(job), false).await.unwrap();
    let hold = world.rig.hold(Op::ReadImage, Side::Before);
    scheduler.fire_due(world.clock.now_ms()).await.unwrap();
    hold.reached().await;
    scheduler.delete_trigger(admin(), minutely).await.unwrap();
    scheduler.delete_job(admin(), job).await.unwrap();
    world.rig.release_all();
    let run = ended(&scheduler, &[&format!("triggerUuid={minutely}")]).await.remove(0);
    assert_eq!((run.success, run.job), (Some(true), job));
    world.clock.advance_ms(600_000);
    assert_eq!(scheduler.fire_due(world.clock.now_ms()).await.unwrap(), 0);
}

async fn a_disabled_job_sleeps_until_it_is_enabled(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let job = job(&scheduler, "pruneRecords", None, json!({})).await;
    let minutely = trigger(&scheduler, 60, 0).await;
    scheduler.bind(admin(), minutely, Target::Job(job), false).await.unwrap();
    scheduler.change_state(admin(), &job.to_string(), false).await.unwrap();
    world.clock.advance_ms(600_000);
    assert_eq!(scheduler.fire_due(world.clock.now_ms()).await.unwrap(), 0);
    // What it slept through is not made good.
    scheduler.change_state(admin(), &job.to_string(), true).await.unwrap();
    assert_eq!(scheduler.fire_due(world.clock.now_ms()).await.unwrap(), 0);
    world.clock.advance_ms(60_000);
    assert_eq!(scheduler.fire_due(world.clock.now_ms()).await.unwrap(), 1);
    ended(&scheduler, &[]).await;
    // By hand it runs all the same.
    scheduler.change_state(admin(), &job.to_string(), false).await.unwrap();
    assert_eq!(run(&scheduler, job).await.success, Some(true));
}

async fn a_clock_that_was_set_back_stops_nothing(backing: Backing) {
    let mut settings = super::world::Settings::default();
    settings.jobs.tick = Duration::from_millis(10);
    let world = World::with(backing, &settings).await;
    world.clock.advance_ms(10 * DAY_MS);
    let scheduler = world.scheduler();
    let job = job(&scheduler, "pruneRecords", None, json!({})).await;
    let minutely = trigger(&scheduler, 60, 0).await;
    scheduler.bind(admin(), minutely, Target::Job(job), false).await.unwrap();
    world.clock.advance_ms(-10 * DAY_MS);
    assert_eq!(scheduler.fire_due(world.clock.now_ms()).await.unwrap(), 0, "ten days to wait");
    scheduler.spawn();
    let begun = std::time::Instant::now();
    while runs(&scheduler, &[]).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it sleeps for ten days");
        world.clock.advance_ms(10_000);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn expiring_and_purging_do_their_work(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let old = world.submit(Some(20)).await;
    world.send(&old, 0, b"abc").await.unwrap();
    world.jobs().suspend(world.caller, old.job.uuid).await.unwrap();
    let bytes = content(4_000, 4);
    let deleted = [image(&world, &bytes).await, image(&world, &bytes).await];
    for one in &deleted {
        world.jobs().delete_image(world.caller, one.job.image, false, &[]).await.unwrap();
    }
    let prune = job(&scheduler, "pruneRecords", None, json!({"historyDays": 7})).await;
    let now_ms = world.clock.now_ms();
    let by = longshore::db::Runner { node: world.node, until_ms: now_ms + 60_000, now_ms };
    let long_ago = world.db.begin_run_now(prune, None, None, by).await.unwrap().unwrap();
    let end = longshore::db::RunEnd { success: true, result: "{}".to_owned(), now_ms };
    assert!(world.db.end_run(long_ago.id, end).await.unwrap());
    world.clock.advance_ms(8 * DAY_MS);

    let expire = job(&scheduler, "expireUploads", None, json!({})).await;
    let expired = run(&scheduler, expire).await;
    assert_eq!(expired.success, Some(true));
    assert_eq!(result(&expired)["counts"]["changed"], 1, "{expired:?}");
    assert_eq!(world.state(&old).await, JobState::Failed);
    world.assert_nothing_left(&old).await;
    // What could not be done is told as failed, and tried again.
    let purge = job(&scheduler, "purgeDeletedImages", None, json!({})).await;
    let error = longshore::uploads::StoreError::Io { action: "remove", message: "no".to_owned() };
    world.rig.fail(Op::DeleteImage, 1, error);
    let failed = run(&scheduler, purge).await;
    let counts = result(&failed)["counts"].clone();
    assert_eq!((failed.success, &counts["failed"]), (Some(false), &json!(1)));
    assert_eq!(counts["images"], 1, "the other one is gone");
    let mended = run(&scheduler, purge).await;
    assert_eq!((mended.success, &result(&mended)["counts"]["images"]), (Some(true), &json!(1)));
    for one in &deleted {
        let key = ImageKey(one.job.image.0);
        assert!(world.store().image_length(key).await.is_err(), "its bytes are there");
    }
    // Runs are forgotten when they are old, and not before.
    assert_eq!(
        result(&run(&scheduler, prune).await)["counts"]["runs"],
        1,
        "that of eight days ago"
    );
    assert_eq!(runs(&scheduler, &[]).await.len(), 4);
}

async fn a_sound_image_is_told_as_sound_and_the_oldest_look_comes_first(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    for seed in 0..3 {
        image(&world, &content(3_000_000, seed)).await;
    }
    let fast = json!({"mebibytesPerSec": 100_000, "againAfterDays": 30});
    let scrub = job(&scheduler, "scrubImages", None, fast).await;
    let first = result(&run(&scheduler, scrub).await);
    assert_eq!((&first["success"], &first["counts"]["sound"]), (&json!(true), &json!(3)));
    assert_eq!(first["counts"]["bytes"], 9_000_000);
    assert_eq!(result(&run(&scheduler, scrub).await)["counts"]["sound"], 0, "looked at already");
    // A run ends when its time is over; the next one goes on where it stopped.
    world.clock.advance_ms(31 * DAY_MS);
    let slow = json!({"mebibytesPerSec": 3, "secsPerRun": 1});
    let Value::Object(slow) = slow else { unreachable!() };
    scheduler.update_job(admin(), scrub, None, None, Some(slow)).await.unwrap();
    let part = result(&run(&scheduler, scrub).await)["counts"]["sound"].as_u64().unwrap();
    assert!((1..3).contains(&part), "{part}");
    let mut all = part;
    for _ in 0..3 {
        all += result(&run(&scheduler, scrub).await)["counts"]["sound"].as_u64().unwrap();
    }
    assert_eq!(all, 3, "the runs after it went on");
    assert_eq!(result(&run(&scheduler, scrub).await)["counts"]["sound"], 0, "each of them once");
}

/// One bit of one byte in the middle of a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bit_rot_is_found_and_marked_and_the_mark_goes_when_it_is_mended() {
    let world = World::new(Backing::Local).await;
    let scheduler = world.scheduler();
    let bytes = content(2_500_000, 5);
    let (sound, rotten) = (image(&world, &bytes).await, image(&world, &bytes).await);
    let key = rotten.job.image.to_string();
    let path = world.root().unwrap().join("images").join(&key[30..]).join(&key);
    let flip = || {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 1_234_567).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], 1_234_567).unwrap();
    };
    let marks = async || {
        let query = asked(&["tag~=imageDamaged::%"]);
        let tags = world.db.tags(TagKind::System, &query, Scope::All).await.unwrap().rows;
        tags.iter().map(|tag| (tag.resource.uuid(), tag.tag.clone())).collect::<Vec<_>>()
    };
    let again = json!({"mebibytesPerSec": 100_000, "againAfterDays": 0});
    let scrub = job(&scheduler, "scrubImages", None, again).await;
    assert_eq!(
        run(&scheduler, scrub).await.success,
        Some(true),
        "the control: nothing is wrong yet"
    );
    flip();
    world.clock.advance_ms(1);
    let found = run(&scheduler, scrub).await;
    assert_eq!(found.success, Some(false));
    let told = result(&found);
    assert_eq!((&told["counts"]["damaged"], &told["counts"]["sound"]), (&json!(1), &json!(1)));
    assert_eq!(told["images"], json!([key]));
    assert_eq!(marks().await, [(key.clone(), "imageDamaged::digest".to_owned())]);
    let verify = job(&scheduler, "verifyImage", Some(rotten.job.image), json!({})).await;
    assert_eq!(run(&scheduler, verify).await.success, Some(false));
    assert_eq!(marks().await.len(), 1, "one mark is enough");
    let other = job(&scheduler, "verifyImage", Some(sound.job.image), json!({})).await;
    assert_eq!(run(&scheduler, other).await.success, Some(true));
    // Restored from a copy.
    flip();
    assert_eq!(run(&scheduler, verify).await.success, Some(true));
    assert_eq!(marks().await, []);
    // Cut short, and gone.
    std::fs::File::options().write(true).open(&path).unwrap().set_len(7).unwrap();
    assert_eq!(run(&scheduler, verify).await.success, Some(false));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(run(&scheduler, verify).await.success, Some(false));
    let mut kinds: Vec<_> = marks().await.into_iter().map(|(_, tag)| tag).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["imageDamaged::length", "imageDamaged::missing"]);
    world.jobs().delete_image(world.caller, rotten.job.image, true, &[]).await.unwrap();
    let gone = result(&run(&scheduler, verify).await);
    assert!(gone["words"].as_str().unwrap().contains("there is no image"), "{gone}");
}

async fn what_the_store_has_lost_is_found(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let bytes = content(4_000, 6);
    let (kept, lost) = (image(&world, &bytes).await, image(&world, &bytes).await);
    let upload = world.submit(Some(20)).await;
    world.send(&upload, 0, b"abc").await.unwrap();
    world.jobs().suspend(world.caller, upload.job.uuid).await.unwrap();
    let look = job(&scheduler, "reconcileStore", None, json!({"repair": false})).await;
    let control = run(&scheduler, look).await;
    assert_eq!(control.success, Some(true), "{control:?}");

    let store = world.store();
    store.delete_image(ImageKey(lost.job.image.0)).await.unwrap();
    let owned = longshore_storage::Owned { key: UploadKey(upload_of(&upload).0), epoch: u64::MAX };
    store.discard(owned).await.unwrap();
    let stray = longshore_storage::Owned { key: UploadKey(ImageUuid::random().0), epoch: 1 };
    let spec = longshore_storage::UploadSpec {
        declared_length: Some(5),
        digests: longshore::uploads::DigestChoice::BOTH,
    };
    store.create(stray, spec).await.unwrap();
    let told = run(&scheduler, look).await;
    assert_eq!(told.success, Some(false));
    let counts = result(&told)["counts"].clone();
    for (name, count) in
        [("missingImages", 1), ("missingUploads", 1), ("unknownUploads", 1), ("leftovers", 0)]
    {
        assert_eq!(counts[name], count, "{name}: {counts}");
    }
    assert!(world.state(&upload).await.suspend_reason().is_some(), "it was only told");
    assert!(store.uploads().await.unwrap().contains(&stray.key));

    let mend = job(&scheduler, "reconcileStore", None, json!({})).await;
    assert_eq!(run(&scheduler, mend).await.success, Some(false), "what is lost is lost");
    let now = world.job(&upload).await;
    assert_eq!(now.state, JobState::Failed);
    let (detail, cause) = words(&now);
    assert!(detail.contains("lost the bytes"), "{detail}");
    // Nothing was started: whoever reads it is not to look for a crash.
    assert!(cause.starts_with("found when files and records were compared"), "{cause}");
    assert!(!store.uploads().await.unwrap().contains(&stray.key), "it is in lost+found");
    let marked = asked(&["tag=imageDamaged::missing"]);
    let marked = world.db.tags(TagKind::System, &marked, Scope::All).await.unwrap().rows;
    assert_eq!(marked.len(), 1);
    assert_eq!(marked[0].resource.uuid(), lost.job.image.to_string());
    world.assert_ready(&kept, &bytes).await;
}
