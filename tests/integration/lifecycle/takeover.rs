//! Two requests for the same bytes, requests that come too late, and a service that stops.

use std::time::Duration;

use longshore::{
    domain::{account::Caller, ids::AccountUuid, job_state::JobState},
    jobs::Joined,
    uploads::{Append, Slice, StoreError, Takeover, UploadError, UploadKey},
};
use longshore_storage::{Chunk, Claimed, Owned};

use super::{
    bodies::{Body, content, fed, pending_after, whole},
    on_all,
    rigged::{Op, Side},
    world::{Backing, World, at, new_job, upload_of},
};

on_all! {
    first_requests_for_an_image_id_make_one_job
    a_silent_holder_makes_way_and_its_bytes_stay
    two_live_writers_do_not_end_each_other
    nobody_waits_for_a_duplicate_that_is_read_away
    a_published_upload_answers_replays
    a_stopping_service_keeps_the_bytes
    rights_end_at_the_account
}

async fn a_silent_holder_makes_way_and_its_bytes_stay(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(60_000, 1);
    let job = world.submit(Some(bytes.len())).await;
    let slice = at(0, Some(bytes.len()));
    let silent = world.sending(upload_of(&job), slice.clone(), pending_after(&bytes[..20_000]));
    tokio::time::sleep(Duration::from_millis(250)).await;
    let newcomer = world.sending(upload_of(&job), slice, whole(&bytes));
    let written = tokio::time::timeout(Duration::from_secs(1), newcomer);
    assert!(!written.await.expect("under a second").unwrap().unwrap().duplicate);
    let ended = tokio::time::timeout(Duration::from_secs(5), silent).await.unwrap().unwrap();
    assert!(matches!(ended, Err(UploadError::Store(StoreError::Superseded))), "{ended:?}");
    world.assert_ready(&job, &bytes).await;
}

async fn two_live_writers_do_not_end_each_other(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(40_000, 2);
    let job = world.submit(Some(bytes.len())).await;
    let (feed, body) = fed();
    let first = world.sending(upload_of(&job), at(0, Some(bytes.len())), body);
    feed.send(bytes[..1_000].to_vec()).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut other = bytes.clone();
    other[39_000] ^= 1;
    let second = world.sending(upload_of(&job), at(0, Some(bytes.len())), whole(&other));
    for piece in bytes[1_000..].chunks(2_000) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        feed.send(piece.to_vec()).unwrap();
        assert!(!first.is_finished() || piece.as_ptr_range().end == bytes.as_ptr_range().end);
    }
    drop(feed);
    first.await.unwrap().unwrap();
    // The second waited, with its body unread, and finds everything stored.
    assert!(second.await.unwrap().unwrap().duplicate);
    world.assert_ready(&job, &bytes).await;
}

/// While a body that brings nothing new is read away, another request continues the upload at once.
async fn nobody_waits_for_a_duplicate_that_is_read_away(backing: Backing) {
    for takeover in [Takeover::Silent, Takeover::Newest] {
        let world = World::new(backing).await;
        let bytes = content(30_000, 5);
        let job = world.submit(Some(bytes.len())).await;
        let appending = |offset: usize, length: usize, body: Body| {
            let (uploads, upload) = (world.uploads(), upload_of(&job));
            let slice = at(offset, Some(length));
            let append = Append { slice, takeover, ends_if_longer: false };
            world.spawn(async move { uploads.append(upload, append, body).await })
        };
        // A slice of another dialect brings its bytes after it has seen the offset.
        let held = world.rig.hold(Op::Write, Side::Before);
        let (feed, body) = fed();
        let duplicate = appending(0, 10_000, body);
        held.reached().await;
        let record = world.db.upload(upload_of(&job)).await.unwrap().unwrap();
        let owned = Owned { key: UploadKey(record.uuid.0), epoch: record.owner_epoch };
        let chunk = Chunk { offset: 0, length: Some(10_000), checksum: None };
        let Claimed::Writer(mut writer) = world.store().write(owned, chunk).await.unwrap() else {
            panic!("they were stored before");
        };
        writer.append(&bytes[..10_000]).await.unwrap();
        assert_eq!(writer.acknowledge().await.unwrap().state.offset, 10_000);
        world.rig.release_all();
        feed.send(bytes[..1_000].to_vec()).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!duplicate.is_finished(), "negative control: it is being read away");
        let begun = std::time::Instant::now();
        let newcomer = appending(10_000, 20_000, whole(&bytes[10_000..]));
        let written = newcomer.await.unwrap().unwrap();
        assert_eq!(written.status.offset, 30_000);
        // 500 ms of silence at most, and what a busy machine takes; it was refused after two seconds before.
        assert!(begun.elapsed() < Duration::from_millis(1_900), "{:?}", begun.elapsed());
        // All that the other one brought is stored, as it is told.
        let told = tokio::time::timeout(Duration::from_secs(5), duplicate).await.unwrap().unwrap();
        assert!(told.as_ref().is_ok_and(|written| written.duplicate), "{told:?}");
        drop(feed);
        world.assert_ready(&job, &bytes).await;
    }
}

async fn a_published_upload_answers_replays(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(40_000, 3);
    let job = world.submit(Some(bytes.len())).await;
    world.send(&job, 0, &bytes).await.unwrap();
    for _ in 0..2 {
        let (feed, body) = fed();
        let replay = world.sending(upload_of(&job), at(10_000, Some(30_000)), body);
        feed.send(bytes[10_000..20_000].to_vec()).unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(!replay.is_finished(), "the body is read to its end before the answer");
        feed.send(bytes[20_000..].to_vec()).unwrap();
        drop(feed);
        let written = replay.await.unwrap().unwrap();
        assert!(written.duplicate);
        assert_eq!((written.status.offset, written.status.length), (40_000, Some(40_000)));
        assert_eq!(written.status.job.state, JobState::Succeeded);
        // No conflict that a look at the job could settle: no list of live jobs shows it any more.
        let ended = |answer: &Result<_, UploadError>| {
            matches!(answer, Err(UploadError::NotTaking { state: JobState::Succeeded }))
        };
        let beyond = world.send(&job, 39_999, b"ab").await;
        assert!(ended(&beyond), "{beyond:?}");
        let total = Slice { total: Some(1), ..at(0, Some(1)) };
        let changed = world.sending(upload_of(&job), total, whole(b"x")).await.unwrap();
        assert!(ended(&changed), "{changed:?}");
        world.crash().await;
    }
    world.assert_ready(&job, &bytes).await;
}

async fn a_stopping_service_keeps_the_bytes(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(40_000, 4);
    let job = world.submit(Some(bytes.len())).await;
    let running = world.sending(upload_of(&job), at(0, None), pending_after(&bytes[..30_000]));
    tokio::time::sleep(Duration::from_millis(150)).await;
    world.drain();
    let ended = tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
    assert!(matches!(ended, Err(UploadError::Draining { offset: 30_000 })), "{ended:?}");
    let refused = world.send(&job, 30_000, &bytes[30_000..]).await;
    assert!(matches!(refused, Err(UploadError::Draining { .. })), "{refused:?}");
    world.crash().await;
    assert_eq!(world.offset(&job).await, 30_000);
    world.send(&job, 30_000, &bytes[30_000..]).await.unwrap();
    world.assert_ready(&job, &bytes).await;
}

async fn rights_end_at_the_account(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(Some(10)).await;
    let stranger = longshore::domain::account::Caller {
        account: longshore::domain::ids::AccountUuid::random(),
        admin: false,
    };
    let uuid = job.job.uuid;
    let jobs = world.jobs();
    assert!(jobs.job(stranger, uuid).await.is_err());
    assert!(jobs.suspend(stranger, uuid).await.is_err());
    assert!(jobs.cancel(stranger, uuid).await.is_err());
    jobs.delete(stranger, uuid).await.unwrap();
    assert!(world.uploads().of_image(stranger, job.job.image).await.is_err());
    assert_eq!(world.state(&job).await, JobState::Running);
}

/// The first is still making the job when the others ask: they join it.
async fn first_requests_for_an_image_id_make_one_job(backing: Backing) {
    let world = World::new(backing).await;
    let image_id: longshore::domain::image_id::ImageId = "one file".parse().unwrap();
    let making = world.rig.hold(Op::Create, Side::Before);
    let mut asking = Vec::new();
    for _ in 0..5 {
        let (jobs, caller, image_id) = (world.jobs(), world.caller, image_id.clone());
        let mut new = new_job(Some(10));
        (new.uuid, new.system_tags) = (None, vec![format!("uploadImage::{image_id}")]);
        asking.push(world.spawn(async move { jobs.join_or_submit(caller, image_id, new).await }));
    }
    making.reached().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.rig.release_all();
    let (mut made, mut joined) = (Vec::new(), Vec::new());
    for asked in asking {
        match asked.await.unwrap().unwrap() {
            Joined::Made(view) => made.push(upload_of(&view)),
            Joined::Live(record) => joined.push(record.uuid),
        }
    }
    assert_eq!((made.len(), joined.len()), (1, 4));
    assert!(joined.iter().all(|upload| *upload == made[0]));
    // Another account's file of that name is another file.
    let somebody = Caller { account: AccountUuid::random(), admin: false };
    let mut new = new_job(Some(10));
    (new.uuid, new.system_tags) = (None, vec![format!("uploadImage::{image_id}")]);
    let other = world.jobs().join_or_submit(somebody, image_id.clone(), new).await.unwrap();
    assert!(matches!(other, Joined::Made(_)), "{other:?}");
    // Also for an admin, who sees them all: one's bytes in the other's upload would make an image of neither file.
    let admin = Caller { account: AccountUuid::random(), admin: true };
    for is_first in [true, false] {
        let mut new = new_job(Some(10));
        (new.uuid, new.system_tags) = (None, vec![format!("uploadImage::{image_id}")]);
        let own = world.jobs().join_or_submit(admin, image_id.clone(), new).await.unwrap();
        match own {
            Joined::Made(view) => assert!(is_first && view.job.account == admin.account),
            Joined::Live(record) => assert!(!is_first && record.account == admin.account),
        }
    }
    let upload = made[0];
    world.sending(upload, at(0, Some(3)), whole(b"abc")).await.unwrap().unwrap();
    let seen = world.jobs().details(admin, &image_id).await.unwrap();
    assert_eq!((seen.len(), seen[0].job.account, seen[1].offset), (3, admin.account, 3));
}
