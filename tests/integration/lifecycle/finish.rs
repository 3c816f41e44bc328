//! From the submission to the image: stages, digests, what the content shows, and what is refused.

use longshore::{
    domain::{
        image::ImageStatus,
        job::{JobResult, Reason, Stage},
        job_state::{JobState, SuspendReason},
    },
    uploads::{Append, ChunkChecksum, Slice, StoreError, Takeover, UploadError, Verdict},
};
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::{
    bodies::{broken_after, content, pending_after, whole},
    on_all,
    rigged::{Op, Side},
    world::{Backing, World, at, hex, new_job, upload_of, words},
};

on_all! {
    bytes_become_an_image
    content_names_the_format
    an_empty_image_is_an_image
    the_end_of_the_body_is_the_length
    wrong_digests_fail_in_words
    an_absurd_header_fails_in_words
    a_body_that_is_too_long_is_not_the_fault_of_the_file
    lengths_do_not_change
    a_checked_slice_counts_whole_or_not_at_all
    a_last_slice_whose_client_went_away_is_finished
    the_verdict_is_waited_for_only_so_long
}

async fn bytes_become_an_image(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(300_000, 1);
    let job = world.submit(Some(bytes.len())).await;
    assert_eq!(job.job.state, JobState::Running);
    assert_eq!(job.job.result, Some(JobResult::Event), "the client polls for it");
    assert_eq!(job.image.as_ref().unwrap().status, ImageStatus::Downloading);

    // Out of order, broken off, twice.
    assert_eq!(world.send(&job, 200_000, &bytes[200_000..]).await.unwrap().status.offset, 0);
    let broken =
        world.sending(upload_of(&job), at(0, Some(150_000)), broken_after(&bytes[..70_000]));
    match broken.await.unwrap() {
        Err(UploadError::Body { offset, .. }) => assert_eq!(offset, 70_000, "what came is kept"),
        other => panic!("{other:?}"),
    }
    world.uploads().write_down().await.unwrap();
    let progress = world.jobs().progress(world.caller, job.job.api_id).await.unwrap().unwrap();
    assert_eq!((&*progress.task_name, progress.percent), ("uploading image", 56));
    let again = world.send(&job, 210_000, &bytes[210_000..220_000]).await.unwrap();
    assert!(again.duplicate);
    assert_eq!(again.status.missing, vec![70_000..200_000]);

    let last = world.send(&job, 70_000, &bytes[70_000..200_000]).await.unwrap();
    let ready = Verdict::Ready {
        md5: Some(hex(&Md5::digest(&bytes))),
        sha256: Some(hex(&Sha256::digest(&bytes))),
    };
    assert_eq!(last.verdict, Some(ready));
    assert_eq!((last.status.offset, last.status.length), (300_000, Some(300_000)));
    world.assert_ready(&job, &bytes).await;
    let image = world.image(&job).await.unwrap();
    assert_eq!((&*image.format, image.size), ("raw", 300_000), "raw has no size of its own");
    let progress = world.jobs().progress(world.caller, job.job.api_id).await.unwrap();
    assert_eq!(progress, None, "a job that has ended shows none");
    assert_eq!(world.uploads().promised_bytes(), 0);
    let now = world.job(&job).await;
    assert_eq!((now.stage, now.stage_percent), (Stage::Publishing, 100));
    assert!(now.finished_ms.is_some());
}

async fn content_names_the_format(backing: Backing) {
    let world = World::new(backing).await;
    let mut qcow2 = content(70_000, 2);
    qcow2[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    qcow2[24..32].copy_from_slice(&(20_u64 << 30).to_be_bytes());
    let mut iso = content(40_000, 3);
    iso[0x8001..0x8006].copy_from_slice(b"CD001");
    for (bytes, format, size) in [(qcow2, "qcow2", 20 << 30), (iso, "iso", 40_000)] {
        let job = world.submit(Some(bytes.len())).await;
        world.send(&job, 0, &bytes).await.unwrap();
        world.assert_ready(&job, &bytes).await;
        let image = world.image(&job).await.unwrap();
        assert_eq!((&*image.format, image.size), (format, size));
    }
}

async fn an_empty_image_is_an_image(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(Some(0)).await;
    assert!(matches!(world.send(&job, 0, b"").await.unwrap().verdict, Some(Verdict::Ready { .. })));
    world.assert_ready(&job, b"").await;
}

async fn the_end_of_the_body_is_the_length(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(90_000, 4);
    let job = world.submit(None).await;
    let slice = Slice { is_whole: true, ..Slice::default() };
    let written = world.sending(upload_of(&job), slice, whole(&bytes)).await.unwrap().unwrap();
    assert!(matches!(written.verdict, Some(Verdict::Ready { .. })), "{:?}", written.verdict);
    world.assert_ready(&job, &bytes).await;

    // One that broke off has no end yet.
    let job = world.submit(None).await;
    let slice = Slice { is_whole: true, ..Slice::default() };
    let broken = world.sending(upload_of(&job), slice, broken_after(&bytes[..50_000]));
    assert!(broken.await.unwrap().is_err());
    let status = world.uploads().status(upload_of(&job)).await.unwrap();
    assert_eq!((status.length, status.offset), (None, 50_000));
    let total = Some(bytes.len() as u64);
    let rest = Slice { total, ..at(50_000, Some(40_000)) };
    world.sending(upload_of(&job), rest, whole(&bytes[50_000..])).await.unwrap().unwrap();
    world.assert_ready(&job, &bytes).await;
}

async fn wrong_digests_fail_in_words(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(30_000, 5);
    for (md5, sha256, name) in [(Some([7; 16]), None, "MD5"), (None, Some([7; 32]), "SHA-256")] {
        let mut new = new_job(Some(bytes.len()));
        new.expected.md5 = md5;
        new.expected.sha256 = sha256;
        let job = world.jobs().submit(world.caller, new).await.unwrap();
        let verdict = world.send(&job, 0, &bytes).await.unwrap().verdict;
        let Some(Verdict::Refused { detail, reason: Reason::Digests }) = verdict else {
            panic!("{verdict:?}")
        };
        assert!(detail.contains(name), "{detail}");
        let now = world.until(&job, JobState::Failed).await;
        assert_eq!(words(&now).0, detail);
        world.assert_nothing_left(&job).await;
        assert_eq!(world.uploads().promised_bytes(), 0);
        let late = world.send(&job, 0, &bytes).await;
        assert!(matches!(late, Err(UploadError::Gone { .. })), "{late:?}");
    }
    // Those that are right are right.
    let mut new = new_job(Some(bytes.len()));
    new.expected.md5 = Some(Md5::digest(&bytes).into());
    new.expected.sha256 = Some(Sha256::digest(&bytes).into());
    let job = world.jobs().submit(world.caller, new).await.unwrap();
    world.send(&job, 0, &bytes).await.unwrap();
    world.assert_ready(&job, &bytes).await;
}

/// A size that no record can hold: it can never be stored, so trying again for ever would be a lie.
async fn an_absurd_header_fails_in_words(backing: Backing) {
    let world = World::new(backing).await;
    let mut bytes = content(10_000, 6);
    bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    bytes[24..32].copy_from_slice(&u64::MAX.to_be_bytes());
    let job = world.submit(Some(bytes.len())).await;
    world.send(&job, 0, &bytes).await.unwrap();
    let now = world.until(&job, JobState::Failed).await;
    assert!(words(&now).0.contains("header"), "{:?}", words(&now));
    world.assert_nothing_left(&job).await;
}

async fn a_body_that_is_too_long_is_not_the_fault_of_the_file(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(Some(10)).await;
    let append =
        Append { slice: at(0, Some(11)), takeover: Takeover::Newest, ends_if_longer: true };
    let sent = world.uploads().append(upload_of(&job), append, whole(&[7; 11])).await;
    assert!(sent.is_err(), "{sent:?}");
    let failed = world.until(&job, JobState::Failed).await;
    let reason = match failed.result {
        Some(JobResult::Error { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason, Reason::NotTheFile);
}

async fn lengths_do_not_change(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(20_000, 7);
    let job = world.submit(Some(bytes.len())).await;
    let total = Slice { total: Some(20_001), ..at(0, Some(10_000)) };
    let refused = world.sending(upload_of(&job), total, whole(&bytes[..10_000])).await.unwrap();
    assert!(
        matches!(refused, Err(UploadError::Store(StoreError::LengthConflict { .. }))),
        "{refused:?}"
    );
    let refused = world.send(&job, 15_000, &bytes[..5_001]).await;
    assert!(
        matches!(refused, Err(UploadError::Store(StoreError::BeyondLength { .. }))),
        "{refused:?}"
    );
    assert_eq!(world.offset(&job).await, 0, "nothing was written");
    // A job that takes no bytes does not take a length either.
    let job = world.submit(None).await;
    world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
    let total = Slice { total: Some(9), ..at(0, Some(1)) };
    let refused = world.sending(upload_of(&job), total, whole(b"x")).await.unwrap();
    assert!(matches!(refused, Err(UploadError::NotTaking { .. })), "{refused:?}");
    assert_eq!(world.uploads().status(upload_of(&job)).await.unwrap().length, None);
}

async fn a_checked_slice_counts_whole_or_not_at_all(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(60_000, 8);
    let job = world.submit(Some(bytes.len())).await;
    let checked = |bytes: &[u8]| Slice {
        checksum: Some(ChunkChecksum::Sha256(Sha256::digest(bytes).into())),
        ..at(0, Some(bytes.len()))
    };
    let mut wrong = bytes.clone();
    wrong[100] ^= 1;
    let refused = world.sending(upload_of(&job), checked(&bytes), whole(&wrong)).await.unwrap();
    assert!(
        matches!(refused, Err(UploadError::Store(StoreError::ChecksumMismatch { .. }))),
        "{refused:?}"
    );
    let broken = broken_after(&bytes[..40_000]);
    assert!(world.sending(upload_of(&job), checked(&bytes), broken).await.unwrap().is_err());
    assert_eq!(world.offset(&job).await, 0);
    world.sending(upload_of(&job), checked(&bytes), whole(&bytes)).await.unwrap().unwrap();
    world.assert_ready(&job, &bytes).await;
}

/// The server has every byte, the client never heard of it: nobody sends anything any more.
async fn a_last_slice_whose_client_went_away_is_finished(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(80_000, 9);
    let job = world.submit(Some(bytes.len())).await;
    let hold = world.rig.hold(Op::Acknowledge, Side::After);
    let sending = world.sending(upload_of(&job), at(0, Some(bytes.len())), whole(&bytes));
    hold.reached().await;
    sending.abort();
    assert!(sending.await.is_err());
    world.rig.release_all();
    assert_eq!(world.offset(&job).await, bytes.len() as u64);
    world.pass(world_silence()).await;
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
}

fn world_silence() -> std::time::Duration {
    std::time::Duration::from_secs(31)
}

async fn the_verdict_is_waited_for_only_so_long(backing: Backing) {
    let mut settings = super::world::Settings::default();
    settings.uploads.finish_wait = std::time::Duration::from_millis(50);
    let world = World::with(backing, &settings).await;
    let bytes = content(30_000, 10);
    let job = world.submit(Some(bytes.len())).await;
    let hold = world.rig.hold(Op::Finish, Side::Before);
    let written = world.send(&job, 0, &bytes).await.unwrap();
    assert_eq!(written.verdict, None);
    assert_eq!(written.status.job.stage, Stage::Verifying, "it says what it does");
    hold.reached().await;
    let suspend = world.jobs().suspend(world.caller, job.job.uuid).await;
    assert!(suspend.is_err(), "nothing is left to suspend");
    // Silence while it is being finished is no idleness.
    world.pass(std::time::Duration::from_mins(10)).await;
    assert_eq!(world.state(&job).await, JobState::Running);
    // Who lost the answer may send again, and another body that never ends harms nobody.
    let again = world.send(&job, 0, &bytes).await.unwrap();
    assert!(again.duplicate);
    let silent = world.sending(upload_of(&job), at(0, Some(100)), pending_after(&bytes[..10]));
    hold.release();
    world.until(&job, JobState::Succeeded).await;
    silent.abort();
    world.assert_ready(&job, &bytes).await;
    assert_ne!(world.state(&job).await, JobState::Suspended(SuspendReason::Idle));
}
