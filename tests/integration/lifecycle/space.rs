//! Room: promised before the first byte, held while a job waits, given back at its end.

use futures::future::join_all;
use longshore::{
    domain::job_state::JobState,
    jobs::JobError,
    uploads::{Slice, StoreError, UploadError},
};

use super::{
    bodies::{broken_after, content, fed, whole},
    on_all,
    rigged::Op,
    world::{Backing, Settings, World, at, new_job, upload_of},
};

on_all! {
    no_room_is_told_before_the_first_byte
    racing_submissions_never_promise_more_than_there_is
    promises_shrink_while_one_body_comes
    a_length_that_is_refused_promises_nothing
    open_uploads_are_bounded
    too_large_is_too_large
}

async fn no_room_is_told_before_the_first_byte(backing: Backing) {
    let mut settings = Settings::default();
    settings.uploads.free_bytes_min_percent = 5;
    let world = World::with(backing, &settings).await;
    world.rig.room(10_000, 6_000);
    let refused = world.jobs().submit(world.caller, new_job(Some(5_501))).await;
    assert!(
        matches!(
            refused,
            Err(JobError::Upload(UploadError::NoRoom { free: 5_500, needed: 5_501 }))
        ),
        "{refused:?}"
    );
    assert!(world.store().uploads().await.unwrap().is_empty(), "nothing was made");
    let job = world.submit(Some(5_500)).await;
    assert_eq!(world.uploads().promised_bytes(), 5_500);
    world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
    assert_eq!(world.uploads().promised_bytes(), 5_500, "held while Suspended");
    assert!(world.jobs().submit(world.caller, new_job(Some(1))).await.is_err());
    world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
    assert_eq!(world.uploads().promised_bytes(), 0);
    world.submit(Some(5_500)).await;
    // One whose length comes with its first slice.
    let late = world.submit(None).await;
    let slice = Slice { total: Some(600), ..at(0, Some(600)) };
    let refused = world.sending(upload_of(&late), slice, whole(&content(600, 1))).await.unwrap();
    assert!(matches!(refused, Err(UploadError::NoRoom { .. })), "{refused:?}");
    assert_eq!(world.offset(&late).await, 0);
    assert_eq!(world.uploads().promised_bytes(), 5_500, "what was refused is not promised");
}

async fn racing_submissions_never_promise_more_than_there_is(backing: Backing) {
    let world = World::new(backing).await;
    world.rig.room(1_000_000, 1_000);
    let jobs = world.jobs();
    let racing = (0..20).map(|_| {
        let (jobs, caller) = (std::sync::Arc::clone(&jobs), world.caller);
        world.spawn(async move { jobs.submit(caller, new_job(Some(300))).await })
    });
    let mut taken = 0;
    for submitted in join_all(racing.collect::<Vec<_>>()).await {
        match submitted.unwrap() {
            Ok(_) => taken += 1,
            Err(JobError::Upload(UploadError::NoRoom { .. })) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(taken, 3);
    assert_eq!(world.uploads().promised_bytes(), 900);
    assert_eq!(world.store().uploads().await.unwrap().len(), 3, "the refused left nothing");
}

/// What one long body has brought is not free any more, so it must not be promised any more: counted twice, a large upload
/// would keep all others out.
async fn promises_shrink_while_one_body_comes(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(6 << 20, 2);
    let job = world.submit(Some(8 << 20)).await;
    let (feed, body) = fed();
    let sending = world.sending(upload_of(&job), at(0, Some(8 << 20)), body);
    for piece in bytes.chunks(64 << 10) {
        feed.send(piece.to_vec()).unwrap();
    }
    let begun = std::time::Instant::now();
    while world.uploads().promised_bytes() > 4 << 20 {
        assert!(begun.elapsed().as_secs() < 10, "still {}", world.uploads().promised_bytes());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(world.uploads().promised_bytes() >= 2 << 20, "what is missing stays promised");
    drop(feed);
    assert!(sending.await.unwrap().is_err(), "it announced more");
    assert_eq!(world.uploads().promised_bytes(), 2 << 20);
}

async fn a_length_that_is_refused_promises_nothing(backing: Backing) {
    let world = World::new(backing).await;
    // More than the test's machine may have: the store, not the room, is to refuse.
    world.rig.room(1 << 40, 1 << 40);
    let job = world.submit(None).await;
    world.send(&job, 0, b"abc").await.unwrap();
    let ahead = world.uploads().promised_bytes();
    world.rig.fail(Op::Declare, 1, StoreError::NoSpace);
    let slice = Slice { total: Some(1 << 35), ..at(3, Some(1)) };
    assert!(world.sending(upload_of(&job), slice, whole(b"d")).await.unwrap().is_err());
    assert_eq!(world.uploads().promised_bytes(), ahead);
    let slice = Slice { total: Some(6), ..at(3, Some(3)) };
    let broken = world.sending(upload_of(&job), slice, broken_after(b"de")).await.unwrap();
    assert!(matches!(broken, Err(UploadError::Body { offset: 5, .. })), "{broken:?}");
    assert_eq!(world.uploads().promised_bytes(), 1);
    world.send(&job, 5, b"f").await.unwrap();
    world.assert_ready(&job, b"abcdef").await;
    assert_eq!(world.uploads().promised_bytes(), 0);
}

async fn open_uploads_are_bounded(backing: Backing) {
    let mut settings = Settings::default();
    settings.jobs.open_uploads_max = 2;
    let world = World::with(backing, &settings).await;
    let first = world.submit(Some(3)).await;
    let second = world.submit(Some(3)).await;
    let refused = world.jobs().submit(world.caller, new_job(Some(3))).await;
    assert!(
        matches!(refused, Err(JobError::Upload(UploadError::TooManyOpen { max: 2 }))),
        "{refused:?}"
    );
    assert_eq!(world.store().uploads().await.unwrap().len(), 2, "the refused left nothing");
    assert_eq!(world.uploads().promised_bytes(), 6);
    world.jobs().suspend(world.caller, second.job.uuid).await.unwrap();
    assert!(world.jobs().submit(world.caller, new_job(None)).await.is_err(), "it is open still");
    world.send(&first, 0, b"abc").await.unwrap();
    world.until(&first, JobState::Succeeded).await;
    world.submit(Some(3)).await;
}

async fn too_large_is_too_large(backing: Backing) {
    let mut settings = Settings::default();
    settings.uploads.upload_bytes_max = 1_000;
    let world = World::with(backing, &settings).await;
    let refused = world.jobs().submit(world.caller, new_job(Some(1_001))).await;
    assert!(
        matches!(
            refused,
            Err(JobError::Upload(UploadError::TooLarge { offered: 1_001, max: 1_000 }))
        ),
        "{refused:?}"
    );
    let job = world.submit(None).await;
    let refused = world.send(&job, 990, &[0; 11]).await;
    assert!(matches!(refused, Err(UploadError::TooLarge { .. })), "{refused:?}");
    // One that does not say how long it is.
    let slice = Slice { is_whole: true, ..Slice::default() };
    let refused = world.sending(upload_of(&job), slice, whole(&[0; 5_000])).await.unwrap();
    assert!(matches!(refused, Err(UploadError::TooLarge { .. })), "{refused:?}");
    assert!(world.offset(&job).await <= 1_000);
}
