//! The promises of `longshore::db`, on both databases.

mod accounts;
mod history;
mod images;
mod job_moves;
mod jobs;
mod joins;
mod leases;
mod opening;
mod queries;
mod records;
mod runs;
mod schedule;
mod service;
mod tags;
mod tally;
mod upgrading;
mod uploads;
mod writing;
