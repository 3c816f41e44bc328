//! Negative controls: in a world where one thing does not hold, the same runs and the same checks see it.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use super::{Balance, clients, endings, reruns, runs, shaken};
use crate::lifecycle::{
    rigged::Op,
    world::{Backing, World},
};

/// One of the runs is found wrong, in these words.
async fn assert_caught<T>(words: &str, run: impl AsyncFn(u64) -> T) {
    for seed in 0..runs().max(200) {
        let Err(panic) = AssertUnwindSafe(run(seed)).catch_unwind().await else { continue };
        let told = panic.downcast_ref::<String>().map_or("", String::as_str);
        let told = panic.downcast_ref::<&str>().copied().unwrap_or(told);
        assert!(told.contains(words), "it was something else: {told}");
        return;
    }
    panic!("nothing was found");
}

async fn lying(op: Op) -> World {
    let world = shaken(Backing::Memory).await;
    world.rig.lie(op);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_acknowledged_and_not_stored_are_missed() {
    let world = lying(Op::Acknowledge).await;
    let run = async |seed| clients::two_clients(&world, seed).await;
    assert_caught("was acknowledged", run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_leaves_bytes_is_seen() {
    let world = lying(Op::Discard).await;
    let balance = Balance::default();
    let run = async |seed| endings::cancel_and_finish(&world, &balance, seed).await;
    assert_caught("bytes are left in the store", run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_leaves_the_image_is_seen() {
    let world = lying(Op::DeleteImage).await;
    let balance = Balance::default();
    let run = async |seed| endings::delete_and_download(&world, &balance, seed).await;
    assert_caught("seed", run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_run_that_goes_on_is_seen() {
    let world = lying(Op::Discard).await;
    let run = async |seed| reruns::rerun_and_late_slices(&world, seed).await;
    assert_caught("bytes of the first run are left", run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_a_suspension_does_not_end_are_seen() {
    let world = lying(Op::Revoke).await;
    let jobs = world.jobs();
    let run = async |seed| clients::suspend_and_slices(&world, &jobs, seed).await;
    assert_caught("while it is suspended", run).await;
}

/// A second control plane over the same records and bytes has locks of its own: who suspends there is not kept apart from the
/// slices here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_without_the_lock_is_seen() {
    let world = shaken(Backing::Memory).await;
    let jobs = world.jobs_with_other_locks();
    let run = async |seed| clients::suspend_and_slices(&world, &jobs, seed).await;
    assert_caught("while it is suspended", run).await;
}

/// Records whose generation stands still compare and swap nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_without_compare_and_swap_are_seen() {
    let world = shaken(Backing::Memory).await;
    world
        .test_db
        .sabotage(
            "CREATE TRIGGER stand_still AFTER UPDATE OF generation ON long_job BEGIN \
             UPDATE long_job SET generation = 1 WHERE uuid = NEW.uuid; END",
        )
        .await;
    let balance = Balance::default();
    let run = async |seed| endings::cancel_and_finish(&world, &balance, seed).await;
    assert_caught("two states", run).await;
}
