//! What is scheduled while it is changed, and the store while it is compared and written to.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::future::join_all;
use longshore::{
    domain::{
        account::Scope,
        clock::Clock,
        query::{Condition, Query},
        schedule::Target,
        tag::TagKind,
    },
    jobs::{NewTrigger, ScheduleError},
    uploads::AtWork,
};
use longshore_storage::ImageKey;
use serde_json::json;

use super::{
    bodies::content,
    on_all,
    rigged::Op,
    schedule::{admin, ended, image, job, result, run, runs, trigger},
    world::{Backing, World},
};

on_all! {
    a_job_that_is_switched_and_retimed_while_it_fires_keeps_its_trigger
    a_store_that_is_written_to_has_no_strays
    every_image_that_is_missing_gets_its_mark
    a_run_that_crashes_is_told_and_its_job_runs_again
    a_trigger_that_cannot_be_read_keeps_no_other_from_the_list
    a_trigger_whose_last_fire_is_over_can_be_renamed
}

/// Fires, switches and changes of the trigger cross. Whoever comes late is told so; what stays is what was said last.
async fn a_job_that_is_switched_and_retimed_while_it_fires_keeps_its_trigger(backing: Backing) {
    let world = World::new(backing).await;
    let (one, two) = (world.scheduler(), world.scheduler());
    let job = job(&one, "pruneRecords", None, json!({})).await;
    let every = trigger(&one, 1, 0).await;
    one.bind(admin(), every, Target::Job(job), false).await.unwrap();
    let contended = |done: Result<(), ScheduleError>| match done {
        Ok(()) | Err(ScheduleError::Contended) => {}
        Err(error) => panic!("{error}"),
    };
    for round in 0..25_i64 {
        let now_ms = world.clock.now_ms();
        let enabled = round % 2 == 0;
        let timing = NewTrigger { interval_secs: Some(1 + round % 3), ..NewTrigger::default() };
        let uuid = job.to_string();
        let (fired, again, switched, timed) = tokio::join!(
            one.fire_due(now_ms),
            two.fire_due(now_ms),
            two.change_state(admin(), &uuid, enabled),
            one.update_trigger(admin(), every, timing),
        );
        assert!(fired.unwrap() + again.unwrap() <= 1, "a fire was taken twice");
        contended(switched.map(drop));
        contended(timed.map(drop));
        ended(&one, &[]).await;
        // Once it is disabled nothing fires, however long nobody looked.
        let _ = one.change_state(admin(), &uuid, false).await.unwrap();
        world.clock.advance_ms(5_000);
        assert_eq!(two.fire_due(world.clock.now_ms()).await.unwrap(), 0, "it is disabled");
        let _ = one.change_state(admin(), &uuid, true).await.unwrap();
        let bound = world.db.bindings().await.unwrap().remove(0);
        let next_ms = bound.next_fire_ms.expect("an enabled job that sleeps for ever");
        assert!(next_ms - world.clock.now_ms() <= 3_000, "round {round}: {bound:?}");
        world.clock.advance_ms(next_ms - world.clock.now_ms());
    }
    let before = runs(&one, &[]).await.len();
    assert_eq!(one.fire_due(world.clock.now_ms()).await.unwrap(), 1);
    assert_eq!(ended(&one, &[]).await.len(), before + 1);
}

/// Uploads begin, end, are canceled, and their images deleted, all the while: a look finds nothing wrong and repairs nothing.
async fn a_store_that_is_written_to_has_no_strays(backing: Backing) {
    let world = Arc::new(World::new(backing).await);
    let over = Arc::new(AtomicBool::new(false));
    let writers = (0..4_u64).map(|seed| {
        let (world, over) = (Arc::clone(&world), Arc::clone(&over));
        async move {
            let mut made = 0;
            while !over.load(Ordering::Relaxed) || made < 3 {
                let bytes = content(3_000, seed);
                let job = world.submit(Some(bytes.len())).await;
                world.send(&job, 0, &bytes[..1_000]).await.unwrap();
                if seed == 0 {
                    world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
                    made += 1;
                    continue;
                }
                world.send(&job, 1_000, &bytes[1_000..]).await.unwrap();
                world.assert_ready(&job, &bytes).await;
                if seed == 1 {
                    let image = job.job.image;
                    world.jobs().delete_image(world.caller, image, true, &[]).await.unwrap();
                }
                made += 1;
            }
            made
        }
    });
    let looks = async {
        for look in 0..20 {
            let found = world.uploads().check_store(look % 2 == 0, AtWork::Service).await.unwrap();
            assert!(found.agrees(), "look {look}: {found:?}");
        }
        over.store(true, Ordering::Relaxed);
    };
    let (made, ()) = tokio::join!(join_all(writers), looks);
    assert!(made.iter().all(|made| *made >= 3), "{made:?}");
    let aside = world.store().purge_set_aside(std::time::Duration::ZERO).await.unwrap();
    assert_eq!(aside, [], "somebody's bytes were moved to lost+found");
}

async fn every_image_that_is_missing_gets_its_mark(backing: Backing) {
    const LOST: usize = 130;
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    for _ in 0..LOST {
        let lost = image(&world, b"short").await;
        world.store().delete_image(ImageKey(lost.job.image.0)).await.unwrap();
    }
    let kept = image(&world, b"short").await;
    let mend = job(&scheduler, "reconcileStore", None, json!({})).await;
    let told = result(&run(&scheduler, mend).await);
    assert_eq!(told["counts"]["missingImages"], LOST, "{told}");
    let marked = Condition::parse("tag=imageDamaged::missing").unwrap();
    let marked = Query { conditions: vec![marked], ..Query::default() };
    let marks = world.db.tags(TagKind::System, &marked, Scope::All).await.unwrap().rows;
    assert_eq!(marks.len(), LOST);
    let kept = kept.job.image.to_string();
    assert!(marks.iter().all(|mark| mark.resource.uuid() != kept), "it is not missing");
}

async fn a_run_that_crashes_is_told_and_its_job_runs_again(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let image = image(&world, &content(4_000, 8)).await.job.image;
    let verify = job(&scheduler, "verifyImage", Some(image), json!({})).await;
    world.rig.crash_at(Op::ReadImage);
    let crashed = run(&scheduler, verify).await;
    assert_eq!(crashed.success, Some(false));
    let words = result(&crashed)["words"].as_str().unwrap().to_owned();
    assert!(words.contains("the run crashed, which is a defect"), "{words}");
    assert_eq!(run(&scheduler, verify).await.success, Some(true), "its place is free again");
}

/// As a version to come may have written it.
async fn a_trigger_that_cannot_be_read_keeps_no_other_from_the_list(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let (good, bad) = (trigger(&scheduler, 60, 0).await, trigger(&scheduler, 60, 0).await);
    let sql = format!("UPDATE scheduler_trigger SET interval_secs = 0 WHERE uuid = '{bad}'");
    world.test_db.sabotage(&sql).await;
    let page = scheduler.query_triggers(admin(), &Query::default()).await.unwrap();
    let listed: Vec<_> = page.rows.iter().map(|shown| shown.trigger.uuid).collect();
    assert_eq!(listed, [good]);
    // It can be deleted, as the log says.
    scheduler.delete_trigger(admin(), bad).await.unwrap();
    let page = scheduler.query_triggers(admin(), &Query::default()).await.unwrap();
    assert_eq!(page.rows.len(), 1);
}

async fn a_trigger_whose_last_fire_is_over_can_be_renamed(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let cron = |cron: &str| NewTrigger {
        name: Some("new year".to_owned()),
        cron: Some(cron.to_owned()),
        ..NewTrigger::default()
    };
    let made = scheduler.create_trigger(admin(), cron("0 0 0 1 1 ? 2027")).await.unwrap();
    let uuid = made.trigger.uuid;
    world.clock.advance_ms(365 * 86_400_000);
    let name = NewTrigger { name: Some("was new year".to_owned()), ..NewTrigger::default() };
    let renamed = scheduler.update_trigger(admin(), uuid, name).await.unwrap().trigger;
    assert_eq!((renamed.name.as_str(), &renamed.timing), ("was new year", &made.trigger.timing));
    // Whoever says when it fires is told that it never does.
    let again = scheduler.update_trigger(admin(), uuid, cron("0 0 0 1 1 ? 2027")).await;
    assert!(matches!(again, Err(ScheduleError::Invalid(_))), "{again:?}");
}
