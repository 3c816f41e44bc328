//! Ends that cross each other: a cancel and the last byte, a removal and a download.

use futures::{StreamExt, future::join3};
use longshore::{
    domain::{account::Scope, image::ImageStatus, job_state::JobState},
    jobs::{JobError, JobView},
    uploads::{StoreError, UploadError, Verdict},
};
use longshore_storage::ImageKey;

use super::{Balance, history::History};
use crate::lifecycle::{
    bodies::{content, whole},
    rigged::pause_for,
    rng::Rng,
    world::{World, at, upload_of},
};

/// The last bytes of an upload, and up to two who cancel it. Answers whether it was canceled.
pub(super) async fn cancel_and_finish(world: &World, balance: &Balance, seed: u64) -> bool {
    let mut rng = Rng::new(seed);
    let bytes = content(3_000, seed);
    let job = world.submit(Some(bytes.len())).await;
    let history = History::of(&job, seed);
    let cuts = [rng.below(bytes.len()), bytes.len()];
    let all = join3(
        send_in_two(world, &job, &bytes, cuts, seed),
        cancel_some_time(world, &job, balance, seed ^ 0x00ca_11ed),
        cancel_some_time(world, &job, balance, seed ^ 0x0ca1_1ed0),
    );
    let (verdict, ..) = history.watch(world, all).await;
    history.check();
    let state = world.state(&job).await;
    match state {
        JobState::Succeeded => world.assert_ready(&job, &bytes).await,
        JobState::Canceled => world.assert_nothing_left(&job).await,
        state => panic!("seed {seed}: {state}"),
    }
    // Who sent the last byte was told the same.
    if let Some(verdict) = verdict {
        let ready = matches!(verdict, Verdict::Ready { .. });
        assert_eq!(ready, state == JobState::Succeeded, "seed {seed}: {verdict:?}, it is {state}");
    }
    let canceled = state == JobState::Canceled;
    balance.learn(canceled);
    canceled
}

async fn send_in_two(
    world: &World,
    job: &JobView,
    bytes: &[u8],
    cuts: [usize; 2],
    seed: u64,
) -> Option<Verdict> {
    let mut from = 0;
    for to in cuts.into_iter().filter(|to| *to > 0) {
        let slice = at(from, Some(to - from));
        match world.sending(upload_of(job), slice, whole(&bytes[from..to])).await.unwrap() {
            Ok(written) if to == bytes.len() => return written.verdict,
            Ok(_) => from = to,
            Err(
                UploadError::Gone { .. }
                | UploadError::NotTaking { state: JobState::Canceling | JobState::Canceled },
            ) => return None,
            Err(error) => panic!("seed {seed}: {error:?}"),
        }
    }
    None
}

async fn cancel_some_time(world: &World, job: &JobView, balance: &Balance, seed: u64) {
    balance.wait(&mut Rng::new(seed)).await;
    match world.jobs().cancel(world.caller, job.job.uuid).await {
        Ok(()) | Err(JobError::WrongState { state: JobState::Succeeded, .. }) => {}
        Err(error) => panic!("seed {seed}: {error}"),
    }
}

/// What is done to an image while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removal {
    /// It goes, bytes and all.
    Enforcing,
    /// It is deleted and kept.
    Kept,
    /// Its job's record goes; it stays.
    JobOnly,
}

/// Downloads of an image in many ranges, and its removal. Answers whether a download was cut off.
pub(super) async fn delete_and_download(world: &World, balance: &Balance, seed: u64) -> bool {
    let mut rng = Rng::new(seed);
    let bytes = content(8_000, seed);
    let job = world.submit(Some(bytes.len())).await;
    world.send(&job, 0, &bytes).await.unwrap();
    let removal = [Removal::Enforcing, Removal::Kept, Removal::JobOnly][rng.below(3)];
    let all = join3(
        download(world, &job, &bytes, 2 * seed),
        download(world, &job, &bytes, 2 * seed + 1),
        remove(world, &job, removal, balance, seed),
    );
    let (one, two, ()) = all.await;
    let image = job.job.image;
    let record = world.db.image(image, Scope::All).await.unwrap();
    let stored = world.store().image_length(ImageKey(image.0)).await;
    let again = world.uploads().ready_image(world.caller, image).await;
    match removal {
        Removal::Enforcing => {
            assert!(record.is_none(), "seed {seed}: {record:?}");
            assert!(matches!(stored, Err(StoreError::ImageNotFound { .. })), "seed {seed}");
            assert!(matches!(again, Err(UploadError::NotFound)), "seed {seed}");
        }
        Removal::Kept => {
            assert_eq!(record.map(|image| image.status), Some(ImageStatus::Deleted));
            assert_eq!(stored.unwrap(), 8_000, "seed {seed}: its bytes are kept");
            assert!(matches!(again, Err(UploadError::NotFound)), "seed {seed}");
        }
        Removal::JobOnly => {
            assert!(one && two, "seed {seed}: a download was cut off by the removal of a record");
            assert_eq!(again.unwrap().length, 8_000);
        }
    }
    let cut = !(one && two);
    if removal != Removal::JobOnly {
        balance.learn(cut);
    }
    cut
}

/// Reads an image range by range. Every range is answered whole and right, or refused; answers whether all were answered.
async fn download(world: &World, job: &JobView, bytes: &[u8], seed: u64) -> bool {
    let mut rng = Rng::new(seed);
    for _ in 0..12 {
        let from = rng.below(bytes.len());
        let to = from + 1 + rng.below(bytes.len() - from);
        let image = job.job.image;
        let image = match world.uploads().ready_image(world.caller, image).await {
            Ok(image) => image,
            Err(UploadError::NotFound | UploadError::Store(StoreError::ImageNotFound { .. })) => {
                return false;
            }
            Err(error) => panic!("seed {seed}: {error:?}"),
        };
        assert_eq!(image.length, 8_000, "seed {seed}");
        pause_for(rng.below(12)).await;
        let body = world.uploads().image_bytes(world.caller, &image, from as u64..to as u64);
        let mut body = Box::pin(body.unwrap());
        let mut read = Vec::new();
        while let Some(block) = body.next().await {
            match block {
                Ok(block) => read.extend_from_slice(&block),
                Err(
                    UploadError::NotFound | UploadError::Store(StoreError::ImageNotFound { .. }),
                ) => {
                    assert!(bytes[from..to].starts_with(&read), "seed {seed}: wrong bytes");
                    return false;
                }
                Err(error) => panic!("seed {seed}: {error:?}"),
            }
        }
        assert!(read == bytes[from..to], "seed {seed}: {from}..{to} has other bytes");
    }
    true
}

async fn remove(world: &World, job: &JobView, removal: Removal, balance: &Balance, seed: u64) {
    balance.wait(&mut Rng::new(seed ^ 0x00de_1e7e)).await;
    let (jobs, caller) = (world.jobs(), world.caller);
    match removal {
        Removal::JobOnly => jobs.delete(caller, job.job.uuid).await.unwrap(),
        Removal::Enforcing | Removal::Kept => {
            let enforcing = removal == Removal::Enforcing;
            // Two at once: the second finds it done, or does it again.
            let one = jobs.delete_image(caller, job.job.image, enforcing, &[]);
            let two = jobs.delete_image(caller, job.job.image, enforcing, &[]);
            let (one, two) = futures::join!(one, two);
            for answer in [one, two] {
                match answer {
                    Ok(()) | Err(JobError::ImageNotFound { .. }) => {}
                    Err(error) => panic!("seed {seed}: {error}"),
                }
            }
        }
    }
}
