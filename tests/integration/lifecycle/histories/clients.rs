//! Clients that send to one upload at the same time, alone or against a suspension.

use std::sync::Arc;

use futures::future::{join, join_all};
use longshore::{
    domain::job_state::{JobState, SuspendReason},
    jobs::{JobError, JobView, Jobs},
    uploads::{StoreError, UploadError},
};
use longshore_storage::{ImageKey, UploadKey};

use super::history::History;
use crate::lifecycle::{
    bodies::{broken_after, content, whole},
    rigged::pause_for,
    rng::Rng,
    world::{World, at, upload_of},
};

const LENGTH: usize = 12_000;
const USER: JobState = JobState::Suspended(SuspendReason::User);

/// Two clients send different bytes for the same upload, each until all of it is there.
pub(super) async fn two_clients(world: &World, seed: u64) {
    let job = world.submit(Some(LENGTH)).await;
    let history = History::of(&job, seed);
    let (one, two) = (content(LENGTH, 2 * seed + 1), content(LENGTH, 2 * seed + 2));
    let both = join(
        client(world, &history, &job, &one, 2 * seed),
        client(world, &history, &job, &two, 2 * seed + 1),
    );
    history.watch(world, both).await;
    // The last byte may have come in a request that broke: then nobody has been answered that all is there, and asks.
    let asked = world.send(&job, 0, &one[..1]).await.unwrap();
    assert!(asked.duplicate, "seed {seed}");
    world.until(&job, JobState::Succeeded).await;
    let image = ImageKey(job.job.image.0);
    let stored = world.store().read_image(image, 0..LENGTH as u64).await.unwrap();
    for (at, byte) in stored.iter().enumerate() {
        assert!([one[at], two[at]].contains(byte), "seed {seed}: nobody sent byte {at}");
    }
    // Its digests are those of what is there, whoever sent it.
    world.assert_ready(&job, &stored).await;
    history.check_prefixes(&stored);
    history.check();
}

async fn client(world: &World, history: &History, job: &JobView, bytes: &[u8], seed: u64) {
    let mut rng = Rng::new(seed);
    let (upload, mut offset) = (upload_of(job), 0);
    loop {
        let status = world.uploads().status(upload).await.unwrap();
        assert!(status.offset >= offset, "seed {seed}: the offset fell to {}", status.offset);
        offset = status.offset;
        let Some(gap) = status.missing.first() else { return };
        // Sometimes where it is missing, sometimes anywhere.
        let missing = usize::try_from(gap.start).unwrap();
        let from = if rng.below(2) == 0 { missing } else { rng.below(LENGTH) };
        let end = (from + 1 + rng.below(5_000)).min(LENGTH);
        let breaks = rng.below(5) == 0;
        let body = if breaks {
            broken_after(&bytes[from..end][..(end - from) / 2])
        } else {
            whole(&bytes[from..end])
        };
        pause_for(rng.below(12)).await;
        match world.sending(upload, at(from, Some(end - from)), body).await.unwrap() {
            Ok(_) => {
                let missing = world.uploads().status(upload).await.unwrap().missing;
                let lost =
                    missing.iter().any(|gap| gap.start < end as u64 && (from as u64) < gap.end);
                assert!(
                    !lost,
                    "seed {seed}: {from}..{end} was acknowledged, missing are {missing:?}"
                );
            }
            Err(UploadError::Body { offset: kept, .. }) => {
                assert!(kept >= offset, "seed {seed}: the offset fell to {kept}");
            }
            // The other one is at it, or was until now.
            Err(UploadError::Store(StoreError::Busy { .. } | StoreError::Superseded)) => {}
            Err(error) => panic!("seed {seed}: {error:?}"),
        }
        history.remember_prefix(world, upload).await;
    }
}

/// Three senders against somebody who suspends, by `jobs`: once that is answered and until it resumes, not a byte more. Answers
/// whether the suspension came in time.
pub(super) async fn suspend_and_slices(world: &World, jobs: &Arc<Jobs>, seed: u64) -> bool {
    let bytes = content(LENGTH, seed);
    let job = world.submit(Some(LENGTH)).await;
    let history = History::of(&job, seed);
    let senders = join_all((0..3).map(|n| sender(world, &job, &bytes, n, seed)));
    let both = join(senders, suspender(world, jobs, &job, seed));
    let (_, suspended) = history.watch(world, both).await;
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
    history.check();
    suspended
}

async fn sender(world: &World, job: &JobView, bytes: &[u8], n: usize, seed: u64) {
    let mut rng = Rng::new(3 * seed + n as u64);
    let (mut from, end) = (n * LENGTH / 3, (n + 1) * LENGTH / 3);
    while from < end {
        let to = (from + 1 + rng.below(900)).min(end);
        let body = whole(&bytes[from..to]);
        match world.sending(upload_of(job), at(from, Some(to - from)), body).await.unwrap() {
            Ok(_) => from = to,
            Err(UploadError::NotTaking { state }) => {
                assert_eq!(state, USER, "seed {seed}");
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            Err(UploadError::Store(StoreError::Busy { .. } | StoreError::Superseded)) => {}
            Err(error) => panic!("seed {seed}: {error:?}"),
        }
    }
}

async fn suspender(world: &World, jobs: &Arc<Jobs>, job: &JobView, seed: u64) -> bool {
    let mut rng = Rng::new(seed ^ 0x5eed);
    let (caller, uuid, key) = (world.caller, job.job.uuid, UploadKey(upload_of(job).0));
    let mut suspended = false;
    for _ in 0..3 {
        pause_for(rng.below(12)).await;
        match jobs.suspend(caller, uuid).await {
            Ok(view) => assert_eq!(view.job.state, USER, "seed {seed}"),
            // All bytes are there already.
            Err(JobError::WrongState { .. }) => break,
            Err(error) => panic!("seed {seed}: {error}"),
        }
        suspended = true;
        let stored = async || world.store().state(key).await.unwrap().stored_bytes();
        let before = stored().await;
        pause_for(11).await;
        assert_eq!(stored().await, before, "seed {seed}: bytes come while it is suspended");
        if let Some(live) = world.uploads().touched(upload_of(job)) {
            assert!(!live.gate_is_open(), "seed {seed}: it takes bytes while it is suspended");
        }
        assert_eq!(world.state(job).await, USER, "seed {seed}: bytes have woken it");
        jobs.resume(caller, uuid).await.unwrap();
    }
    suspended
}
