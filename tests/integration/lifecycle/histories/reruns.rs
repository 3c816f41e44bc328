//! A job is canceled and run again while slices of its first run are still on their way.

use futures::{future::join_all, join};
use longshore::{
    domain::{ids::ApiId, job_state::JobState},
    jobs::{JobError, JobView},
    uploads::UploadError,
};
use longshore_storage::UploadKey;

use super::history::History;
use crate::lifecycle::{
    bodies::{content, whole},
    rigged::pause_for,
    rng::Rng,
    world::{World, at, upload_of},
};

const LENGTH: usize = 6_000;

/// Answers how many slices of the first run came after the second had begun.
pub(super) async fn rerun_and_late_slices(world: &World, seed: u64) -> usize {
    let (old, new) = (content(LENGTH, 2 * seed + 1), content(LENGTH, 2 * seed + 2));
    let mut wanted = crate::lifecycle::world::new_job(None);
    wanted.system_tags = vec![format!("imageSize::{LENGTH}")];
    let first = world.jobs().submit(world.caller, wanted).await.unwrap();
    let history = History::of(&first, seed);
    let work = async {
        let begun = std::sync::Mutex::new(false);
        let late = join_all((0..3).map(|n| late_sender(world, &first, &old, &begun, 3 * seed + n)));
        let again = async {
            let second = cancel_and_rerun(world, &first, seed).await;
            *begun.lock().unwrap() = true;
            send_all(world, &second, &new, seed).await;
            second
        };
        let (late, second) = join!(late, again);
        (late.into_iter().sum(), second)
    };
    let (late, second) = history.watch(world, work).await;
    world.until(&second, JobState::Succeeded).await;
    history.check();
    world.assert_ready(&second, &new).await;
    let refused = world.send(&first, 0, &old).await;
    assert!(matches!(refused, Err(UploadError::Gone { .. })), "seed {seed}: {refused:?}");
    let key = UploadKey(upload_of(&first).0);
    assert!(
        world.store().state(key).await.is_err(),
        "seed {seed}: bytes of the first run are left"
    );
    assert!(world.uploads().touched(upload_of(&first)).is_none(), "seed {seed}");
    late
}

/// Slices of the first run, all the time. None may be taken once the second run has begun.
async fn late_sender(
    world: &World,
    first: &JobView,
    old: &[u8],
    begun: &std::sync::Mutex<bool>,
    seed: u64,
) -> usize {
    let mut rng = Rng::new(seed);
    let mut late = 0;
    while late < 3 {
        let is_late = *begun.lock().unwrap();
        // Never all of it: the first run does not end in an image.
        let from = 1 + rng.below(LENGTH - 1);
        let to = from + 1 + rng.below(LENGTH - from);
        let body = whole(&old[from..to]);
        let sent = world.sending(upload_of(first), at(from, Some(to - from)), body);
        match sent.await.unwrap() {
            Ok(_) => assert!(!is_late, "seed {seed}: a late slice was taken"),
            Err(UploadError::Gone { .. }) => {}
            // Only while it is being canceled.
            Err(
                UploadError::NotTaking { state: JobState::Canceling | JobState::Canceled }
                | UploadError::Store(_),
            ) if !is_late => {}
            Err(error) => panic!("seed {seed}: late {is_late}: {error:?}"),
        }
        late += usize::from(is_late);
        pause_for(rng.below(12)).await;
    }
    late
}

/// Cancels, and two want to run it again: one of them does.
async fn cancel_and_rerun(world: &World, first: &JobView, seed: u64) -> JobView {
    let mut rng = Rng::new(seed ^ 0x4e4e);
    let (jobs, caller, uuid) = (world.jobs(), world.caller, first.job.uuid);
    for _ in 0..=rng.below(3) {
        pause_for(11).await;
    }
    jobs.cancel(caller, uuid).await.unwrap();
    let (one, two) =
        join!(jobs.rerun(caller, uuid, ApiId::random()), jobs.rerun(caller, uuid, ApiId::random()));
    let mut won = Vec::new();
    for answer in [one, two] {
        match answer {
            Ok(view) => won.push(view),
            Err(JobError::WrongState { state: JobState::Running, .. }) => {}
            Err(error) => panic!("seed {seed}: {error:?}"),
        }
    }
    assert_eq!(won.len(), 1, "seed {seed}: exactly one rerun begins");
    won.remove(0)
}

async fn send_all(world: &World, second: &JobView, new: &[u8], seed: u64) {
    let mut rng = Rng::new(seed ^ 0x2222);
    let mut from = 0;
    while from < LENGTH {
        let to = (from + 1 + rng.below(3_000)).min(LENGTH);
        let slice = at(from, Some(to - from));
        let sent = world.sending(upload_of(second), slice, whole(&new[from..to])).await.unwrap();
        let written = sent.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert!(!written.duplicate, "seed {seed}: {from}..{to} was there before it was sent");
        from = to;
    }
}
