//! Several schedulers over one set of records, and changes that cross.

use std::sync::Arc;

use longshore::{
    db::{ScheduleChange, ScheduleChanged},
    domain::{clock::Clock, schedule::Target},
    jobs::Scheduler,
};
use serde_json::json;

use super::{
    schedule::{admin, ended, job, trigger},
    world::{Backing, World},
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
