//! What runs by itself, where rows cannot be read, and which row a run gets.

use longshore::{
    domain::{clock::Clock as _, schedule::Target},
    jobs::NewJobGroup,
};
use longshore_storage::{ImageKey, UploadKey};
use serde_json::json;

use super::{
    bodies::content,
    on_all,
    schedule::{admin, ended, image, job, result, run, trigger},
    world::{Backing, World, upload_of},
};

on_all! {
    a_fire_that_cannot_be_taken_is_left_for_a_minute
    an_image_whose_row_cannot_be_read_keeps_no_other
    a_run_by_hand_is_found_by_its_group
}

async fn a_fire_that_cannot_be_taken_is_left_for_a_minute(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    for _ in 0..2 {
        let job = job(&scheduler, "expireUploads", None, json!({})).await;
        let trigger = trigger(&scheduler, 60, 0).await;
        scheduler.bind(admin(), trigger, Target::Job(job), false).await.unwrap();
    }
    world.clock.advance_ms(61_000);
    let now_ms = world.clock.now_ms();
    let rows = "WHERE uuid = (SELECT MIN(uuid) FROM scheduler_job)";
    let parameters = |text: &str| format!("UPDATE scheduler_job SET parameters = '{text}' {rows}");
    world.test_db.sabotage(&parameters(r#"{"later":1}"#)).await;
    assert_eq!(scheduler.fire_due(now_ms).await.unwrap(), 1, "it keeps no other");
    // It would be taken now, if it were tried.
    world.test_db.sabotage(&parameters("{}")).await;
    assert_eq!(scheduler.fire_due(now_ms).await.unwrap(), 0);
    assert_eq!(world.scheduler().fire_due(now_ms).await.unwrap(), 1);
    ended(&scheduler, &[]).await;
}

async fn an_image_whose_row_cannot_be_read_keeps_no_other(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let bytes = content(4_000, 7);
    let mut images = Vec::new();
    for _ in 0..3 {
        images.push(image(&world, &bytes).await.job.image);
    }
    let upload = world.submit(Some(20)).await;
    world.send(&upload, 0, b"abc").await.unwrap();
    world.jobs().suspend(world.caller, upload.job.uuid).await.unwrap();
    let owned = longshore_storage::Owned { key: UploadKey(upload_of(&upload).0), epoch: u64::MAX };
    world.store().discard(owned).await.unwrap();
    world.store().delete_image(ImageKey(images[0].0)).await.unwrap();
    let broken = format!("UPDATE image SET size = -1 WHERE uuid = '{}'", images[1]);
    world.test_db.sabotage(&broken).await;

    let scrub = job(&scheduler, "scrubImages", None, json!({"againAfterDays": 0})).await;
    for _ in 0..2 {
        world.clock.advance_ms(1_000);
        let scrubbed = run(&scheduler, scrub).await;
        let counts = &result(&scrubbed)["counts"];
        assert_eq!(scrubbed.success, Some(false));
        for (name, count) in [("sound", 1), ("damaged", 1), ("failed", 1)] {
            assert_eq!(counts[name], count, "{name}: {counts}");
        }
    }
    let look = job(&scheduler, "reconcileStore", None, json!({"repair": false})).await;
    let counts = result(&run(&scheduler, look).await)["counts"].clone();
    let found =
        [("unreadable", 1), ("missingImages", 1), ("missingUploads", 1), ("unknownImages", 0)];
    for (name, count) in found {
        assert_eq!(counts[name], count, "{name}: {counts}");
    }
}

async fn a_run_by_hand_is_found_by_its_group(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let (one, other, alone) = (
        job(&scheduler, "expireUploads", None, json!({})).await,
        job(&scheduler, "expireUploads", None, json!({})).await,
        job(&scheduler, "expireUploads", None, json!({})).await,
    );
    let new =
        NewJobGroup { uuid: None, name: "nightly".to_owned(), description: None, job_type: None };
    let group = scheduler.create_group(admin(), new).await.unwrap().group.uuid;
    scheduler.join_group(admin(), group, vec![one, other]).await.unwrap();
    let daily = trigger(&scheduler, 86_400, 0).await;
    let of = format!("schedulerJobGroupUuid={group}");

    scheduler.bind(admin(), daily, Target::Group(group), true).await.unwrap();
    assert_eq!(ended(&scheduler, &[&of]).await.len(), 2);
    scheduler.bind(admin(), daily, Target::Job(alone), false).await.unwrap();
    scheduler.run_trigger(admin(), daily, &[]).await.unwrap();
    let all = ended(&scheduler, &[&of]).await;
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|run| run.group == Some(group) && run.trigger == Some(daily)));
    // Negative controls: not as part of the group.
    run(&scheduler, one).await;
    let runs = ended(&scheduler, &[&format!("schedulerJobUuid={alone}")]).await;
    assert_eq!((runs.len(), runs[0].group), (1, None));
    assert_eq!(ended(&scheduler, &[&of]).await.len(), 4);
}
