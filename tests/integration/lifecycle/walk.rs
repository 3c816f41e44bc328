//! Random walks over a few jobs against a model that is simple enough to be right.

use std::time::Duration;

use longshore::{
    domain::{
        account::Scope,
        job_state::{JobEvent, JobState, Next, SuspendReason},
    },
    jobs::{JobError, JobView},
    uploads::{StoreError, UploadError},
};
use longshore_storage::UploadKey;

use super::{
    bodies::{broken_after, content, whole},
    on_all,
    rigged::Op,
    rng::Rng,
    world::{Backing, World, at, upload_of},
};

on_all! { random_walks }

const LENGTH: usize = 12_000;
const STEPS: usize = 60;

/// What is known for certain of a job.
struct Known {
    view: JobView,
    bytes: Vec<u8>,
    acknowledged: Vec<bool>,
    state: JobState,
    canceled: bool,
    deleted: bool,
}

async fn random_walks(backing: Backing) {
    let walks = if backing == Backing::Memory { 12 } else { 5 };
    for seed in 1..=walks {
        Walk::begin(backing, seed).await.run().await;
    }
}

struct Walk {
    world: World,
    rng: Rng,
    seed: u64,
    jobs: Vec<Known>,
    log: Vec<String>,
}

impl Walk {
    async fn begin(backing: Backing, seed: u64) -> Self {
        let world = World::new(backing).await;
        let rng = Rng::new(seed);
        Self { world, rng, seed, jobs: Vec::new(), log: Vec::new() }
    }

    async fn run(mut self) {
        for _ in 0..STEPS {
            self.step().await;
            self.check().await;
        }
        self.crash().await;
        self.check().await;
        self.check_store().await;
        self.end().await;
    }

    fn fault(&mut self) {
        if self.rng.below(12) == 0 {
            let op = [Op::Write, Op::Append, Op::Acknowledge, Op::Finish, Op::Publish, Op::Admit];
            let error = match self.rng.below(2) {
                0 => StoreError::NoSpace,
                _ => StoreError::Io { action: "walk", message: "broke".to_owned() },
            };
            let op = op[self.rng.below(op.len())];
            self.log.push(format!("next {op:?} fails with {error}"));
            self.world.rig.fail(op, 1, error);
        }
    }

    async fn step(&mut self) {
        if self.jobs.len() < 3 || (self.jobs.len() < 6 && self.rng.below(12) == 0) {
            let bytes = content(LENGTH, self.seed * 100 + self.jobs.len() as u64);
            let view = self.world.submit(Some(LENGTH)).await;
            self.log.push(format!("submit {}", self.jobs.len()));
            self.jobs.push(Known {
                view,
                bytes,
                acknowledged: vec![false; LENGTH],
                state: JobState::Running,
                canceled: false,
                deleted: false,
            });
            return;
        }
        self.fault();
        let which = self.rng.below(self.jobs.len());
        let what = self.rng.below(20);
        self.log.push(format!("{which}: {what}"));
        match what {
            0..=9 => self.slice(which).await,
            10 | 11 => self.ask(which, "suspend").await,
            12 | 13 => self.ask(which, "resume").await,
            14 if self.rng.below(3) == 0 => self.ask(which, "cancel").await,
            15 => self.ask(which, "delete").await,
            16 | 17 => self.crash().await,
            _ => {
                let secs = [1, 31, 61, 400][self.rng.below(4)];
                self.world.pass(Duration::from_secs(secs)).await;
            }
        }
    }

    async fn slice(&mut self, which: usize) {
        let from = self.rng.below(6) * 2_000;
        let length = (self.rng.below(3) + 1) * 2_000;
        let end = (from + length).min(LENGTH);
        let breaks = self.rng.below(5) == 0;
        let known = &self.jobs[which];
        let body = &known.bytes[from..end];
        let body = if breaks { broken_after(&body[..body.len() / 2]) } else { whole(body) };
        let slice = at(from, Some(end - from));
        let sent = self.world.sending(upload_of(&known.view), slice, body);
        let sent = tokio::time::timeout(Duration::from_secs(20), sent);
        let sent = sent.await.unwrap_or_else(|_| panic!("stuck: {}", self.story())).unwrap();
        match sent {
            Ok(_) => self.jobs[which].acknowledged[from..end].fill(true),
            Err(UploadError::Body { offset, .. }) => {
                self.jobs[which].acknowledged[..usize::try_from(offset).unwrap()].fill(true);
            }
            Err(
                UploadError::NotFound
                | UploadError::Gone { .. }
                | UploadError::NotTaking { .. }
                | UploadError::Store(StoreError::NoSpace | StoreError::Io { .. }),
            ) => {}
            Err(error) => panic!("{error:?}: {}", self.story()),
        }
    }

    async fn ask(&mut self, which: usize, verb: &str) {
        let (jobs, caller) = (self.world.jobs(), self.world.caller);
        let known = &mut self.jobs[which];
        let uuid = known.view.job.uuid;
        let answer = match verb {
            "suspend" => jobs.suspend(caller, uuid).await.map(drop),
            "resume" => jobs.resume(caller, uuid).await.map(drop),
            "cancel" => jobs.cancel(caller, uuid).await,
            _ => jobs.delete(caller, uuid).await,
        };
        match (verb, answer) {
            ("cancel", Ok(())) => known.canceled = true,
            ("delete", Ok(())) => known.deleted = true,
            (_, Ok(()) | Err(JobError::WrongState { .. } | JobError::NotFound { .. }))
            | ("resume", Err(JobError::Upload(UploadError::Store(_)))) => {}
            (_, Err(error)) => panic!("{verb}: {error:?}: {}", self.story()),
        }
    }

    async fn crash(&mut self) {
        self.world.crash().await;
        self.world.rig.heal();
        self.check_store().await;
    }

    /// Acknowledged bytes are there, states moved along the table.
    async fn check(&mut self) {
        for which in 0..self.jobs.len() {
            let known = &self.jobs[which];
            let uuid = known.view.job.uuid;
            let job = self.world.db.job(uuid, Scope::All).await.unwrap();
            let Some(job) = job else {
                assert!(known.deleted, "a record is gone: {}", self.story());
                continue;
            };
            assert!(
                reachable(known.state, job.state),
                "{} -> {}: {}",
                known.state,
                job.state,
                self.story()
            );
            assert!(
                job.state != JobState::Canceled || known.canceled,
                "nobody canceled: {}",
                self.story()
            );
            if !job.state.is_final() {
                let status = self.world.uploads().status(upload_of(&known.view)).await;
                let status = status.unwrap_or_else(|error| panic!("{error}: {}", self.story()));
                for gap in status.missing {
                    let gap =
                        usize::try_from(gap.start).unwrap()..usize::try_from(gap.end).unwrap();
                    let lost = known.acknowledged[gap.clone()].iter().any(|acked| *acked);
                    assert!(!lost, "acknowledged bytes of {gap:?} are missing: {}", self.story());
                }
                let says = job.state == JobState::Running || job.waits_for.is_some();
                assert!(says, "{} says not what it waits for: {}", job.state, self.story());
            }
            self.jobs[which].state = job.state;
            self.world.history(&self.jobs[which].view).await;
        }
    }

    /// After recovery every staging entry has an open row, and what has ended holds no room.
    async fn check_store(&mut self) {
        let mut open = Vec::new();
        for (_, upload) in self.world.db.unfinished_jobs(None, 1_000).await.unwrap().jobs {
            open.push(UploadKey(upload.uuid.0));
        }
        let entries = self.world.store().uploads().await.unwrap();
        let strays: Vec<_> = entries.iter().filter(|key| !open.contains(key)).collect();
        // One that is being published at this moment may be seen on either side.
        for stray in strays {
            let record = self.world.db.upload(longshore::domain::ids::UploadUuid(stray.0)).await;
            let known = record.unwrap().is_some();
            assert!(known, "{stray} has no record: {}", self.story());
        }
    }

    /// Every job that has not ended has a way out: to its image.
    async fn end(mut self) {
        self.world.rig.heal();
        for which in 0..self.jobs.len() {
            let known = &self.jobs[which];
            let uuid = known.view.job.uuid;
            let Some(job) = self.world.db.job(uuid, Scope::All).await.unwrap() else { continue };
            if job.state == JobState::Suspended(SuspendReason::User) {
                self.world.jobs().resume(self.world.caller, uuid).await.unwrap();
            }
            if !job.state.is_final() {
                let _duplicate_or_not = self.world.send(&known.view, 0, &known.bytes).await;
                let known = &self.jobs[which];
                self.world.until(&known.view, JobState::Succeeded).await;
                self.world.assert_ready(&known.view, &known.bytes).await;
            } else if job.state == JobState::Canceled || job.state == JobState::Failed {
                self.world.assert_nothing_left(&known.view).await;
            }
            self.log.push(format!("{which} ended"));
        }
        assert_eq!(self.world.uploads().promised_bytes(), 0, "{}", self.story());
        assert!(self.world.uploads().all_live().is_empty(), "{}", self.story());
    }

    fn story(&self) -> String {
        format!("seed {}: {}", self.seed, self.log.join(" | "))
    }
}

/// Whether the table leads from one state to the other in any number of steps.
fn reachable(from: JobState, to: JobState) -> bool {
    let mut seen = vec![from];
    let mut at = 0;
    while at < seen.len() {
        // No walk runs a job again.
        for event in JobEvent::ALL.into_iter().filter(|event| *event != JobEvent::RunAgain) {
            if let Ok(Next::To(next)) = seen[at].on(event)
                && !seen.contains(&next)
            {
                seen.push(next);
            }
        }
        at += 1;
    }
    seen.contains(&to)
}
