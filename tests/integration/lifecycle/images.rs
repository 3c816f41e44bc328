//! Images after their upload: changed, deleted, recovered, expunged, and read meanwhile.

use std::time::Duration;

use futures::StreamExt;
use longshore::{
    domain::{
        account::Caller,
        ids::{AccountUuid, ImageUuid},
        image::ImageStatus,
        job_state::JobState,
        update_image::ImageChanges,
    },
    jobs::{JobError, JobView},
    uploads::{StoreError, UploadError},
};
use longshore_storage::ImageKey;

use super::{
    bodies::content,
    on_all,
    rigged::{Op, Side},
    world::{Backing, World, at, new_job, upload_of},
};

on_all! {
    a_deleted_image_is_kept_for_three_days_and_can_be_recovered
    an_image_is_expunged_when_that_is_asked
    a_crash_between_bytes_and_record_heals
    a_recovered_image_is_not_purged
    a_download_never_goes_on_with_another_images_bytes
    a_change_while_the_upload_is_finished_is_kept
    images_of_others_are_not_found
}

async fn ready(world: &World, bytes: &[u8]) -> JobView {
    let job = world.submit(Some(bytes.len())).await;
    world.send(&job, 0, bytes).await.unwrap();
    world.assert_ready(&job, bytes).await;
    job
}

/// What a download answers: all bytes, or an error.
async fn downloaded(world: &World, image: ImageUuid) -> Result<Vec<u8>, UploadError> {
    let ready = world.uploads().ready_image(world.caller, image).await?;
    let blocks = world.uploads().image_bytes(world.caller, &ready, 0..ready.length);
    let mut blocks = Box::pin(blocks.unwrap());
    let mut bytes = Vec::new();
    while let Some(block) = blocks.next().await {
        bytes.extend_from_slice(&block?);
    }
    Ok(bytes)
}

fn words<T: std::fmt::Debug>(refused: Result<T, JobError>) -> String {
    match refused {
        Err(error @ JobError::Invalid(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn expunged(world: &World, image: ImageUuid) -> bool {
    let gone = world.store().image_length(ImageKey(image.0)).await.is_err();
    let record = world.db.image(image, world.caller.scope()).await.unwrap();
    assert_eq!(gone, record.is_none(), "bytes and record go together");
    gone
}

async fn a_deleted_image_is_kept_for_three_days_and_can_be_recovered(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(3_000, 1);
    let job = ready(&world, &bytes).await;
    let (jobs, caller, image) = (world.jobs(), world.caller, job.job.image);
    let refused = words(jobs.recover_image(caller, image, vec![]).await);
    assert!(refused.contains("it is Ready: there is nothing to recover"), "{refused}");

    for round in 0..2 {
        jobs.delete_image(caller, image, false, &[]).await.unwrap();
        let deleted = world.image(&job).await.unwrap();
        assert_eq!(deleted.status, ImageStatus::Deleted);
        assert!(matches!(downloaded(&world, image).await, Err(UploadError::NotFound)));
        world.pass(Duration::from_secs(259_199)).await;
        jobs.purge(longshore::domain::clock::Clock::now_ms(&*world.clock)).await.unwrap();
        let back = jobs.recover_image(caller, image, vec![]).await.unwrap();
        assert_eq!((back.status, back.deleted_ms), (ImageStatus::Ready, None), "round {round}");
        assert_eq!(downloaded(&world, image).await.unwrap(), bytes);
    }
    drop(jobs);
    world.crash().await;
    assert_eq!(downloaded(&world, image).await.unwrap(), bytes);
    world.jobs().delete_image(caller, image, false, &[]).await.unwrap();
    world.pass(Duration::from_secs(259_201)).await;
    world.jobs().purge(longshore::domain::clock::Clock::now_ms(&*world.clock)).await.unwrap();
    assert!(expunged(&world, image).await);
    let gone = world.jobs().recover_image(caller, image, vec![]).await;
    assert!(matches!(gone, Err(JobError::ImageNotFound { .. })), "{gone:?}");
}

async fn an_image_is_expunged_when_that_is_asked(backing: Backing) {
    let world = World::new(backing).await;
    let (jobs, caller) = (world.jobs(), world.caller);
    let open = world.submit(Some(10)).await;
    for enforcing in [false, true] {
        let refused = words(jobs.delete_image(caller, open.job.image, enforcing, &[]).await);
        assert!(refused.contains("is being uploaded: cancel its long job"), "{refused}");
    }
    for (enforcing, size) in [(false, 10), (true, 20)] {
        let job = ready(&world, &content(size, 3)).await;
        let image = job.job.image;
        let here = vec![world.image(&job).await.unwrap().storage.to_string()];
        let there = [here[0].clone(), "0123456789ab4def8123456789abcdef".to_owned()];
        let refused = words(jobs.delete_image(caller, image, enforcing, &there).await);
        assert!(refused.contains("is not on the backup storage[uuid:0123456789"), "{refused}");
        let refused = words(jobs.expunge_image(caller, image, &[]).await);
        assert!(refused.contains("only a deleted image can be expunged"), "{refused}");
        assert!(!expunged(&world, image).await);
        jobs.delete_image(caller, image, enforcing, &here).await.unwrap();
        if !enforcing {
            let refused = words(jobs.expunge_image(caller, image, &there).await);
            assert!(refused.contains("is not on the backup storage"), "{refused}");
            assert!(!expunged(&world, image).await);
            let refused = words(jobs.recover_image(caller, image, there.to_vec()).await);
            assert!(refused.contains("is not on the backup storage"), "{refused}");
            jobs.expunge_image(caller, image, &here).await.unwrap();
        }
        assert!(expunged(&world, image).await);
        let tags = world.db.system_tags(&[image.to_string()]).await.unwrap();
        assert!(tags.is_empty(), "its tags are gone: {tags:?}");
        let late = world.send(&job, 0, &content(size, 3)).await;
        assert!(
            matches!(late, Err(UploadError::Gone { .. })),
            "those bytes are not stored: {late:?}"
        );
        let gone = jobs.expunge_image(caller, image, &[]).await;
        assert!(matches!(gone, Err(JobError::ImageNotFound { .. })), "{gone:?}");
        assert_eq!(world.state(&job).await, JobState::Succeeded, "its job is told all the same");
    }
    assert_eq!(world.state(&open).await, JobState::Running);
}

async fn a_crash_between_bytes_and_record_heals(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(3_000, 4);
    let (one, other) = (ready(&world, &bytes).await, ready(&world, &bytes).await);
    let (first, second) = (one.job.image, other.job.image);
    for image in [first, second] {
        world.jobs().delete_image(world.caller, image, false, &[]).await.unwrap();
        // The bytes are gone, and the record that says so was never written.
        let hold = world.rig.hold(Op::DeleteImage, Side::After);
        let (jobs, caller) = (world.jobs(), world.caller);
        let _cut = world.spawn(async move { jobs.expunge_image(caller, image, &[]).await });
        hold.reached().await;
        world.crash().await;
        assert!(world.store().image_length(ImageKey(image.0)).await.is_err());
        assert!(world.db.image(image, world.caller.scope()).await.unwrap().is_some());
    }
    // A record without bytes is no image that can be recovered.
    let refused = words(world.jobs().recover_image(world.caller, first, vec![]).await);
    assert!(refused.contains("its bytes are gone"), "{refused}");
    world.jobs().expunge_image(world.caller, first, &[]).await.unwrap();
    assert!(expunged(&world, first).await);
    world.pass(Duration::from_hours(73)).await;
    world.jobs().purge(longshore::domain::clock::Clock::now_ms(&*world.clock)).await.unwrap();
    assert!(expunged(&world, second).await);
}

/// Housekeeping has listed what is old enough, and then a user is faster.
async fn a_recovered_image_is_not_purged(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(3_000, 5);
    let (first, second) = (ready(&world, &bytes).await, ready(&world, &bytes).await);
    let (jobs, caller) = (world.jobs(), world.caller);
    for job in [&first, &second] {
        jobs.delete_image(caller, job.job.image, false, &[]).await.unwrap();
        world.pass(Duration::from_secs(1)).await;
    }
    world.pass(Duration::from_hours(73)).await;
    let hold = world.rig.hold(Op::DeleteImage, Side::Before);
    let (purging, now_ms) = (world.jobs(), longshore::domain::clock::Clock::now_ms(&*world.clock));
    let purge = world.spawn(async move { purging.purge(now_ms).await });
    hold.reached().await;
    // The first is being removed; the second is on the list.
    let recovering = world.jobs();
    let late = world.spawn({
        let image = first.job.image;
        async move { recovering.recover_image(caller, image, vec![]).await }
    });
    jobs.recover_image(caller, second.job.image, vec![]).await.unwrap();
    // And deleted again: its three days begin anew.
    jobs.delete_image(caller, second.job.image, false, &[]).await.unwrap();
    assert!(!late.is_finished(), "it waits for who removes it");
    world.rig.release_all();
    purge.await.unwrap().unwrap();
    let late = late.await.unwrap();
    assert!(matches!(late, Err(JobError::ImageNotFound { .. })), "{late:?}");
    assert!(expunged(&world, first.job.image).await);
    jobs.recover_image(caller, second.job.image, vec![]).await.unwrap();
    assert_eq!(downloaded(&world, second.job.image).await.unwrap(), bytes);
}

async fn a_download_never_goes_on_with_another_images_bytes(backing: Backing) {
    let world = World::new(backing).await;
    let (old, new) = (content(3 << 20, 6), content(3 << 20, 7));
    let job = ready(&world, &old).await;
    let (jobs, caller, image) = (world.jobs(), world.caller, job.job.image);
    let begun = world.uploads().ready_image(caller, image).await.unwrap();
    let blocks = world.uploads().image_bytes(world.caller, &begun, 0..begun.length);
    let mut blocks = Box::pin(blocks.unwrap());
    let first = blocks.next().await.unwrap().unwrap();
    assert!(first == old[..first.len()]);
    // Deleted is not yet gone: who has begun may go on.
    jobs.delete_image(caller, image, false, &[]).await.unwrap();
    let second = blocks.next().await.unwrap().unwrap();
    assert!(second == old[first.len()..first.len() + second.len()]);
    jobs.expunge_image(caller, image, &[]).await.unwrap();
    let mut again = new_job(Some(new.len()));
    again.image.resource_uuid = Some(image.to_string());
    let again = jobs.submit(caller, again).await.unwrap();
    world.send(&again, 0, &new).await.unwrap();
    world.assert_ready(&again, &new).await;
    let ended = blocks.next().await.unwrap();
    assert!(matches!(ended, Err(UploadError::NotFound)), "{:?}", ended.map(|b| b.len()));
    assert!(downloaded(&world, image).await.unwrap() == new);
}

async fn a_change_while_the_upload_is_finished_is_kept(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(3_000, 8);
    let job = world.submit(Some(bytes.len())).await;
    let renamed =
        |name: &str| ImageChanges { name: Some(name.to_owned()), ..ImageChanges::default() };
    let (jobs, caller, image) = (world.jobs(), world.caller, job.job.image);
    let (changed, upload) = jobs.update_image(caller, image, renamed("early")).await.unwrap();
    assert_eq!(changed.status, ImageStatus::Downloading);
    assert_eq!(upload.map(|upload| upload.uuid), Some(upload_of(&job)));
    let hold = world.rig.hold(Op::Publish, Side::Before);
    let slice = at(0, Some(bytes.len()));
    let sent = world.sending(upload_of(&job), slice, super::bodies::whole(&bytes));
    hold.reached().await;
    let changing = world.jobs();
    let change = async move { changing.update_image(caller, image, renamed("late")).await };
    let change = world.spawn(change);
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.rig.release_all();
    sent.await.unwrap().unwrap();
    let (changed, _) = change.await.unwrap().unwrap();
    assert_eq!((changed.name.as_str(), changed.status), ("late", ImageStatus::Ready));
    world.assert_ready(&job, &bytes).await;
    let now = world.image(&job).await.unwrap();
    assert_eq!((now.name.as_str(), now.status), ("late", ImageStatus::Ready));
    let disabled = ImageChanges::of_state_event("disable").unwrap();
    let (disabled, _) = jobs.update_image(caller, image, disabled).await.unwrap();
    assert!(!disabled.enabled && disabled.name == "late");
}

async fn images_of_others_are_not_found(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(100, 9);
    let job = ready(&world, &bytes).await;
    let (jobs, image) = (world.jobs(), job.job.image);
    let other = Caller { account: AccountUuid::random(), admin: false };
    let changes = ImageChanges::of_state_event("disable").unwrap();
    let outcomes = [
        jobs.update_image(other, image, changes).await.map(drop),
        jobs.delete_image(other, image, true, &[]).await,
        jobs.expunge_image(other, image, &[]).await,
        jobs.recover_image(other, image, vec![]).await.map(drop),
    ];
    for outcome in outcomes {
        assert!(matches!(outcome, Err(JobError::ImageNotFound { .. })), "{outcome:?}");
    }
    assert_eq!(world.image(&job).await.unwrap().status, ImageStatus::Ready);
    // A store that cannot remove it says so, and the record stays to try again from.
    let error = StoreError::Io { action: "remove", message: "no".to_owned() };
    world.rig.fail(Op::DeleteImage, 1, error);
    let failed = jobs.delete_image(world.caller, image, true, &[]).await;
    assert!(matches!(failed, Err(JobError::Upload(_))), "{failed:?}");
    assert_eq!(world.image(&job).await.unwrap().status, ImageStatus::Deleted);
    jobs.delete_image(world.caller, image, true, &[]).await.unwrap();
    assert!(expunged(&world, image).await);
}
