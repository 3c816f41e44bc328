//! What was seen of a job while calls crossed each other, and whether the model can explain it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::future::{Either, select};
use longshore::{
    domain::{
        account::Scope,
        ids::{JobUuid, UploadUuid},
        job_state::{JobEvent, JobState, Next},
    },
    jobs::JobView,
};
use longshore_storage::UploadKey;

use crate::lifecycle::world::World;

/// One look at a job's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    generation: i64,
    state: JobState,
    upload: UploadUuid,
}

/// Everything that one run has seen.
pub(super) struct History {
    job: JobUuid,
    seed: u64,
    seen: Mutex<Vec<Seen>>,
    prefixes: Mutex<Vec<Vec<u8>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl History {
    pub(super) fn of(job: &JobView, seed: u64) -> Self {
        Self { job: job.job.uuid, seed, seen: Mutex::default(), prefixes: Mutex::default() }
    }

    /// Looks at the job over and over until the work is done, and once after it.
    pub(super) async fn watch<T>(&self, world: &World, work: impl Future<Output = T>) -> T {
        let looking = async {
            loop {
                self.look(world).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let done = match select(Box::pin(work), Box::pin(looking)).await {
            Either::Left((done, _)) => done,
            Either::Right(((), _)) => unreachable!("looking never ends"),
        };
        self.look(world).await;
        done
    }

    async fn look(&self, world: &World) {
        if let Some(job) = world.db.job(self.job, Scope::All).await.unwrap() {
            let seen = Seen { generation: job.generation, state: job.state, upload: job.upload };
            locked(&self.seen).push(seen);
        }
    }

    /// Remembers what is stored below the offset.
    pub(super) async fn remember_prefix(&self, world: &World, upload: UploadUuid) {
        let key = UploadKey(upload.0);
        let store = world.store();
        // It may be an image by now.
        let Ok(state) = store.state(key).await else { return };
        if let Ok(prefix) = store.read_upload(key, 0..state.offset).await {
            locked(&self.prefixes).push(prefix.to_vec());
        }
    }

    /// Acknowledged bytes were never written again: every prefix that was seen is one of the image.
    pub(super) fn check_prefixes(&self, image: &[u8]) {
        for prefix in &*locked(&self.prefixes) {
            let end = prefix.len();
            assert!(image.starts_with(prefix), "seed {}: bytes below {end} changed", self.seed);
        }
    }

    /// The model explains what was seen.
    pub(super) fn check(&self) {
        let seen = locked(&self.seen);
        if let Err(words) = explained(&seen) {
            panic!("seed {}: {words}: {seen:?}", self.seed);
        }
    }
}

/// Whether the table of `domain::job_state` leads from each look to the next: a generation is one state of one run, it never goes
/// back, and between two looks there were no more events than generations.
fn explained(seen: &[Seen]) -> Result<(), String> {
    for pair in seen.windows(2) {
        let [from, to] = pair else { continue };
        let Ok(steps) = usize::try_from(to.generation - from.generation) else {
            return Err(format!("the generation went back to {}", to.generation));
        };
        if steps == 0 && from != to {
            return Err(format!("generation {} has two states", to.generation));
        }
        let another_run = from.upload != to.upload;
        if !reachable(from.state, to.state, steps, another_run) {
            return Err(format!("{} to {} in {steps} steps", from.state, to.state));
        }
    }
    Ok(())
}

/// Whether so many events lead from one state to the other, with another run between them or without.
fn reachable(from: JobState, to: JobState, steps: usize, another_run: bool) -> bool {
    let mut now = vec![(from, false)];
    for _ in 0..steps {
        let mut next = now.clone();
        for (state, ran_again) in now {
            for event in JobEvent::ALL {
                let ran_again = ran_again || event == JobEvent::RunAgain;
                if let Ok(Next::To(state)) = state.on(event)
                    && !next.contains(&(state, ran_again))
                {
                    next.push((state, ran_again));
                }
            }
        }
        now = next;
    }
    now.contains(&(to, another_run))
}

/// Negative controls: every kind of history that the model cannot explain is told apart from those that it can.
#[test]
fn a_history_that_cannot_be_is_caught() {
    use longshore::domain::job_state::SuspendReason::{Idle, User};
    let (one, two) = (UploadUuid::random(), UploadUuid::random());
    let looks = |looks: &[(i64, JobState, UploadUuid)]| {
        let seen =
            looks.iter().map(|&(generation, state, upload)| Seen { generation, state, upload });
        explained(&seen.collect::<Vec<_>>())
    };
    let (running, canceled) = (JobState::Running, JobState::Canceled);
    let idle = JobState::Suspended(Idle);
    for possible in [
        vec![(1, running, one), (1, running, one), (2, idle, one), (3, running, one)],
        vec![(1, running, one), (5, running, one), (6, JobState::Succeeded, one)],
        vec![(1, running, one), (3, canceled, one), (4, running, two)],
        vec![(1, running, one), (4, running, two), (5, JobState::Suspended(User), two)],
    ] {
        assert_eq!(looks(&possible), Ok(()), "{possible:?}");
    }
    for (impossible, words) in [
        (vec![(2, running, one), (1, running, one)], "went back"),
        (vec![(1, running, one), (1, idle, one)], "two states"),
        (vec![(1, running, one), (1, running, two)], "two states"),
        // A final state is left, and no new run has begun.
        (vec![(3, canceled, one), (4, running, one)], "Canceled to Running"),
        (vec![(3, JobState::Succeeded, one), (9, canceled, one)], "Succeeded to Canceled"),
        // A run that is not over is replaced by another.
        (vec![(1, running, one), (2, running, two)], "Running to Running"),
        // It cannot have been done in so few steps.
        (vec![(1, idle, one), (2, JobState::Succeeded, one)], "in 1 steps"),
    ] {
        let told = looks(&impossible).unwrap_err();
        assert!(told.contains(words), "{told}");
    }
}
