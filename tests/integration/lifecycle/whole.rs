//! Images of one short request: without an upload, and with all the ends that an upload has.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use longshore::{
    domain::{
        account::Scope,
        ids::ImageUuid,
        image::ImageStatus,
        image_id::ImageId,
        job::{JobResult, Stage},
        job_state::{JobState, SuspendReason},
        upload::UploadFate,
    },
    jobs::{JobError, JobView, Joined, NewJob, Put},
    uploads::{AtWork, BodyError, ChunkChecksum, Replay, Slice, StoreError, UploadError, Verdict},
};
use longshore_storage::ImageKey;
use md5::{Digest as _, Md5};

use super::{
    bodies::{Body, content, pending_after, whole},
    on_all,
    rigged::{Op, Side},
    schedule::{job, result, run},
    world::{Backing, Settings, World, new_job, upload_of},
};

on_all! {
    a_short_body_becomes_an_image_at_once
    a_crash_at_any_step_leaves_an_image_or_nothing
    an_image_that_is_being_made_is_no_stray
    an_image_without_a_record_is_left_time_and_then_told_and_set_aside
    what_fails_goes_the_ordinary_way
    what_does_not_come_whole_is_an_upload
    what_is_not_what_was_declared_is_refused_as_ever
    others_wait_for_the_first_and_get_its_image
    bounds_hold
}

const ID: &str = "small one";

fn id() -> ImageId {
    ID.parse().unwrap()
}

fn new() -> NewJob {
    let mut new = new_job(None);
    new.uuid = None;
    new.image.resource_uuid = None;
    new.system_tags = vec![format!("uploadImage::{ID}")];
    new
}

fn all_of(bytes: &[u8]) -> Slice {
    let length = Some(bytes.len() as u64);
    Slice { length, total: length, ..Slice::default() }
}

/// What a request was answered: the job of its Ready image, or the upload that its body goes to, and that body.
enum Answer {
    Ready(Box<JobView>),
    Goes(Joined, Vec<Result<Bytes, BodyError>>),
}

/// Asks as the adapter does.
async fn ask(world: &World, new: NewJob, slice: Slice, body: Body) -> Result<Answer, JobError> {
    let (jobs, caller) = (world.jobs(), world.caller);
    let asked = world.spawn(async move {
        let mut body = body;
        let mut body = Replay::new(&mut body);
        match jobs
            .put_image(caller, id(), NewJob { length: slice.total, ..new }, &slice, &mut body)
            .await?
        {
            Put::Ready(written) => {
                assert!(matches!(written.verdict, Some(Verdict::Ready { .. })));
                let status = written.status;
                let (job, image) = (status.job, status.image);
                Ok(Answer::Ready(Box::new(JobView { job, image, upload: Some(status.record) })))
            }
            Put::Goes(joined) => {
                let rest = body.take_until(tokio::time::sleep(Duration::from_millis(100)));
                Ok(Answer::Goes(joined, rest.collect().await))
            }
        }
    });
    asked.await.unwrap()
}

/// The image of one request.
pub(super) async fn made_of(world: &World, new: NewJob, bytes: &[u8]) -> JobView {
    let mut new = NewJob { uuid: None, ..new };
    new.image.resource_uuid = None;
    match ask(world, new, all_of(bytes), whole(bytes)).await.unwrap() {
        Answer::Ready(view) => *view,
        Answer::Goes(joined, _) => panic!("it went the ordinary way: {joined:?}"),
    }
}

async fn ready(world: &World, bytes: &[u8]) -> JobView {
    match ask(world, new(), all_of(bytes), whole(bytes)).await.unwrap() {
        Answer::Ready(view) => *view,
        Answer::Goes(joined, _) => panic!("it went the ordinary way: {joined:?}"),
    }
}

/// The upload that a body was sent to, with the bytes and the error that it yields there.
fn gone(answer: Answer) -> (JobView, Vec<u8>, Option<BodyError>) {
    let Answer::Goes(Joined::Made(view), body) = answer else {
        panic!("an image was made at once")
    };
    let (mut bytes, mut error) = (Vec::new(), None);
    for part in body {
        match part {
            Ok(part) => bytes.extend_from_slice(&part),
            Err(broken) => error = Some(broken),
        }
    }
    (*view, bytes, error)
}

async fn a_short_body_becomes_an_image_at_once(backing: Backing) {
    let world = World::new(backing).await;
    for (number, length) in [1, 63, 64 << 10, 1 << 20].into_iter().enumerate() {
        let bytes = content(length, 70 + number as u64);
        let job = ready(&world, &bytes).await;
        world.assert_ready(&job, &bytes).await;
        let now = world.job(&job).await;
        assert_eq!(now, job.job, "what was answered is what is recorded");
        assert_eq!((now.stage, now.stage_percent, &now.waits_for), (Stage::Publishing, 100, &None));
        assert_eq!((now.finished_ms, now.created_ms), (Some(now.last_op_ms), now.last_op_ms));
        assert_eq!(world.image(&job).await, job.image);
        let history = world.history(&job).await;
        let made = (history[0].at_ms, &*history[0].cause);
        assert_eq!((history.len(), made), (1, (now.created_ms, "made of one request")));
        let record = world.db.upload(upload_of(&job)).await.unwrap().unwrap();
        assert_eq!(Some(&record), job.upload.as_ref());
        assert_eq!(record.fate, UploadFate::Published);
        let tags = [now.uuid.to_string(), now.image.to_string()];
        let tags = world.db.system_tags(&tags).await.unwrap();
        assert_eq!(tags.len(), 2, "the job has its tag, and the image too");
        assert!(tags.iter().all(|(_, tag)| *tag == format!("uploadImage::{ID}")));
        assert!(world.send(&job, 0, &bytes).await.unwrap().duplicate, "a replay is answered");
        assert!(world.jobs().details(world.caller, &id()).await.unwrap().is_empty());
    }
    assert_eq!(world.store().unsettled(Duration::ZERO).await.unwrap(), []);
    assert_eq!(world.store().uploads().await.unwrap(), []);
    assert_eq!(world.uploads().promised_bytes(), 0);
}

/// Before the record there is nothing, whatever the store has; from the record on there is the image.
async fn a_crash_at_any_step_leaves_an_image_or_nothing(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(50_000, 80);
    for (op, side, recorded) in [
        (Op::PutWhole, Side::Before, false),
        (Op::PutWhole, Side::After, false),
        (Op::Settle, Side::Before, true),
        (Op::Settle, Side::After, true),
    ] {
        let stop = world.rig.hold(op, side);
        let (jobs, caller, body) = (world.jobs(), world.caller, whole(&bytes));
        let (slice, wanted) = (all_of(&bytes), NewJob { length: Some(50_000), ..new() });
        let job_uuid = longshore::domain::ids::JobUuid::random();
        let wanted = NewJob { uuid: Some(job_uuid), ..wanted };
        let _lost = world.spawn(async move {
            let mut body = body;
            let mut body = Replay::new(&mut body);
            jobs.put_image(caller, id(), wanted, &slice, &mut body).await.map(drop)
        });
        stop.reached().await;
        let stored = world.store().unsettled(Duration::ZERO).await.unwrap();
        world.crash().await;
        let job = world.db.job(job_uuid, Scope::All).await.unwrap();
        assert_eq!(job.is_some(), recorded, "{op:?} {side:?}");
        assert_eq!(world.store().unsettled(Duration::ZERO).await.unwrap(), [], "{op:?} {side:?}");
        let set_aside = world.store().purge_set_aside(Duration::ZERO).await.unwrap();
        if let Some(job) = job {
            assert_eq!(set_aside, []);
            let image = world.db.image(job.image, Scope::All).await.unwrap();
            let upload = world.db.upload(job.upload).await.unwrap();
            let view = JobView { job, image, upload };
            world.assert_ready(&view, &bytes).await;
            assert!(world.store().images().await.unwrap().contains(&ImageKey(view.job.image.0)));
        } else {
            assert_eq!(set_aside.len(), stored.len(), "{op:?} {side:?}: it was kept aside");
            assert_eq!(world.store().images().await.unwrap(), []);
            assert!(world.jobs().details(world.caller, &id()).await.unwrap().is_empty());
        }
    }
}

/// Looks for strays come while images are made, and between their bytes and their records.
async fn an_image_that_is_being_made_is_no_stray(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(50_000, 81);
    let stop = world.rig.hold(Op::PutWhole, Side::After);
    let (made, ()) = tokio::join!(ready(&world, &bytes), async {
        stop.reached().await;
        assert_eq!(world.store().unsettled(Duration::ZERO).await.unwrap().len(), 1);
        world.uploads().reconcile_whole().await.unwrap();
        stop.release();
    });
    world.assert_ready(&made, &bytes).await;
    // Nor one that could not be settled: it can be read, and the next look settles it.
    world.rig.fail(Op::Settle, 1, StoreError::NoSpace);
    let job = ready(&world, &bytes).await;
    world.assert_ready(&job, &bytes).await;
    assert_eq!(world.store().unsettled(Duration::ZERO).await.unwrap(), [ImageKey(job.job.image.0)]);
    world.uploads().reconcile_whole().await.unwrap();
    assert_eq!(world.store().unsettled(Duration::ZERO).await.unwrap(), []);
    world.assert_ready(&job, &bytes).await;
}

/// A commit whose answer was lost: the bytes are there, and their record comes a while later, or never.
async fn an_image_without_a_record_is_left_time_and_then_told_and_set_aside(backing: Backing) {
    for (kept, told) in [(Duration::from_hours(1), 0), (Duration::ZERO, 1)] {
        let mut settings = Settings::default();
        settings.uploads.unsettled_kept = kept;
        let world = World::with(backing, &settings).await;
        let (uploads, store) = (world.uploads(), world.store());
        let recorded = ready(&world, &content(5_000, 84)).await;
        let image = ImageKey(ImageUuid::random().0);
        store.put_whole(image, content(5_000, 85).into()).await.unwrap();
        let looked = uploads.check_store(false, AtWork::Service).await.unwrap();
        assert_eq!((looked.unsettled, looked.agrees()), (told, told == 0), "{looked:?}");
        assert_eq!(store.unsettled(Duration::ZERO).await.unwrap(), [image], "it was only told");
        let scheduler = world.scheduler();
        let look =
            job(&scheduler, "reconcileStore", None, serde_json::json!({"repair": false})).await;
        let looked = run(&scheduler, look).await;
        assert_eq!(looked.success, Some(told == 0));
        assert_eq!(result(&looked)["counts"]["unsettledImages"], told);
        let looked = uploads.check_store(true, AtWork::Service).await.unwrap();
        assert_eq!(looked.unsettled, told);
        uploads.reconcile_whole().await.unwrap();
        let left = store.unsettled(Duration::ZERO).await.unwrap();
        let aside = store.purge_set_aside(Duration::ZERO).await.unwrap();
        if told == 0 {
            assert_eq!((left.as_slice(), aside.len()), (&[image][..], 0), "its record may come");
        } else {
            assert_eq!((left.len(), aside.len()), (0, 1), "it is in lost+found");
        }
        world.assert_ready(&recorded, &content(5_000, 84)).await;
    }
}

/// The store refuses: the same bytes go to an upload, in a store that works again or refuses that as well.
async fn what_fails_goes_the_ordinary_way(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(50_000, 82);
    let io = || StoreError::Io { action: "sync an image", message: "broken".to_owned() };
    for error in [StoreError::NoSpace, io()] {
        world.rig.fail(Op::PutWhole, 1, error);
        let (job, came, broken) =
            gone(ask(&world, new(), all_of(&bytes), whole(&bytes)).await.unwrap());
        assert!(came == bytes && broken.is_none());
        assert_eq!(world.state(&job).await, JobState::Running);
        world.send(&job, 0, &came).await.unwrap();
        world.assert_ready(&job, &bytes).await;
    }
    world.rig.fail(Op::PutWhole, 1, io());
    world.rig.fail(Op::Create, 1, io());
    let refused = ask(&world, new(), all_of(&bytes), whole(&bytes)).await;
    assert!(matches!(refused, Err(JobError::Upload(UploadError::Store(StoreError::Io { .. })))));
    assert!(world.jobs().details(world.caller, &id()).await.unwrap().is_empty());
    world.rig.room(1 << 20, 100);
    let refused = ask(&world, new(), all_of(&bytes), whole(&bytes)).await;
    assert!(matches!(refused, Err(JobError::Upload(UploadError::NoRoom { .. }))));
    assert_eq!(world.uploads().promised_bytes(), 0);
    assert_eq!(world.store().unsettled(Duration::ZERO).await.unwrap(), []);
}

/// A body that breaks off, is slow, too long or of unknown length: every byte that came goes to an upload that others see.
async fn what_does_not_come_whole_is_an_upload(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(50_000, 83);
    let first = Bytes::copy_from_slice(&bytes[..20_000]);
    let parts = [Ok(first), Err(BodyError::Broken)];
    let broken: Body = Box::pin(stream::iter(parts));
    let (job, came, error) = gone(ask(&world, new(), all_of(&bytes), broken).await.unwrap());
    assert!(came == bytes[..20_000] && error == Some(BodyError::Broken), "{error:?}");
    let seen = world.jobs().details(world.caller, &id()).await.unwrap();
    assert_eq!(seen.len(), 1);
    world.send(&job, 0, &came).await.unwrap();
    world.crash().await;
    assert_eq!(world.state(&job).await, JobState::Suspended(SuspendReason::Restart));
    assert_eq!(world.offset(&job).await, 20_000, "it goes on from there");
    world.send(&job, 20_000, &bytes[20_000..]).await.unwrap();
    world.assert_ready(&job, &bytes).await;

    let slow = pending_after(&bytes[..10]);
    let (job, came, error) = gone(ask(&world, new(), all_of(&bytes), slow).await.unwrap());
    assert!(came == bytes[..10] && error.is_none());
    world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();

    let long = content((1 << 20) + 1, 84);
    let (job, came, _) = gone(ask(&world, new(), all_of(&long), whole(&long)).await.unwrap());
    assert!(came == long);
    world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
    let part = Slice { total: Some(60_000), ..all_of(&bytes) };
    let unknown = Slice { is_whole: true, ..Slice::default() };
    let behind = Slice { offset: 1, ..all_of(&bytes) };
    for slice in [part, unknown, behind] {
        let (job, came, _) = gone(ask(&world, new(), slice, whole(&bytes)).await.unwrap());
        assert!(came == bytes);
        world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
    }
    // A name that the client chose.
    let mut named = new();
    named.image.resource_uuid = Some(ImageUuid::random().to_string());
    let (job, came, _) = gone(ask(&world, named, all_of(&bytes), whole(&bytes)).await.unwrap());
    assert!(came == bytes);
    world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
    // A body that is shorter than it said.
    let (job, came, _) =
        gone(ask(&world, new(), all_of(&bytes), whole(&bytes[1..])).await.unwrap());
    assert!(came == bytes[1..]);
    world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
    assert_eq!(world.store().images().await.unwrap().len(), 1);
}

/// A digest or a checksum that differs: no image, and the ordinary way tells it, with the record that it leaves.
async fn what_is_not_what_was_declared_is_refused_as_ever(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(50_000, 85);
    let right: [u8; 16] = Md5::digest(&bytes).into();
    let wrong = [7; 16];
    let declared = |md5| {
        let mut new = new();
        new.expected.md5 = Some(md5);
        new
    };
    let checked = |md5| Slice { checksum: Some(ChunkChecksum::Md5(md5)), ..all_of(&bytes) };
    let (job, came, _) =
        gone(ask(&world, declared(wrong), all_of(&bytes), whole(&bytes)).await.unwrap());
    let written = world.send(&job, 0, &came).await.unwrap();
    assert!(matches!(written.verdict, Some(Verdict::Refused { .. })), "{:?}", written.verdict);
    assert_eq!(world.state(&job).await, JobState::Failed);
    let (job, ..) = gone(ask(&world, new(), checked(wrong), whole(&bytes)).await.unwrap());
    world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
    assert_eq!(world.store().images().await.unwrap(), []);
    let answer = ask(&world, declared(right), checked(right), whole(&bytes)).await.unwrap();
    let Answer::Ready(job) = answer else { panic!("what is right was not taken") };
    world.assert_ready(&job, &bytes).await;
}

/// Whoever asks for the same file while its image is being made gets that image, and makes no second one.
async fn others_wait_for_the_first_and_get_its_image(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(50_000, 86);
    let stop = world.rig.hold(Op::PutWhole, Side::Before);
    let (first, others) = tokio::join!(ready(&world, &bytes), async {
        stop.reached().await;
        let asks = (0..3).map(|_| ask(&world, new(), all_of(&bytes), whole(&bytes)));
        let (others, ()) = tokio::join!(futures::future::join_all(asks), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            stop.release();
        });
        others
    });
    for other in others {
        let Ok(Answer::Goes(Joined::Live(record), _)) = other else { panic!("another image") };
        assert_eq!(record.uuid, upload_of(&first));
        let again = world.send(&first, 0, &bytes).await.unwrap();
        assert!(again.duplicate && again.status.job.state == JobState::Succeeded);
    }
    assert_eq!(world.store().images().await.unwrap().len(), 1);
    // The first comes to nothing: the next one makes it.
    world.rig.release_all();
    let stop = world.rig.hold(Op::PutWhole, Side::Before);
    world.rig.fail(Op::PutWhole, 1, StoreError::NoSpace);
    world.rig.fail(Op::Create, 1, StoreError::NoSpace);
    let (first, second) = tokio::join!(ask(&world, new(), all_of(&bytes), whole(&bytes)), async {
        stop.reached().await;
        stop.release();
        ready(&world, &bytes).await
    });
    assert!(first.is_err());
    world.assert_ready(&second, &bytes).await;
}

/// An account that is full, a service that stops, an image that is deleted.
async fn bounds_hold(backing: Backing) {
    let mut settings = super::world::Settings::default();
    settings.jobs.open_uploads_max = 1;
    let world = World::with(backing, &settings).await;
    let bytes = content(5_000, 87);
    let job = ready(&world, &bytes).await;
    world.jobs().delete_image(world.caller, job.job.image, false, &[]).await.unwrap();
    let deleted = world.db.image(job.job.image, Scope::All).await.unwrap().unwrap();
    assert_eq!(deleted.status, ImageStatus::Deleted);
    let open = world.submit(Some(10)).await;
    let refused = ask(&world, new(), all_of(&bytes), whole(&bytes)).await;
    assert!(matches!(refused, Err(JobError::Upload(UploadError::TooManyOpen { max: 1 }))));
    assert_eq!(world.store().unsettled(Duration::ZERO).await.unwrap(), [], "its bytes are gone");
    world.jobs().cancel(world.caller, open.job.uuid).await.unwrap();
    assert!(ready(&world, &bytes).await.job.result == Some(JobResult::Event));
    world.drain();
    let (job, came, _) = gone(ask(&world, new(), all_of(&bytes), whole(&bytes)).await.unwrap());
    assert!(came == bytes, "an upload is told that the service stops");
    assert!(matches!(world.send(&job, 0, &came).await, Err(UploadError::Draining { .. })));
}
