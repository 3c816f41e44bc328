//! The way that a job has come, told afterwards: every change of its state has left its row, and nothing else has.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use longshore::{
    domain::{
        account::{Caller, Scope},
        history::StateChange,
        ids::{AccountUuid, ApiId},
        job_state::{JobEvent, JobState, Next, SuspendReason},
    },
    jobs::{JobError, JobView},
};

use super::{
    bodies::content,
    joining::{join, parts_of},
    on_all,
    world::{Backing, World, upload_of},
};

on_all! {
    pauses_and_an_end_leave_their_rows
    a_restart_leaves_a_row_of_its_own
    failures_and_reruns_leave_their_rows
    by_whom_is_told
    an_upload_that_is_joined_has_a_history
}

impl World {
    /// What is told of a job, after a check that it can be true: it ends with the job's state, and each change is one that an event
    /// makes.
    pub(crate) async fn history(&self, job: &JobView) -> Vec<StateChange> {
        loop {
            let before = self.job(job).await;
            let history = self.jobs().history(self.caller, job.job.uuid).await.unwrap();
            // It may move while it is looked at.
            if self.job(job).await.generation == before.generation {
                check(&history, before.state);
                return history;
            }
        }
    }
}

/// Panics unless it may be the history of a job in this state.
pub(crate) fn check(history: &[StateChange], state: JobState) {
    assert_eq!(history.last().expect("it begins somehow").state, state, "{history:?}");
    for pair in history.windows(2) {
        let (from, to) = (pair[0].state, pair[1].state);
        let leads = |event| matches!(from.on(event), Ok(Next::To(next)) if next == to);
        assert!(JobEvent::ALL.into_iter().any(leads), "{from} -> {to}: {history:?}");
        assert!(pair[0].at_ms <= pair[1].at_ms, "{history:?}");
    }
    assert!(history.iter().all(|change| !change.cause.is_empty()), "{history:?}");
}

async fn told(world: &World, job: &JobView) -> Vec<String> {
    let history = world.history(job).await;
    history.iter().map(|change| format!("{}: {}", change.state, change.cause)).collect()
}

async fn pauses_and_an_end_leave_their_rows(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(20_000, 1);
    let job = world.submit(Some(bytes.len())).await;
    let (jobs, caller, uuid) = (world.jobs(), world.caller, job.job.uuid);
    world.send(&job, 0, &bytes[..5_000]).await.unwrap();
    world.pass(Duration::from_secs(31)).await;
    world.send(&job, 5_000, &bytes[5_000..8_000]).await.unwrap();
    world.clock.advance_ms(1_000);
    jobs.suspend(caller, uuid).await.unwrap();
    // Asked twice, done once.
    jobs.suspend(caller, uuid).await.unwrap();
    world.clock.advance_ms(1_000);
    jobs.resume(caller, uuid).await.unwrap();
    world.send(&job, 8_000, &bytes[8_000..]).await.unwrap();
    world.until(&job, JobState::Succeeded).await;
    assert_eq!(
        told(&world, &job).await,
        [
            "Running: submitted",
            "Suspended(idle): uploading has been inactive more than 30 sec",
            "Running: bytes arrived",
            "Suspended(user): suspended by the user",
            "Running: resumed by the user",
            "Succeeded: the image is Ready",
        ]
    );
    let times: Vec<_> =
        world.history(&job).await.iter().map(|c| c.at_ms - job.job.created_ms).collect();
    assert_eq!(times, [0, 31_000, 31_000, 32_000, 33_000, 33_000]);
}

async fn a_restart_leaves_a_row_of_its_own(backing: Backing) {
    let mut world = World::new(backing).await;
    let bytes = content(20_000, 2);
    let (job, paused) = (world.submit(Some(bytes.len())).await, world.submit(Some(9)).await);
    world.jobs().suspend(world.caller, paused.job.uuid).await.unwrap();
    world.send(&job, 0, &bytes[..5_000]).await.unwrap();
    for _ in 0..2 {
        world.clock.advance_ms(1_000);
        world.crash().await;
    }
    let restarted = "Suspended(restart): the service was restarted";
    assert_eq!(told(&world, &job).await, ["Running: submitted", restarted]);
    assert_eq!(told(&world, &paused).await.len(), 2, "what waits is not interrupted");
    world.send(&job, 5_000, &bytes[5_000..9_000]).await.unwrap();
    world.crash().await;
    world.send(&job, 9_000, &bytes[9_000..]).await.unwrap();
    world.until(&job, JobState::Succeeded).await;
    let woken = "Running: bytes arrived";
    let wanted =
        ["Running: submitted", restarted, woken, restarted, woken, "Succeeded: the image is Ready"];
    assert_eq!(told(&world, &job).await, wanted);
    world.crash().await;
    assert_eq!(told(&world, &job).await, wanted, "an end stays the end");
}

async fn failures_and_reruns_leave_their_rows(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(3_000, 3);
    let job = world.submit(Some(bytes.len())).await;
    let (jobs, caller, uuid) = (world.jobs(), world.caller, job.job.uuid);
    jobs.cancel(caller, uuid).await.unwrap();
    jobs.rerun(caller, uuid, ApiId::random()).await.unwrap();
    world.pass(Duration::from_secs(3601)).await;
    jobs.rerun(caller, uuid, ApiId::random()).await.unwrap();
    let again = jobs.job(caller, uuid).await.unwrap();
    world.send(&again, 0, &bytes[..9]).await.unwrap();
    world.pass(Duration::from_secs(31)).await;
    world.pass(Duration::from_hours(8 * 24)).await;
    world.clock.advance_ms(Duration::from_hours(24).as_millis().try_into().unwrap());
    world.pass(Duration::from_secs(1)).await;
    world.until(&job, JobState::Failed).await;
    assert_eq!(
        told(&world, &job).await,
        [
            "Running: submitted",
            "Canceling: canceled by the user",
            "Canceled: its bytes were removed",
            "Running: run again by the user",
            "Failed: no byte arrived within 3600 sec",
            "Running: run again by the user",
            "Suspended(idle): uploading has been inactive more than 30 sec",
            "Failed: the last byte arrived more than 7 days ago",
        ]
    );
    // With the record of a job goes what was told of it.
    jobs.delete(caller, uuid).await.unwrap();
    let gone = jobs.history(caller, uuid).await;
    assert!(matches!(gone, Err(JobError::NotFound { .. })), "{gone:?}");
}

async fn by_whom_is_told(backing: Backing) {
    let world = World::new(backing).await;
    let job = world.submit(Some(9)).await;
    let (jobs, uuid) = (world.jobs(), job.job.uuid);
    let admin = Caller { account: AccountUuid::random(), admin: true };
    let stranger = Caller { account: AccountUuid::random(), admin: false };
    jobs.suspend(admin, uuid).await.unwrap();
    jobs.resume(admin, uuid).await.unwrap();
    jobs.cancel(admin, uuid).await.unwrap();
    jobs.rerun(admin, uuid, ApiId::random()).await.unwrap();
    assert_eq!(
        told(&world, &job).await,
        [
            "Running: submitted",
            "Suspended(user): suspended by an administrator",
            "Running: resumed by an administrator",
            "Canceling: canceled by an administrator",
            "Canceled: its bytes were removed",
            "Running: run again by an administrator",
        ]
    );
    assert_eq!(jobs.history(admin, uuid).await.unwrap(), world.history(&job).await);
    let told = jobs.history(stranger, uuid).await;
    assert!(matches!(told, Err(JobError::NotFound { .. })), "{told:?}");
}

async fn an_upload_that_is_joined_has_a_history(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(30_000, 4);
    let job = join(&world, &parts_of(&world, &bytes).await).await.unwrap();
    world.until(&job, JobState::Succeeded).await;
    let wanted = ["Running: submitted, to be joined of 3 parts", "Succeeded: the image is Ready"];
    assert_eq!(told(&world, &job).await, wanted);
    let record = world.db.upload(upload_of(&job)).await.unwrap().unwrap();
    let seen = world.db.job_history(record.job, Scope::Account(world.caller.account)).await;
    assert_eq!(seen.unwrap().unwrap(), world.history(&job).await);
}

/// The negative control: in a world whose records do not note one change, the check sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_not_noted_is_found() {
    let world = World::new(Backing::Memory).await;
    let job = world.submit(Some(9)).await;
    world.history(&job).await;
    world.test_db.sabotage("DROP TRIGGER job_history_update").await;
    world.jobs().suspend(world.caller, job.job.uuid).await.unwrap();
    let seen = AssertUnwindSafe(world.history(&job)).catch_unwind().await;
    assert!(seen.is_err(), "{seen:?}");
}

/// What the check is there to find, it finds.
#[test]
fn a_history_that_cannot_be_is_found() {
    let change = |state| StateChange { at_ms: 0, state, cause: "so".to_owned() };
    let running = change(JobState::Running);
    let idle = change(JobState::Suspended(SuspendReason::Idle));
    let ended = change(JobState::Succeeded);
    check(&[running.clone(), idle.clone(), running.clone()], JobState::Running);
    let nameless = StateChange { cause: String::new(), ..running.clone() };
    let late = StateChange { at_ms: 1, ..running.clone() };
    for (wrong, state) in [
        (vec![], JobState::Running),
        (vec![running.clone()], JobState::Succeeded),
        (vec![running.clone(), running.clone()], JobState::Running),
        (vec![idle, ended.clone()], JobState::Succeeded),
        (vec![nameless], JobState::Running),
        (vec![late, ended], JobState::Succeeded),
    ] {
        let caught = std::panic::catch_unwind(|| check(&wrong, state));
        assert!(caught.is_err(), "{wrong:?}");
    }
}
