//! `longshore bench`: the load tester.

mod live;
mod table;
mod units;

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{Connection, exit, out};
use crate::client::{
    api::Api,
    is_loopback,
    load::{Data, Load, LoadPlan, protocol::Protocol, report::Report},
};
use live::Live;

/// What another machine gets at most, unless told otherwise: half a gigabit line.
const ELSEWHERE_RATE: u64 = 50_000_000;

/// Help with examples.
pub const HELP: &str = "Examples:
  longshore bench                                          4 uploads of 256 MiB at once to this machine's server
  longshore bench --streams 8 --size 1g --verify --interruptions 16
  longshore bench --protocol put --uploads 2000 --size 64k --streams 16
  longshore bench --protocol slices --streams 1 --size 4g --parallel 4 --json > report.json
  longshore bench --streams 64 --rate 2m --size 32m
  longshore bench --target https://images.example.org --total-rate 20m

What it makes is named bench-..., and is deleted at the end. Ctrl-C ends it early with a report of what there is.

Exit codes: 0 all uploads became images, 2 usage, 3 not logged in, 4 no space or quota, 5 the server was away too long,
6 an image has other bytes than were sent (--verify), 7 uploads failed, 130 interrupted.";

/// Load-test a server: upload made-up images, measure, delete them
///
/// Reports throughput, latencies, errors, and what a server on this machine spends in CPU time and memory. The server is the
/// one of --server or of the newest login if it is on this machine; any other has to be named with --target.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Bench {
    /// Server to load, on this machine or another one; needs a login there
    #[arg(long, value_name = "URL")]
    target: Option<String>,
    /// What is spoken
    #[arg(long, value_enum, default_value = "native")]
    protocol: Spoken,
    /// Uploads at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    streams: u16,
    /// Uploads in all [default: one for each stream]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    uploads: Option<u64>,
    /// Bytes of each upload, as 64k, 256m, 4g or 1t [default: 256m, or the size of --file]
    #[arg(long, value_parser = units::bytes)]
    size: Option<u64>,
    /// Longest body of one request; `put` sends one for all
    #[arg(long, default_value = "16m", value_parser = units::bytes, value_name = "SIZE")]
    chunk: u64,
    /// Requests at once for each upload; `put`, `tus` and `ietf` send one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    parallel: u8,
    /// Bytes per second of each stream, as 512k or 2m [default: as fast as it goes]
    #[arg(long, value_parser = units::bytes, value_name = "SIZE")]
    rate: Option<u64>,
    /// Bytes per second of all streams together [default: no limit on this machine, 50 MB/s elsewhere]
    #[arg(long, value_parser = units::bytes, value_name = "SIZE")]
    total_rate: Option<u64>,
    /// No limit for a server on another machine
    #[arg(long, conflicts_with = "total_rate", requires = "target")]
    unlimited: bool,
    /// What is sent
    #[arg(long, value_enum, default_value = "random")]
    data: Bytes,
    /// Send the first bytes of this file
    #[arg(long, conflicts_with = "data", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Times per GiB that the connection is cut and the upload goes on from where the server stands
    #[arg(long, default_value_t = 0.0, value_parser = units::count, value_name = "NUMBER")]
    interruptions: f64,
    /// Compare the SHA-256 of every image with that of what was sent
    #[arg(long)]
    verify: bool,
    /// Keep images and jobs
    #[arg(long)]
    keep: bool,
    /// Process of the server, if it is not the one that listens on the port
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Seed of the bytes and of the interruptions
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The report as JSON on standard output, and no progress
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Spoken {
    /// Chunks with Content-Range on the upload URL
    Native,
    /// ZStack's multipart slices
    Slices,
    /// One request for the whole image, its job included
    Put,
    /// tus 1.0.0: a PATCH for each chunk, in order
    Tus,
    /// Resumable uploads of the IETF: a PATCH for each chunk, in order, with interim answers
    Ietf,
}

impl From<Spoken> for Protocol {
    fn from(spoken: Spoken) -> Self {
        match spoken {
            Spoken::Native => Self::Native,
            Spoken::Slices => Self::Slices,
            Spoken::Put => Self::Put,
            Spoken::Tus => Self::Tus,
            Spoken::Ietf => Self::Ietf,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Bytes {
    /// Pseudo-random
    Random,
    /// Nothing but zeros
    Zeros,
}

/// The report as one event, like those of other commands.
#[derive(Serialize)]
struct ReportEvent<'r> {
    event: &'static str,
    #[serde(flatten)]
    report: &'r Report,
}

impl Bench {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<u8> {
        let api = self.api(connection)?;
        let plan = self.plan(is_loopback(api.address())).await?;
        let load = Load::new(api, plan)?;
        let theirs = Arc::clone(&load);
        let watch = super::on_interrupt(move || {
            out::complain("ending and deleting what was made; press Ctrl-C again to leave at once");
            theirs.stop();
        });
        let live = Live::start(&load, self.json);
        let outcome = load.run().await;
        watch.abort();
        live.done().await;
        let (report, error) = outcome?;
        if self.json {
            out::say_json(&ReportEvent { event: "report", report: &report });
        } else {
            table::say(&report);
        }
        if let Some(error) = error {
            return Err(error.into());
        }
        Ok(code_of(&report))
    }

    /// The server, if the load may go there.
    fn api(&self, connection: &Connection) -> Result<Api> {
        let server = self.target.clone().or_else(|| connection.server.clone());
        let api = Connection { server }.api()?;
        if self.target.is_none() && !is_loopback(api.address()) {
            let server = api.server();
            bail!(
                "{server} is not this machine. A load test can take a server from the people who use it; if you may, \
                 name it: longshore bench --target {server}"
            );
        }
        Ok(api)
    }

    async fn plan(&self, loopback: bool) -> Result<LoadPlan> {
        let data = match (&self.file, self.data) {
            (Some(path), _) => Data::File(path.clone()),
            (None, Bytes::Random) => Data::Random,
            (None, Bytes::Zeros) => Data::Zeros,
        };
        let size = match (self.size, &self.file) {
            (Some(size), _) => size,
            (None, Some(path)) => {
                let found = tokio::fs::metadata(path).await;
                found.with_context(|| format!("{} cannot be read", path.display()))?.len()
            }
            (None, None) => 256 << 20,
        };
        let streams = self.uploads.unwrap_or(u64::MAX).min(u64::from(self.streams));
        Ok(LoadPlan {
            protocol: self.protocol.into(),
            data,
            streams: usize::try_from(streams)?,
            uploads: self.uploads.unwrap_or(u64::from(self.streams)),
            size,
            chunk_bytes: self.chunk,
            parallel: usize::from(self.parallel),
            stream_rate: self.rate,
            total_rate: total_rate(self.total_rate, loopback, self.unlimited),
            interruptions_per_gib: self.interruptions,
            verify: self.verify,
            keep: self.keep,
            loopback_only: self.target.is_none(),
            server_pid: self.server_pid,
            run: uuid::Uuid::new_v4().simple().to_string()[..12].to_owned(),
            seed: self.seed,
        })
    }
}

/// The limit of all streams together.
fn total_rate(asked: Option<u64>, loopback: bool, unlimited: bool) -> Option<u64> {
    asked.or((!loopback && !unlimited).then_some(ELSEWHERE_RATE))
}

fn code_of(report: &Report) -> u8 {
    if report.digests.is_some_and(|digests| digests.wrong > 0) {
        exit::of_kind(crate::client::error::ErrorKind::Checksum)
    } else if report.interrupted {
        exit::INTERRUPTED
    } else if report.failed > 0 {
        exit::SERVER
    } else {
        exit::OK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_is_spared_unless_told_otherwise() {
        assert_eq!(total_rate(None, true, false), None);
        assert_eq!(total_rate(Some(7), true, false), Some(7));
        assert_eq!(total_rate(None, false, false), Some(ELSEWHERE_RATE));
        assert_eq!(total_rate(Some(7), false, false), Some(7));
        assert_eq!(total_rate(None, false, true), None);
    }
}
