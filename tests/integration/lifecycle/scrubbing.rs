//! Images that are larger than a run, and what comes past the cache.

use std::time::{Duration, Instant};

use longshore::{
    domain::{account::Scope, image::ImageRecord, job_state::JobState, query::Query, tag::TagKind},
    jobs::JobError,
    uploads::{ImageFound, Look, Pace, PartlyRead},
};
use longshore_storage::ImageKey;
use serde_json::json;

use super::{
    bodies::content,
    on_all,
    schedule::{image, job, result, run, runs},
    world::{Backing, World},
};

on_all! {
    a_large_image_is_read_on_by_the_next_run_and_keeps_no_other_waiting
    that_an_image_is_damaged_only_the_service_says
}

const FAST: Pace = Pace { bytes_per_sec: u64::MAX };
const MIB: u64 = 1 << 20;

/// A look whose time is over when it begins: one block, and how far it came.
async fn next(world: &World, record: &ImageRecord, from: Option<PartlyRead>) -> ImageFound {
    let look = Look { pace: FAST, until: Some(Instant::now()), from };
    world.uploads().check_image(record, look).await.unwrap()
}

/// Reads block by block, over what the records keep; answers the blocks' ends and what the last one said.
async fn block_by_block(world: &World, record: &ImageRecord) -> (Vec<u64>, ImageFound) {
    let (mut from, mut ends) = (None, Vec::new());
    loop {
        match next(world, record, from).await {
            ImageFound::Partly { read: partly, bytes } => {
                assert_eq!(bytes, MIB, "those of this look alone");
                ends.push(partly.offset());
                let kept = partly.to_json().to_string();
                let back = PartlyRead::from_json(&serde_json::from_str(&kept).unwrap());
                assert_eq!(back.as_ref(), Some(&partly));
                from = back;
            }
            found => return (ends, found),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_read_in_parts_is_judged_as_a_whole() {
    let world = World::new(Backing::Local).await;
    let view = image(&world, &content(3_500_000, 90)).await;
    let record = world.image(&view).await.unwrap();
    let (ends, found) = block_by_block(&world, &record).await;
    assert_eq!(ends, [MIB, 2 * MIB, 3 * MIB]);
    assert_eq!(found, ImageFound::Sound { bytes: 3_500_000 - 3 * MIB });
    // The part is of these bytes: with other digests, or another length, it is begun anew.
    let ImageFound::Partly { read: part, .. } = next(&world, &record, None).await else {
        panic!("no part")
    };
    let other = ImageRecord { md5: Some("0".repeat(32)), ..record.clone() };
    assert!(part.is_of(&record) && !part.is_of(&other));
    let ImageFound::Partly { read: anew, bytes } = next(&world, &other, Some(part)).await else {
        panic!("no part")
    };
    assert_eq!((anew.offset(), bytes), (MIB, MIB));
    for broken in [json!({}), json!([]), json!({"image": "x"})] {
        assert_eq!(PartlyRead::from_json(&broken), None);
    }
    // Rot in the part that was read first is seen when the last one has been.
    let key = record.uuid.to_string();
    let path = world.root().unwrap().join("images").join(&key[30..]).join(&key);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[77] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (ends, found) = block_by_block(&world, &record).await;
    assert_eq!(ends.len(), 3);
    assert!(matches!(found, ImageFound::WrongDigest { .. }), "{found:?}");
}

/// One of 20 MiB at 4 MiB/s, in runs of one second: at first it came first, and none of the others was ever looked at.
async fn a_large_image_is_read_on_by_the_next_run_and_keeps_no_other_waiting(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let large = content(20 << 20, 91);
    let view = world.submit(Some(large.len())).await;
    world.send(&view, 0, &large).await.unwrap();
    world.until(&view, JobState::Succeeded).await;
    for seed in 92..95 {
        image(&world, &content(4_000, seed)).await;
    }
    let slow = json!({"mebibytesPerSec": 4, "secsPerRun": 1});
    let scrub = job(&scheduler, "scrubImages", None, slow).await;
    let (mut sound, mut bytes, mut begun) = (Vec::new(), 0, false);
    for number in 1..20 {
        let now = Instant::now();
        // Each by a process of its own, that knows what the records know.
        let counts = result(&run(&world.scheduler(), scrub).await)["counts"].clone();
        assert!(now.elapsed() < Duration::from_secs(15), "a run of one second, and the same again");
        sound.push(counts["sound"].as_u64().unwrap());
        bytes += counts["bytes"].as_u64().unwrap();
        begun |= counts["begun"] == 1;
        if number == 4 {
            assert!(sound.iter().sum::<u64>() >= 3, "the others were not looked at: {sound:?}");
        }
        if sound.iter().sum::<u64>() == 4 {
            break;
        }
    }
    assert_eq!(sound.iter().sum::<u64>(), 4, "{sound:?}");
    assert!(begun && sound.len() > 2, "it was larger than a run: {sound:?}");
    assert_eq!(bytes, (20 << 20) + 12_000, "each byte once");
    assert_eq!(world.db.scrub_note().await.unwrap().as_deref(), Some("[]"), "nothing is left");
    assert_eq!(runs(&scheduler, &["success=false"]).await.len(), 0);
}

async fn that_an_image_is_damaged_only_the_service_says(backing: Backing) {
    let world = World::new(backing).await;
    let scheduler = world.scheduler();
    let view = image(&world, &content(4_000, 96)).await;
    let resource = longshore::domain::tag::Resource::Image(view.job.image);
    let tag = "imageDamaged::digest".to_owned();
    let given = world.jobs().create_tag(world.caller, resource, TagKind::System, tag.clone()).await;
    assert!(matches!(given, Err(JobError::Invalid(_))), "{given:?}");
    let mut new = super::world::new_job(Some(5));
    new.system_tags.push(tag.clone());
    let given = world.jobs().submit(world.caller, new).await;
    assert!(matches!(given, Err(JobError::Invalid(_))), "{given:?}");
    // What the service has said stays until the service takes it back.
    world.store().delete_image(ImageKey(view.job.image.0)).await.unwrap();
    let verify = job(&scheduler, "verifyImage", Some(view.job.image), json!({})).await;
    assert_eq!(run(&scheduler, verify).await.success, Some(false));
    let tags = async || {
        let all = Query::default();
        let tags = world.db.tags(TagKind::System, &all, Scope::All).await.unwrap().rows;
        tags.into_iter().filter(|tag| tag.tag.starts_with("imageDamaged")).collect::<Vec<_>>()
    };
    let mark = tags().await.remove(0);
    let taken = world.jobs().delete_tag(world.caller, mark.uuid).await;
    assert!(matches!(taken, Err(JobError::Invalid(_))), "{taken:?}");
    assert_eq!(tags().await, std::slice::from_ref(&mark));
    // A job that happens to have the uuid of the image keeps its tag when the image is found sound.
    let on_job = format!("UPDATE tag SET resource_type = 'LongJobVO' WHERE uuid = '{}'", mark.uuid);
    world.test_db.sabotage(&on_job).await;
    let store = world.store();
    store.put_whole(ImageKey(view.job.image.0), content(4_000, 96).into()).await.unwrap();
    assert_eq!(run(&scheduler, verify).await.success, Some(true));
    assert_eq!(tags().await.len(), 1, "the tag of a job was taken away");
}
