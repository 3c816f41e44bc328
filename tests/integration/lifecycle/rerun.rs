//! Another run of a job that is over: the image's uuid stays, everything else of the run before is gone.

use std::time::Duration;

use longshore::{
    domain::{
        account::{Caller, Scope},
        ids::{AccountUuid, ApiId},
        image::ImageStatus,
        job::{JobResult, Stage},
        job_state::{JobState, SuspendReason},
        upload::UploadFate,
    },
    jobs::{JobError, JobView, NewJob},
    uploads::{StoreError, UploadError},
};
use longshore_storage::{ImageKey, UploadKey};

use super::{
    bodies::{content, fed, whole},
    on_all,
    rigged::{Op, Side},
    world::{Backing, Settings, World, at, new_job, upload_of, words},
};

on_all! {
    a_failed_job_runs_again_under_its_uuids
    only_a_job_that_is_over_runs_again
    an_image_that_somebody_has_is_never_replaced
    late_slices_of_the_first_run_never_reach_the_second
    late_news_of_the_first_run_never_reach_the_second
    a_crash_at_every_step_of_a_rerun_heals
    a_rerun_that_cannot_clear_the_old_bytes_changes_nothing
    submitted_again_everything_is_new
    submitted_again_by_somebody_else_nothing_is_touched
    a_rerun_is_an_open_upload
    a_rerun_heeds_the_tags_of_its_job_and_no_others
    only_a_canceling_job_is_cleaned
    an_upload_whose_name_is_taken_fails_in_words
}

const RERUN: &str = "rerun longjob only when it's succeeded, canceled, or failed";

async fn rerun(world: &World, job: &JobView) -> Result<JobView, JobError> {
    world.jobs().rerun(world.caller, job.job.uuid, ApiId::random()).await
}

/// A job of the declared tags with some bytes, canceled or failed.
async fn over(world: &World, new: NewJob, state: JobState) -> JobView {
    let job = world.jobs().submit(world.caller, new).await.unwrap();
    if state == JobState::Canceled {
        world.send(&job, 0, b"old").await.unwrap();
        world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
    } else {
        world.pass(Duration::from_secs(3601)).await;
    }
    assert_eq!(world.state(&job).await, state);
    job
}

fn gone<T: std::fmt::Debug>(answer: &Result<T, UploadError>) {
    assert!(matches!(answer, Err(UploadError::Gone { .. })), "{answer:?}");
}

async fn a_failed_job_runs_again_under_its_uuids(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(30_000, 1);
    for state in [JobState::Canceled, JobState::Failed] {
        let mut new = new_job(None);
        new.name = Some("night upload".to_owned());
        new.system_tags = vec![format!("uploadImage::{state}"), "imageSize::30000".to_owned()];
        new.user_tags = vec!["mine".to_owned()];
        let first = over(&world, new, state).await;
        world.clock.advance_ms(90_000);
        let api_id = ApiId::random();
        let second = world.jobs().rerun(world.caller, first.job.uuid, api_id).await.unwrap();

        let (job, before) = (&second.job, &first.job);
        assert_eq!((job.uuid, job.image, &job.name), (before.uuid, before.image, &before.name));
        assert_eq!((job.state, job.stage), (JobState::Running, Stage::Receiving));
        assert_eq!((job.api_id, job.created_ms), (api_id, before.created_ms));
        assert_eq!((job.finished_ms, job.execute_secs()), (None, None));
        assert_eq!(job.result, Some(JobResult::Event), "jobResult names the image and its URL");
        assert_eq!(job.job_data, before.job_data);
        assert_eq!(*job, world.job(&second).await, "as it is recorded");
        assert_ne!(upload_of(&second), upload_of(&first), "another upload, another URL");
        assert_eq!(second.image.as_ref().unwrap().status, ImageStatus::Downloading);
        let upload = second.upload.as_ref().unwrap();
        assert_eq!(upload.declared_length, Some(30_000), "what a tag declares stands");
        let tags = world.db.system_tags(&[job.image.to_string()]).await.unwrap();
        assert_eq!(tags.len(), 2, "{tags:?}");

        let image_id = state.to_string().parse().unwrap();
        let details = world.jobs().details(world.caller, &image_id).await.unwrap();
        assert_eq!(details.len(), 1, "the current run and no other");
        assert_eq!((details[0].upload.uuid, details[0].offset), (upload_of(&second), 0));

        gone(&world.send(&first, 0, &bytes[..3]).await);
        gone(&world.uploads().status(upload_of(&first)).await);
        assert_eq!(world.offset(&second).await, 0);
        world.send(&second, 0, &bytes).await.unwrap();
        world.assert_ready(&second, &bytes).await;
        gone(&world.send(&first, 0, &bytes[..3]).await);
        assert_eq!(world.uploads().promised_bytes(), 0);
    }
}

async fn only_a_job_that_is_over_runs_again(backing: Backing) {
    let mut world = World::new(backing).await;
    let job = world.submit(Some(10)).await;
    world.send(&job, 0, b"abc").await.unwrap();
    for state in [
        JobState::Running,
        JobState::Suspended(SuspendReason::User),
        JobState::Suspended(SuspendReason::Restart),
    ] {
        match state.suspend_reason() {
            Some(SuspendReason::User) => {
                world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
            }
            Some(_) => {
                world.jobs().resume(world.caller, job.job.uuid).await.unwrap();
                world.crash().await;
            }
            None => {}
        }
        let refused = rerun(&world, &job).await.unwrap_err();
        assert!(
            matches!(&refused, JobError::WrongState { state: told, words }
                if *told == state && words == RERUN),
            "{refused:?}"
        );
        assert_eq!(world.offset(&job).await, 3, "{state}: its bytes stay");
    }
    let somebody = Caller { account: AccountUuid::random(), admin: false };
    world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
    let refused = world.jobs().rerun(somebody, job.job.uuid, ApiId::random()).await;
    assert!(matches!(refused, Err(JobError::NotFound { .. })), "{refused:?}");
    assert_eq!(world.state(&job).await, JobState::Canceled);
    let mut unknown = job.clone();
    unknown.job.uuid = longshore::domain::ids::JobUuid::random();
    assert!(matches!(rerun(&world, &unknown).await, Err(JobError::NotFound { .. })));
}

async fn an_image_that_somebody_has_is_never_replaced(backing: Backing) {
    let world = World::new(backing).await;
    let (old, new) = (content(5_000, 2), content(7_000, 3));
    let first = world.submit(None).await;
    let slice = |bytes: &[u8]| longshore::uploads::Slice {
        total: Some(bytes.len() as u64),
        ..at(0, Some(bytes.len()))
    };
    let sent = world.sending(upload_of(&first), slice(&old), whole(&old)).await.unwrap();
    sent.unwrap();
    for word in ["is Ready", "is deleted and can still be recovered"] {
        let before = world.job(&first).await;
        let refused = rerun(&world, &first).await.unwrap_err();
        assert!(
            matches!(&refused, JobError::Invalid(words) if words.contains(word) && words.contains("expunge")),
            "{refused:?}"
        );
        assert_eq!(world.job(&first).await, before);
        let image = ImageKey(first.job.image.0);
        assert_eq!(world.store().image_length(image).await.unwrap(), 5_000, "its bytes stay");
        assert!(world.send(&first, 0, &old).await.unwrap().duplicate, "a replay is answered");
        world.jobs().delete_image(world.caller, first.job.image, false, &[]).await.unwrap();
    }
    world.jobs().delete_image(world.caller, first.job.image, true, &[]).await.unwrap();
    let second = rerun(&world, &first).await.unwrap();
    // The first run had an image, which is gone: its URL does not say that the bytes are stored.
    gone(&world.send(&first, 0, &old).await);
    let sent = world.sending(upload_of(&second), slice(&new), whole(&new)).await.unwrap();
    sent.unwrap();
    world.assert_ready(&second, &new).await;
    let record = world.db.upload(upload_of(&first)).await.unwrap().unwrap();
    assert_eq!(record.fate, UploadFate::Discarded);
}

/// A request of the first run is in the middle of its body while the job is canceled and run again.
async fn late_slices_of_the_first_run_never_reach_the_second(backing: Backing) {
    let world = World::new(backing).await;
    let first = world.submit(Some(20_000)).await;
    let (feed, body) = fed();
    let late = world.sending(upload_of(&first), at(0, Some(20_000)), body);
    feed.send(content(5_000, 4)).unwrap();
    while world.uploads().touched(upload_of(&first)).unwrap().last_byte_ms().is_none() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    world.jobs().cancel(world.caller, first.job.uuid).await.unwrap();
    let second = rerun(&world, &first).await.unwrap();
    let _ = feed.send(content(15_000, 5));
    drop(feed);
    let answer = late.await.unwrap();
    assert!(
        matches!(answer, Err(UploadError::Gone { .. } | UploadError::NotTaking { .. })),
        "{answer:?}"
    );
    let status = world.uploads().status(upload_of(&second)).await.unwrap();
    assert_eq!((status.stored_bytes, status.job.state), (0, JobState::Running));
    let only = vec![UploadKey(upload_of(&second).0)];
    assert_eq!(world.store().uploads().await.unwrap(), only, "nothing of the first run is left");
    assert!(world.uploads().touched(upload_of(&first)).is_none());
    let bytes = content(9, 6);
    let slice = longshore::uploads::Slice { total: Some(9), ..at(0, Some(9)) };
    world.sending(upload_of(&second), slice, whole(&bytes)).await.unwrap().unwrap();
    world.assert_ready(&second, &bytes).await;
}

/// A storage failure, a lost entry, a verdict, an expiry of the first run are told when the second is under way.
async fn late_news_of_the_first_run_never_reach_the_second(backing: Backing) {
    use longshore::uploads::JobSignals;
    let mut world = World::new(backing).await;
    let first = over(&world, new_job(Some(10)), JobState::Canceled).await;
    let over = first.upload.clone().unwrap().run();
    let second = rerun(&world, &first).await.unwrap();
    let untouched = world.job(&second).await;
    let jobs = world.jobs();
    jobs.storage_failed(over, true, "full".to_owned()).await;
    assert_eq!(world.job(&second).await, untouched);
    jobs.storage_lost(over, "lost".to_owned()).await;
    assert_eq!(world.job(&second).await, untouched);
    let woken = jobs.bytes_arrived(over).await;
    gone(&woken);
    let canceled = jobs.cancel_run(world.caller, over).await;
    assert!(
        matches!(canceled, Err(JobError::Upload(UploadError::Gone { .. }))),
        "by the URL of the first run: {canceled:?}"
    );
    assert_eq!(world.job(&second).await, untouched);
    let mut verdict = jobs.complete(over);
    let verdict = verdict.wait_for(Option::is_some).await.unwrap().clone();
    assert!(
        matches!(&verdict, Some(longshore::uploads::Verdict::Failed { detail })
            if detail.contains("new upload URL")),
        "{verdict:?}"
    );
    assert_eq!(world.job(&second).await, untouched);
    // Negative control: the same news about the second run moves it.
    jobs.storage_failed(second.job.run(), true, "full".to_owned()).await;
    assert_eq!(world.state(&second).await, JobState::Suspended(SuspendReason::NoSpace));

    // What recovery and housekeeping read before the rerun is of the first run.
    drop(jobs);
    let third = world.submit(Some(10)).await;
    world.kill().await;
    let stale = world.boot().await;
    assert!(stale.iter().any(|(job, _)| job.uuid == third.job.uuid));
    world.jobs().cancel(world.caller, third.job.uuid).await.unwrap();
    let fourth = rerun(&world, &third).await.unwrap();
    world.recover(stale).await;
    let now = world.job(&fourth).await;
    assert_eq!(now.state, JobState::Running, "{:?}", now.result);
    world.send(&fourth, 0, b"0123456789").await.err();
    assert_eq!(world.offset(&fourth).await, 10);
}

async fn a_crash_at_every_step_of_a_rerun_heals(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(10_000, 7);
    for (op, side) in [
        (Op::Discard, Side::Before),
        (Op::Discard, Side::After),
        (Op::Create, Side::Before),
        (Op::Create, Side::After),
    ] {
        let mut new = new_job(None);
        new.system_tags = vec!["imageSize::10000".to_owned()];
        let first = over(&world, new, JobState::Canceled).await;
        let stop = world.rig.hold(op, side);
        let (jobs, caller, uuid) = (world.jobs(), world.caller, first.job.uuid);
        let _lost = world.spawn(async move { jobs.rerun(caller, uuid, ApiId::random()).await });
        stop.reached().await;
        world.crash().await;
        // Before its record, nothing has happened; what it had made in the store is a stray.
        assert_eq!(world.state(&first).await, JobState::Canceled, "{op:?} {side:?}");
        assert!(world.store().uploads().await.unwrap().is_empty(), "{op:?} {side:?}");
        assert_eq!(world.uploads().promised_bytes(), 0);
        let second = rerun(&world, &first).await.unwrap();
        // After its record it is a run like any other.
        world.crash().await;
        assert_eq!(world.state(&second).await, JobState::Suspended(SuspendReason::Restart));
        gone(&world.send(&first, 0, b"old").await);
        world.send(&second, 0, &bytes).await.unwrap();
        world.assert_ready(&second, &bytes).await;
        assert_eq!(world.uploads().promised_bytes(), 0);
    }
    // The crash comes between the end of the first run and the removal of its bytes; nobody has looked for strays yet.
    let mut new = new_job(Some(3));
    new.expected.md5 = Some([1; 16]);
    let first = world.jobs().submit(world.caller, new).await.unwrap();
    let stop = world.rig.hold(Op::Discard, Side::Before);
    let _lost = world.sending(upload_of(&first), at(0, Some(3)), whole(b"abc"));
    stop.reached().await;
    world.until(&first, JobState::Failed).await;
    world.kill().await;
    let recovered = world.boot().await;
    let second = rerun(&world, &first).await.unwrap();
    let only = vec![UploadKey(upload_of(&second).0)];
    assert_eq!(world.store().uploads().await.unwrap(), only);
    world.recover(recovered).await;
    assert_eq!(world.store().uploads().await.unwrap(), only);
    assert_eq!(world.offset(&second).await, 0);
}

async fn a_rerun_that_cannot_clear_the_old_bytes_changes_nothing(backing: Backing) {
    let world = World::new(backing).await;
    let first = over(&world, new_job(Some(10)), JobState::Canceled).await;
    let before = world.job(&first).await;
    for op in [Op::Discard, Op::Create] {
        let error = StoreError::Io { action: "remove", message: "no".to_owned() };
        world.rig.fail(op, 1, error);
        let refused = rerun(&world, &first).await;
        assert!(matches!(refused, Err(JobError::Upload(_))), "{op:?} {refused:?}");
        assert_eq!(world.job(&first).await, before, "{op:?}");
        world.assert_nothing_left(&first).await;
        assert!(world.store().uploads().await.unwrap().is_empty());
        assert_eq!(world.uploads().promised_bytes(), 0);
    }
    rerun(&world, &first).await.unwrap();
}

async fn submitted_again_everything_is_new(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(8_000, 8);
    let first = world.submit(Some(bytes.len())).await;
    let again = || {
        let mut new = new_job(Some(8_000));
        new.uuid = Some(first.job.uuid);
        new.name = Some("second".to_owned());
        new.system_tags = vec!["uploadImage::again".to_owned()];
        new
    };
    let refused = world.jobs().submit(world.caller, again()).await.unwrap_err();
    assert!(
        matches!(&refused, JobError::WrongState { state: JobState::Running, words }
            if words.contains("exists already") && words.contains("cancel it")),
        "{refused:?}"
    );
    world.send(&first, 0, &bytes).await.unwrap();
    world.assert_ready(&first, &bytes).await;

    // Under the uuid of the image that is Ready: refused. Under another one: that image stays, whatever becomes of the job.
    let mut same = again();
    same.image.resource_uuid = Some(first.job.image.to_string());
    let refused = world.jobs().submit(world.caller, same).await.unwrap_err();
    assert!(matches!(&refused, JobError::Invalid(words) if words.contains("is Ready")));
    world.clock.advance_ms(60_000);
    let new = again();
    let api_id = new.api_id;
    let second = world.jobs().submit(world.caller, new).await.unwrap();
    let job = &second.job;
    assert_eq!((job.uuid, job.api_id, &*job.name), (first.job.uuid, api_id, "second"));
    assert_ne!(job.image, first.job.image);
    assert_eq!(job.created_ms, first.job.created_ms + 60_000, "createDate is now");
    assert_eq!((job.finished_ms, job.state), (None, JobState::Running));
    assert_eq!(*job, world.job(&second).await);
    let tags = world.db.system_tags(&[job.uuid.to_string()]).await.unwrap();
    assert_eq!(tags.len(), 1, "{tags:?}");
    let old = world.uploads().ready_image(world.caller, first.job.image).await.unwrap();
    assert_eq!(old.length, 8_000);
    assert!(world.send(&first, 0, &bytes).await.unwrap().duplicate, "those bytes are an image");
    world.jobs().cancel(world.caller, job.uuid).await.unwrap();
    world.assert_nothing_left(&second).await;
    let third = world.jobs().submit(world.caller, again()).await.unwrap();
    world.send(&third, 0, &bytes).await.unwrap();
    world.assert_ready(&third, &bytes).await;
}

async fn submitted_again_by_somebody_else_nothing_is_touched(backing: Backing) {
    let world = World::new(backing).await;
    let first = over(&world, new_job(Some(10)), JobState::Canceled).await;
    let before = world.job(&first).await;
    let somebody = Caller { account: AccountUuid::random(), admin: false };
    let mut new = new_job(Some(10));
    new.uuid = Some(first.job.uuid);
    let refused = world.jobs().submit(somebody, new.clone()).await.unwrap_err();
    let JobError::Invalid(final_words) = &refused else { panic!("{refused:?}") };
    assert_eq!(world.job(&first).await, before);
    // The words are the same for a job that is not over: they tell nothing of it.
    let running = rerun(&world, &first).await.unwrap();
    let refused = world.jobs().submit(somebody, new).await.unwrap_err();
    assert!(matches!(&refused, JobError::Invalid(words) if words == final_words), "{refused:?}");
    assert_eq!(world.offset(&running).await, 0);
    assert_eq!(world.store().uploads().await.unwrap().len(), 1);
}

async fn a_rerun_is_an_open_upload(backing: Backing) {
    let mut settings = Settings::default();
    settings.jobs.open_uploads_max = 1;
    let world = World::with(backing, &settings).await;
    let first = over(&world, new_job(Some(10)), JobState::Canceled).await;
    let other = world.submit(Some(10)).await;
    let refused = rerun(&world, &first).await;
    assert!(
        matches!(refused, Err(JobError::Upload(UploadError::TooManyOpen { max: 1 }))),
        "{refused:?}"
    );
    assert_eq!(world.state(&first).await, JobState::Canceled);
    assert_eq!(world.store().uploads().await.unwrap().len(), 1, "its entry is taken back");
    assert_eq!(world.uploads().promised_bytes(), 10);
    world.jobs().cancel(world.caller, other.job.uuid).await.unwrap();
    rerun(&world, &first).await.unwrap();
}

/// A job may have got more tags than one call may carry, and an image may have its uuid.
async fn a_rerun_heeds_the_tags_of_its_job_and_no_others(backing: Backing) {
    let world = World::new(backing).await;
    let mut new = new_job(None);
    new.system_tags = vec!["uploadImage::many".to_owned()];
    let job = world.jobs().submit(world.caller, new).await.unwrap();
    let resource = longshore::domain::tag::Resource::Job(job.job.uuid);
    let give = async |tag: String| {
        let kind = longshore::domain::tag::TagKind::System;
        world.jobs().create_tag(world.caller, resource, kind, tag).await.unwrap()
    };
    for n in 0..100 {
        give(format!("n::{n}")).await;
    }
    give("imageSize::9".to_owned()).await;
    let mut other = new_job(None);
    other.image.resource_uuid = Some(job.job.uuid.to_string());
    other.system_tags = vec!["uploadImage::other".to_owned(), "imageSize::5".to_owned()];
    world.jobs().submit(world.caller, other).await.unwrap();
    world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
    let second = rerun(&world, &job).await.unwrap();
    let upload = second.upload.as_ref().unwrap();
    assert_eq!(upload.declared_length, Some(9));
    assert_eq!(upload.image_id.as_ref().map(ToString::to_string).as_deref(), Some("many"));
    let bytes = content(9, 9);
    world.send(&second, 0, &bytes).await.unwrap();
    world.assert_ready(&second, &bytes).await;
}

async fn only_a_canceling_job_is_cleaned(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(Some(10)).await;
    let clean = async || world.jobs().clean(world.caller, job.job.uuid).await;
    let refused = clean().await.unwrap_err();
    assert!(matches!(&refused, JobError::Unsupported(words)
        if words == "not supported or state is not Canceling"));
    let error = StoreError::Io { action: "remove a file", message: "no".to_owned() };
    world.rig.fail(Op::Discard, 1, error);
    assert!(world.jobs().cancel(world.caller, job.job.uuid).await.is_err());
    assert_eq!(world.state(&job).await, JobState::Canceling);
    let somebody = Caller { account: AccountUuid::random(), admin: false };
    let hidden = world.jobs().clean(somebody, job.job.uuid).await;
    assert!(matches!(hidden, Err(JobError::NotFound { .. })), "{hidden:?}");
    clean().await.unwrap();
    assert_eq!(world.state(&job).await, JobState::Canceled);
    world.assert_nothing_left(&job).await;
    assert!(matches!(clean().await, Err(JobError::Unsupported(_))));
}

/// Another upload has become the image of this name behind our back: waiting would never help, and that image stays.
async fn an_upload_whose_name_is_taken_fails_in_words(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(4_000, 9);
    let other = world.submit(Some(bytes.len())).await;
    let job = world.submit(Some(bytes.len())).await;
    let owned = longshore_storage::Owned { key: UploadKey(upload_of(&other).0), epoch: 1 };
    let chunk = longshore_storage::Chunk { offset: 0, length: Some(4_000), checksum: None };
    let claimed = world.store().write(owned, chunk).await.unwrap();
    let longshore_storage::Claimed::Writer(mut writer) = claimed else { panic!("stored already") };
    writer.append(&bytes).await.unwrap();
    writer.acknowledge().await.unwrap();
    world.store().finish(owned, std::sync::Arc::new(|_| ())).await.unwrap();
    let name = ImageKey(job.job.image.0);
    world.store().publish(owned, name).await.unwrap();

    let written = world.send(&job, 0, &bytes).await.unwrap();
    assert!(
        matches!(&written.verdict, Some(longshore::uploads::Verdict::Failed { .. })),
        "{:?}",
        written.verdict
    );
    let now = world.until(&job, JobState::Failed).await;
    assert!(words(&now).0.contains("another image under this image's uuid"), "{:?}", words(&now));
    assert_eq!(world.store().image_length(name).await.unwrap(), 4_000, "it is not ours to remove");
    assert!(world.db.image(job.job.image, Scope::All).await.unwrap().is_none());
    let refused = rerun(&world, &job).await.unwrap_err();
    assert!(matches!(&refused, JobError::Invalid(words) if words.contains("no record names")));
}
