//! The life of an upload job through the use cases, without HTTP: on the memory store and the local one, on both databases.

mod bodies;
mod control;
mod crash;
mod expiry;
mod faults;
mod finish;
mod histories;
mod history;
mod idle;
mod images;
mod inspection;
mod joining;
mod joining_faults;
mod many;
mod races;
mod rerun;
mod rigged;
mod rigged_writer;
mod rng;
mod schedule;
mod schedule_rows;
mod scheduled_races;
mod scheduled_runs;
mod schedulers;
mod scrubbing;
mod space;
mod tags;
mod takeover;
mod walk;
mod whole;
mod world;

/// Runs a case on every backing that it has to hold on.
macro_rules! on_all {
    ($($case:ident)*) => {$(
        mod $case {
            use crate::lifecycle::world::Backing;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn memory() {
                super::$case(Backing::Memory).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn local() {
                super::$case(Backing::Local).await;
            }

            #[ignore = "needs PostgreSQL"]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$case(Backing::LocalOnPostgres).await;
            }
        }
    )*};
}
pub(crate) use on_all;
