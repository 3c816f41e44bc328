//! Calls that cross each other: whoever wins, the record and the store agree.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use longshore::{
    domain::job_state::{JobState, SuspendReason},
    jobs::JobError,
    uploads::UploadError,
};

use super::{
    bodies::{content, whole},
    on_all,
    world::{Backing, World, at, upload_of},
};

on_all! {
    slices_and_suspensions
    cancel_and_finish
    a_cancel_and_a_first_slice_leave_nothing_in_memory
    many_join_one_finish
}

/// 200 runs of slices against suspend and resume: after a suspension has returned and until the next resume, not a byte more.
async fn slices_and_suspensions(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(200 * 40, 1);
    let job = world.submit(Some(bytes.len())).await;
    let (caller, uuid) = (world.caller, job.job.uuid);
    let stop = Arc::new(AtomicBool::new(false));
    let mut senders = Vec::new();
    for n in 0..4 {
        let (uploads, stop, bytes) = (world.uploads(), Arc::clone(&stop), bytes.clone());
        let upload = upload_of(&job);
        senders.push(world.spawn(async move {
            let mut accepted = 0;
            // Each sends its own quarter, one byte after the other, for ever if it has to.
            let mut position = n * 2_000;
            while !stop.load(Ordering::SeqCst) && position < (n + 1) * 2_000 {
                let body = whole(&bytes[position..=position]);
                match uploads.write(upload, at(position, Some(1)), body).await {
                    Ok(_) => {
                        position += 1;
                        accepted += 1;
                    }
                    Err(UploadError::NotTaking { .. } | UploadError::Store(_)) => {
                        tokio::task::yield_now().await;
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
            accepted
        }));
    }
    for run in 0..200_u64 {
        match world.jobs().suspend(caller, uuid).await {
            Ok(view) => assert_eq!(view.job.state, JobState::Suspended(SuspendReason::User)),
            Err(JobError::WrongState { .. }) => break,
            Err(error) => panic!("{error}"),
        }
        let before = stored(&world, &job).await;
        if run % 8 == 0 {
            tokio::time::sleep(Duration::from_millis(3)).await;
        } else {
            tokio::task::yield_now().await;
        }
        assert_eq!(stored(&world, &job).await, before, "run {run}: bytes came while suspended");
        assert!(!world.uploads().touched(upload_of(&job)).unwrap().gate_is_open(), "run {run}");
        world.jobs().resume(caller, uuid).await.unwrap();
        tokio::time::sleep(Duration::from_micros(run * 37 % 2_000)).await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut accepted = 0;
    for sender in senders {
        accepted += sender.await.unwrap();
    }
    assert!(accepted > 0, "no slice was ever taken: nothing was shown");
    let status = world.uploads().status(upload_of(&job)).await;
    for gap in status.map(|status| status.missing).unwrap_or_default() {
        let (start, end) = (usize::try_from(gap.start).unwrap(), usize::try_from(gap.end).unwrap());
        world.send(&job, start, &bytes[start..end]).await.unwrap();
    }
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
}

async fn stored(world: &World, job: &longshore::jobs::JobView) -> u64 {
    let key = longshore_storage::UploadKey(upload_of(job).0);
    world.store().state(key).await.unwrap().stored_bytes()
}

/// 100 runs: exactly one of an image and a Canceled job with nothing in the store.
async fn cancel_and_finish(backing: Backing) {
    let world = World::new(backing).await;
    let (mut succeeded, mut canceled) = (0, 0);
    for run in 0..100_u64 {
        let bytes = content(3_000, run);
        let job = world.submit(Some(bytes.len())).await;
        let sending = world.sending(upload_of(&job), at(0, Some(bytes.len())), whole(&bytes));
        tokio::time::sleep(Duration::from_micros(run * 173 % 12_000)).await;
        match world.jobs().cancel(world.caller, job.job.uuid).await {
            Ok(()) | Err(JobError::WrongState { state: JobState::Succeeded, .. }) => {}
            Err(error) => panic!("run {run}: {error}"),
        }
        let _either = sending.await.unwrap();
        match world.state(&job).await {
            JobState::Succeeded => {
                world.assert_ready(&job, &bytes).await;
                succeeded += 1;
            }
            JobState::Canceled => {
                world.assert_nothing_left(&job).await;
                canceled += 1;
            }
            state => panic!("run {run}: {state}"),
        }
        assert_eq!(world.uploads().promised_bytes(), 0, "run {run}");
    }
    assert!(canceled > 0, "the cancel never won ({succeeded} images): nothing was shown");
}

/// A slice that takes an upload into memory while it is being removed must not keep it there, or its promise of room.
async fn a_cancel_and_a_first_slice_leave_nothing_in_memory(backing: Backing) {
    let mut world = World::new(backing).await;
    for run in 0..40_u64 {
        let job = world.submit(None).await;
        if run % 10 == 0 {
            // So that it is not in memory.
            world.crash().await;
        }
        let slice = longshore::uploads::Slice { total: Some(1 << 20), ..at(0, Some(3)) };
        let sending = world.sending(upload_of(&job), slice, whole(b"abc"));
        tokio::time::sleep(Duration::from_micros(run * 97 % 3_000)).await;
        world.jobs().cancel(world.caller, job.job.uuid).await.unwrap();
        let _either = sending.await.unwrap();
        assert_eq!(world.state(&job).await, JobState::Canceled);
        world.assert_nothing_left(&job).await;
        assert_eq!(world.uploads().promised_bytes(), 0, "run {run}: a promise is left");
    }
}

async fn many_join_one_finish(backing: Backing) {
    let world = World::new(backing).await;
    let bytes = content(30_000, 3);
    let job = world.submit(Some(bytes.len())).await;
    let mut sending = Vec::new();
    for n in 0..6 {
        let from = n % 3 * 10_000;
        let slice = at(from, Some(10_000));
        sending.push(world.sending(upload_of(&job), slice, whole(&bytes[from..from + 10_000])));
    }
    let mut verdicts = 0;
    for sending in sending {
        verdicts += u32::from(sending.await.unwrap().unwrap().verdict.is_some());
    }
    assert!(verdicts >= 1, "whoever brought the last byte hears the verdict");
    world.assert_ready(&job, &bytes).await;
}
