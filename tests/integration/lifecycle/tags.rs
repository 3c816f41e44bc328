//! Tags that are given to a job while its upload lasts.

use longshore::{
    domain::{
        account::Caller,
        ids::{AccountUuid, JobUuid, TagUuid},
        image_id::ImageId,
        job_state::JobState,
        tag::{Resource, TAG_BYTES_MAX, TAGS_OF_RESOURCE_MAX, TagKind},
    },
    jobs::{JobError, JobView},
    uploads::DigestChoice,
};
use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::{
    bodies::content,
    on_all,
    rigged::{Op, Side},
    world::{Backing, Settings, World, at, hex, upload_of},
};

on_all! {
    a_job_is_found_by_a_name_that_it_got_later
    a_digest_that_was_declared_later_is_compared
    a_digest_is_refused_once_the_verification_has_begun
    a_length_that_was_declared_later_completes_the_upload
    tags_are_bounded_and_of_ones_own
    a_length_whose_tag_has_no_room_is_not_fixed
    a_digest_is_taken_if_the_upload_follows_it_whatever_is_configured
}

async fn give(world: &World, job: &JobView, text: &str) -> Result<TagUuid, JobError> {
    let resource = Resource::Job(job.job.uuid);
    let jobs = world.jobs();
    let given = jobs.create_tag(world.caller, resource, TagKind::System, text.to_owned()).await;
    given.map(|tag| tag.uuid)
}

fn invalid<T: std::fmt::Debug>(refused: Result<T, JobError>) -> String {
    match refused {
        Err(error @ (JobError::Invalid(_) | JobError::WrongState { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn a_job_is_found_by_a_name_that_it_got_later(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(2_000, 1);
    let job = world.submit(Some(bytes.len())).await;
    let found = async |world: &World, id: &str| {
        let id: ImageId = id.parse().unwrap();
        world.jobs().details(world.caller, &id).await.unwrap().len()
    };
    assert_eq!(found(&world, "mine").await, 0);
    let tag = give(&world, &job, "uploadImage::mine").await.unwrap();
    assert_eq!(give(&world, &job, "uploadImage::mine").await.unwrap(), tag);
    assert_eq!(found(&world, "mine").await, 1);
    let refused = invalid(give(&world, &job, "uploadImage::other").await);
    assert!(refused.contains("delete the tag that says otherwise"), "{refused}");
    world.crash().await;
    assert_eq!(found(&world, "mine").await, 1);
    world.jobs().delete_tag(world.caller, tag).await.unwrap();
    assert_eq!(found(&world, "mine").await, 0);
    give(&world, &job, "uploadImage::other").await.unwrap();
    assert_eq!(found(&world, "other").await, 1);
    world.send(&job, 0, &bytes).await.unwrap();
    world.assert_ready(&job, &bytes).await;
    assert_eq!(found(&world, "other").await, 0, "it is no live job any more");
    let refused = invalid(give(&world, &job, "uploadImage::third").await);
    assert!(refused.contains("is Succeeded") && refused.contains("too late"), "{refused}");
}

async fn a_digest_that_was_declared_later_is_compared(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(2_000, 2);
    for (name, right) in
        [("imageMd5", hex(&Md5::digest(&bytes))), ("imageSha256", hex(&Sha256::digest(&bytes)))]
    {
        let wrong = "0".repeat(right.len());
        for digest in [&right, &wrong] {
            let job = world.submit(Some(bytes.len())).await;
            world.send(&job, 0, &bytes[..1_000]).await.unwrap();
            let tag = give(&world, &job, &format!("{name}::{digest}")).await.unwrap();
            let other = if *digest == right { &wrong } else { &right };
            let refused = invalid(give(&world, &job, &format!("{name}::{other}")).await);
            assert!(refused.contains(name), "{refused}");
            let _ = world.send(&job, 1_000, &bytes[1_000..]).await;
            if *digest == right {
                world.assert_ready(&job, &bytes).await;
            } else {
                let failed = world.until(&job, JobState::Failed).await;
                let words = super::world::words(&failed).0;
                assert!(words.contains("does not have the declared"), "{words}");
                world.assert_nothing_left(&job).await;
            }
            world.jobs().delete_tag(world.caller, tag).await.unwrap();

            // Withdrawn in time, it is not compared.
            let job = world.submit(Some(bytes.len())).await;
            world.send(&job, 0, &bytes[..1_000]).await.unwrap();
            let tag = give(&world, &job, &format!("{name}::{wrong}")).await.unwrap();
            world.jobs().delete_tag(world.caller, tag).await.unwrap();
            world.send(&job, 1_000, &bytes[1_000..]).await.unwrap();
            world.assert_ready(&job, &bytes).await;
        }
    }
}

async fn a_digest_is_refused_once_the_verification_has_begun(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(2_000, 3);
    let job = world.submit(Some(bytes.len())).await;
    let early = give(&world, &job, &format!("imageMd5::{}", hex(&Md5::digest(&bytes)))).await;
    let hold = world.rig.hold(Op::Finish, Side::Before);
    let slice = at(0, Some(bytes.len()));
    let sent = world.sending(upload_of(&job), slice, super::bodies::whole(&bytes));
    hold.reached().await;
    let refused = invalid(give(&world, &job, &format!("imageSha256::{}", "0".repeat(64))).await);
    assert!(refused.contains("too late"), "{refused}");
    let refused = invalid(world.jobs().delete_tag(world.caller, early.unwrap()).await);
    assert!(refused.contains("when the job has ended"), "{refused}");
    world.rig.release_all();
    sent.await.unwrap().unwrap();
    world.assert_ready(&job, &bytes).await;
}

async fn a_length_that_was_declared_later_completes_the_upload(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(2_000, 4);
    let job = world.submit(None).await;
    world.send(&job, 0, &bytes).await.unwrap();
    let refused = invalid(give(&world, &job, "imageSize::1999").await);
    assert!(refused.contains("imageSize"), "{refused}");
    assert_eq!(world.state(&job).await, JobState::Running);
    let tag = give(&world, &job, "imageSize::2000").await.unwrap();
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
    assert_eq!(give(&world, &job, "imageSize::2000").await.unwrap(), tag);
    world.jobs().delete_tag(world.caller, tag).await.unwrap();

    let job = world.submit(None).await;
    let tag = give(&world, &job, "imageSize::2000").await.unwrap();
    let refused = invalid(world.jobs().delete_tag(world.caller, tag).await);
    assert!(refused.contains("goes by this tag"), "{refused}");
    let refused = invalid(give(&world, &job, "imageSize::2001").await);
    assert!(refused.contains("2000"), "{refused}");
    world.send(&job, 0, &bytes).await.unwrap();
    world.assert_ready(&job, &bytes).await;
}

async fn tags_are_bounded_and_of_ones_own(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(Some(10)).await;
    for bad in ["", "a\0b", &"é".repeat(TAG_BYTES_MAX / 2 + 1), "imageMd5::zz", "uploadImage::"] {
        invalid(give(&world, &job, bad).await);
    }
    let longest = give(&world, &job, &"x".repeat(TAG_BYTES_MAX)).await.unwrap();
    for n in 1..TAGS_OF_RESOURCE_MAX {
        give(&world, &job, &format!("n::{n}")).await.unwrap();
    }
    let refused = give(&world, &job, "one::more").await;
    assert!(matches!(refused, Err(JobError::Quota(_))), "{refused:?}");
    let (jobs, resource) = (world.jobs(), Resource::Job(job.job.uuid));
    let other = Caller { account: AccountUuid::random(), admin: false };
    let foreign = jobs.create_tag(other, resource, TagKind::System, "x".to_owned()).await;
    assert!(matches!(foreign, Err(JobError::NotFound { .. })), "{foreign:?}");
    let nobody = Resource::Job(JobUuid::random());
    for text in ["x", "uploadImage::x"] {
        let missing = jobs.create_tag(world.caller, nobody, TagKind::System, text.to_owned());
        assert!(matches!(missing.await, Err(JobError::NotFound { .. })));
    }
    let foreign = jobs.delete_tag(other, longest).await;
    assert!(matches!(foreign, Err(JobError::TagNotFound { .. })), "{foreign:?}");
    jobs.delete_tag(world.caller, longest).await.unwrap();
    give(&world, &job, "one::more").await.unwrap();
}

async fn a_length_whose_tag_has_no_room_is_not_fixed(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(None).await;
    let first = give(&world, &job, "n::0").await.unwrap();
    for n in 1..TAGS_OF_RESOURCE_MAX {
        give(&world, &job, &format!("n::{n}")).await.unwrap();
    }
    let refused = give(&world, &job, "imageSize::77").await;
    assert!(matches!(refused, Err(JobError::Quota(_))), "{refused:?}");
    let status = world.uploads().status(upload_of(&job)).await.unwrap();
    assert_eq!(status.length, None, "who is refused has changed nothing");
    world.jobs().delete_tag(world.caller, first).await.unwrap();
    give(&world, &job, "imageSize::5").await.unwrap();
    let again = give(&world, &job, "imageSize::5").await;
    assert!(again.is_ok(), "it is there already: {again:?}");
    let bytes = content(5, 5);
    world.send(&job, 0, &bytes).await.unwrap();
    world.assert_ready(&job, &bytes).await;
}

/// The setting was changed between the submit call and the tag. A digest that nobody computes would fail the job at its end.
async fn a_digest_is_taken_if_the_upload_follows_it_whatever_is_configured(backing: Backing) {
    const NONE: DigestChoice = DigestChoice { md5: false, sha256: false };
    let bytes = content(2_000, 6);
    let digests =
        [("imageMd5", hex(&Md5::digest(&bytes))), ("imageSha256", hex(&Sha256::digest(&bytes)))];
    for (before, after) in [(NONE, DigestChoice::BOTH), (DigestChoice::BOTH, NONE)] {
        let mut world =
            World::with(backing, &Settings { digests: before, ..Settings::default() }).await;
        let job = world.submit(Some(bytes.len())).await;
        world.send(&job, 0, &bytes[..1_000]).await.unwrap();
        world.settings.digests = after;
        world.crash().await;
        for (name, digest) in &digests {
            let given = give(&world, &job, &format!("{name}::{digest}")).await;
            if before == NONE {
                let refused = invalid(given);
                assert!(refused.contains("does not compute that digest"), "{refused}");
            } else {
                given.unwrap();
            }
        }
        world.send(&job, 1_000, &bytes[1_000..]).await.unwrap();
        world.until(&job, JobState::Succeeded).await;
    }
}
