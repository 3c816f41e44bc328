//! What crosses what, 200 times each: whoever wins, there is one outcome, and the history of the run fits the model.
//!
//! Seeds decide what is sent, when it is called for, and where in the store steps pause; the threads decide the rest.
//! `LONGSHORE_RACE_RUNS` sets how many runs there are of each; `scripts/soak races` has many.

mod clients;
mod controls;
mod endings;
mod history;
mod reruns;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use futures::future::join_all;

use super::{
    on_all,
    rng::Rng,
    world::{Backing, World},
};

on_all! {
    two_clients_on_one_upload
    suspend_against_slices
    cancel_against_finish
    delete_against_download
    rerun_against_late_slices
}

/// Runs that are under way at the same time: their changes share commits.
const LANES: u64 = 4;

fn runs() -> u64 {
    let set = std::env::var("LONGSHORE_RACE_RUNS").ok();
    set.map_or(200, |runs| runs.parse().expect("LONGSHORE_RACE_RUNS is a number"))
}

/// A world whose store pauses where the seed says.
async fn shaken(backing: Backing) -> World {
    let world = World::new(backing).await;
    world.rig.shake(runs());
    world
}

/// All runs, some at a time; what each came to.
async fn in_lanes<T>(run: impl AsyncFn(u64) -> T) -> Vec<T> {
    let lane = async |first: u64| {
        let mut outcomes = Vec::new();
        let mut seed = first;
        while seed < runs() {
            outcomes.push(run(seed).await);
            seed += LANES;
        }
        outcomes
    };
    join_all((0..LANES).map(lane)).await.into_iter().flatten().collect()
}

/// How long the second side of a race waits before it begins, found out by its results: on a fast machine and on a slow one each
/// side wins about half of the runs.
#[derive(Debug)]
struct Balance(AtomicU64);

impl Default for Balance {
    fn default() -> Self {
        Self(AtomicU64::new(1_000))
    }
}

impl Balance {
    /// Waits between no time and twice the time that was right so far.
    async fn wait(&self, rng: &mut Rng) {
        let most_us = 2 * self.0.load(Ordering::Relaxed);
        let wait = Duration::from_micros(rng.below(usize::try_from(most_us).unwrap()) as u64);
        let begun = Instant::now();
        // The timer counts milliseconds; what is left of one is given to others turn by turn.
        tokio::time::sleep(wait.saturating_sub(Duration::from_millis(1))).await;
        while begun.elapsed() < wait {
            tokio::task::yield_now().await;
        }
    }

    fn learn(&self, second_won: bool) {
        let learnt = |us: u64| Some(if second_won { us + us / 8 + 1 } else { us - us / 8 });
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, learnt).unwrap();
    }
}

/// Whether every outcome came about: a race that one side always wins shows nothing.
fn assert_both_happened(outcomes: &[bool]) {
    let won = outcomes.iter().filter(|won| **won).count();
    let enough = outcomes.len() < 100 || (won > 0 && won < outcomes.len());
    assert!(enough, "{won} of {}: one side always wins, nothing was shown", outcomes.len());
}

async fn two_clients_on_one_upload(backing: Backing) {
    let world = shaken(backing).await;
    in_lanes(async |seed| clients::two_clients(&world, seed).await).await;
    assert_eq!(world.uploads().promised_bytes(), 0);
}

async fn suspend_against_slices(backing: Backing) {
    let world = shaken(backing).await;
    let jobs = world.jobs();
    let suspended =
        in_lanes(async |seed| clients::suspend_and_slices(&world, &jobs, seed).await).await;
    assert!(suspended.contains(&true), "no suspension ever came in time");
    assert_eq!(world.uploads().promised_bytes(), 0);
}

async fn cancel_against_finish(backing: Backing) {
    let (world, balance) = (shaken(backing).await, Balance::default());
    let canceled =
        in_lanes(async |seed| endings::cancel_and_finish(&world, &balance, seed).await).await;
    assert_both_happened(&canceled);
    assert_eq!(world.uploads().promised_bytes(), 0);
    assert!(world.uploads().all_live().is_empty(), "something is left in memory");
    assert!(world.store().uploads().await.unwrap().is_empty(), "something is left in the store");
}

async fn delete_against_download(backing: Backing) {
    let (world, balance) = (shaken(backing).await, Balance::default());
    let cut =
        in_lanes(async |seed| endings::delete_and_download(&world, &balance, seed).await).await;
    assert_both_happened(&cut);
}

async fn rerun_against_late_slices(backing: Backing) {
    let world = shaken(backing).await;
    let late = in_lanes(async |seed| reruns::rerun_and_late_slices(&world, seed).await).await;
    assert!(late.iter().sum::<usize>() > 0, "no slice was ever late");
    assert_eq!(world.uploads().promised_bytes(), 0);
    assert!(world.uploads().all_live().is_empty(), "something is left in memory");
    assert!(world.store().uploads().await.unwrap().is_empty(), "something is left in the store");
}
