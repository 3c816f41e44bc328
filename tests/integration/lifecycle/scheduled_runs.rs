//! Runs that wait for a place, hang, crash or are stopped, and whose a run is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use longshore::{
    domain::{
        clock::Clock,
        ids::{ImageUuid, ScheduledJobUuid},
        schedule::{RunRecord, Target},
    },
    jobs::Scheduler,
};
use serde_json::json;

use super::{
    bodies::content,
    on_all,
    rigged::{Op, Side},
    schedule::{admin, ended, image, job, result, run, runs, trigger},
    world::{Backing, Settings, World},
};

on_all! {
    a_run_begins_when_it_has_its_place_and_whoever_waits_does_not_wait_behind_the_night
    a_run_that_hangs_is_given_up_and_its_job_runs_again
    a_run_that_is_stopped_says_so
    runs_of_the_process_before_are_ended_before_any_is_begun
}

async fn of(scheduler: &Scheduler, job: ScheduledJobUuid) -> RunRecord {
    runs(scheduler, &[&format!("schedulerJobUuid={job}")]).await.remove(0)
}

/// A job and its trigger, which is due.
async fn due(scheduler: &Scheduler, kind: &str, image: Option<ImageUuid>) -> ScheduledJobUuid {
    let job = job(scheduler, kind, image, json!({})).await;
    let hourly = trigger(scheduler, 3600, 1).await;
    scheduler.bind(admin(), hourly, Target::Job(job), false).await.unwrap();
    job
}

/// Both places of the night are taken by runs that look into a suspended upload, and a third one waits.
async fn a_run_begins_when_it_has_its_place_and_whoever_waits_does_not_wait_behind_the_night(
    backing: Backing,
) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let image = image(&world, &content(4_000, 1)).await.job.image;
    let upload = world.submit(Some(20)).await;
    world.send(&upload, 0, b"abc").await.unwrap();
    world.jobs().suspend(world.caller, upload.job.uuid).await.unwrap();
    for _ in 0..2 {
        due(&scheduler, "reconcileStore", None).await;
    }
    let hold = world.rig.hold(Op::State, Side::Before);
    assert_eq!(scheduler.fire_due(world.clock.now_ms()).await.unwrap(), 2);
    hold.reached().await;
    hold.reached().await;
    let waits = due(&scheduler, "verifyImage", Some(image)).await;
    let taken_ms = world.clock.now_ms();
    assert_eq!(scheduler.fire_due(taken_ms).await.unwrap(), 1);
    world.clock.advance_ms(3_600_000);
    // Somebody asks for the same image, and for a look at the store: neither waits for the night.
    let asked = job(&scheduler, "verifyImage", Some(image), json!({})).await;
    assert_eq!(run(&scheduler, asked).await.success, Some(true));
    let scrub = job(&scheduler, "scrubImages", None, json!({})).await;
    assert_eq!(run(&scheduler, scrub).await.success, Some(true));
    let waiting = of(&scheduler, waits).await;
    assert_eq!((waiting.started_ms, waiting.ended_ms), (taken_ms, None), "it has no place");
    world.rig.release_all();
    ended(&scheduler, &[]).await;
    let waited = of(&scheduler, waits).await;
    assert_eq!(waited.success, Some(true));
    assert_eq!(waited.started_ms - taken_ms, 3_600_000, "it began when it had its place");
    assert_eq!(waited.execute_secs(), Some(0), "waiting is no work");
}

async fn a_run_that_hangs_is_given_up_and_its_job_runs_again(backing: Backing) {
    let mut settings = Settings::default();
    settings.jobs.hung_run = Duration::from_millis(300);
    let world = World::with(backing, &settings).await;
    let scheduler = world.scheduler();
    let image = image(&world, &content(4_000, 2)).await.job.image;
    let job = job(&scheduler, "verifyImage", Some(image), json!({})).await;
    // A read that never comes back, as of a file system whose server has gone.
    world.rig.hold(Op::ReadImage, Side::Before);
    let hung = run(&scheduler, job).await;
    assert_eq!(hung.success, Some(false));
    let words = result(&hung)["words"].as_str().unwrap().to_owned();
    assert!(words.contains("was given up"), "{words}");
    world.rig.release_all();
    assert_eq!(run(&scheduler, job).await.success, Some(true), "its place is free again");
}

async fn a_run_that_is_stopped_says_so(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let image = image(&world, &content(4_000, 3)).await.job.image;
    let job = job(&scheduler, "verifyImage", Some(image), json!({})).await;
    let hold = world.rig.hold(Op::ReadImage, Side::Before);
    let id = scheduler.run_job(admin(), job).await.unwrap();
    hold.reached().await;
    world.drain();
    let stopped = ended(&scheduler, &[&format!("id={id}")]).await.remove(0);
    assert_eq!(stopped.success, Some(false));
    let words = result(&stopped)["words"].as_str().unwrap().to_owned();
    assert!(words.contains("the service was stopped while it ran"), "{words}");
}

/// The records refuse to end the old run for a while; meanwhile somebody asks for a new one.
async fn runs_of_the_process_before_are_ended_before_any_is_begun(backing: Backing) {
    let mut settings = Settings::default();
    settings.jobs.tick = Duration::from_millis(10);
    let world = World::with(backing, &settings).await;
    let scheduler = world.scheduler();
    let image = image(&world, &content(4_000, 4)).await.job.image;
    let (old, new) = (
        job(&scheduler, "pruneRecords", None, json!({})).await,
        job(&scheduler, "verifyImage", Some(image), json!({})).await,
    );
    let now_ms = world.clock.now_ms();
    let by = longshore::db::Runner { node: world.node, until_ms: now_ms + 60_000, now_ms };
    world.db.begin_run_now(old, None, None, by).await.unwrap().unwrap();
    let (refuse, allow): (&[&str], &str) = if world.test_db.file().is_some() {
        let refuse = "CREATE TRIGGER refused BEFORE UPDATE ON scheduler_history \
                      BEGIN SELECT RAISE(ABORT, 'refused'); END";
        (&[refuse], "DROP TRIGGER refused")
    } else {
        let function = "CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS \
                        $$ BEGIN RAISE EXCEPTION 'refused'; END $$";
        let refuse = "CREATE TRIGGER refused BEFORE UPDATE ON scheduler_history \
                      FOR EACH ROW EXECUTE FUNCTION refused()";
        (&[function, refuse], "DROP TRIGGER refused ON scheduler_history")
    };
    for sql in refuse {
        world.test_db.sabotage(sql).await;
    }
    let hold = world.rig.hold(Op::ReadImage, Side::Before);
    scheduler.spawn();
    let asked = {
        let scheduler = Arc::clone(&scheduler);
        world.spawn(async move { scheduler.run_job(admin(), new).await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(of(&scheduler, old).await.ended_ms, None, "the control: it could not be ended");
    world.test_db.sabotage(allow).await;
    asked.await.unwrap().unwrap();
    hold.reached().await;
    assert_eq!(of(&scheduler, old).await.success, Some(false), "its process has died");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(of(&scheduler, new).await.ended_ms, None, "a living run was taken for a dead one");
    world.rig.release_all();
    ended(&scheduler, &[]).await;
    assert_eq!(of(&scheduler, new).await.success, Some(true));
}

/// Taking a fire waits for a lock that somebody holds in the records; meanwhile the leases of what is at work are kept.
#[ignore = "needs PostgreSQL"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_do_not_wait_for_fires() {
    use sqlx::{AssertSqlSafe, Connection};

    let mut settings = Settings::default();
    settings.jobs.tick = Duration::from_millis(10);
    let world = World::with(Backing::LocalOnPostgres, &settings).await;
    let scheduler = world.scheduler();
    let image = image(&world, &content(4_000, 5)).await.job.image;
    let living = job(&scheduler, "verifyImage", Some(image), json!({})).await;
    let hold = world.rig.hold(Op::ReadImage, Side::Before);
    scheduler.spawn();
    scheduler.run_job(admin(), living).await.unwrap();
    hold.reached().await;
    let lease = async || {
        let sql = "SELECT CAST(lease_until_ms AS TEXT) FROM scheduler_history";
        world.test_db.peek(sql).await[0].parse::<i64>().unwrap()
    };
    let first_ms = lease().await;
    let fired = job(&scheduler, "pruneRecords", None, json!({})).await;
    let hourly = trigger(&scheduler, 3600, 1).await;
    // Before its fire is due, somebody has the row of its job.
    let mut other = sqlx::PgConnection::connect(&world.test_db.url).await.unwrap();
    let mut row = other.begin().await.unwrap();
    let lock = format!("SELECT uuid FROM scheduler_job WHERE uuid = '{fired}' FOR UPDATE");
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *row).await.unwrap();
    scheduler.bind(admin(), hourly, Target::Job(fired), false).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let of_fired = format!("schedulerJobUuid={fired}");
    let begun = Instant::now();
    for round in 1..=2 {
        world.clock.advance_ms(15_000);
        while lease().await < first_ms + round * 15_000 {
            assert!(begun.elapsed() < Duration::from_secs(6), "leases wait for a fire");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(runs(&scheduler, &[&of_fired]).await.len(), 0, "the fire is still being taken");
    row.rollback().await.unwrap();
    world.rig.release_all();
    let begun = Instant::now();
    while runs(&scheduler, &[&of_fired]).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it was never taken");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ended(&scheduler, &[]).await;
}
