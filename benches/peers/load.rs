//! The load of `benches/peers/run`: one generator for all servers, so that they are compared and not their clients.
//!
//! ```text
//! peer_load SERVER BASE_URL STREAMS UPLOADS SIZE CHUNK     CHUNK 0: one request; prints JSON
//! ```
//! SERVER is `put` (sinks, nginx), `longshore`, `tus`, `registry`, `imageio` or `glance`; `PEER_AUTHORIZATION` is sent where it is
//! set. The time runs from the first request, creation included, to the last answer that says that an upload is complete.
#![expect(clippy::print_stdout, reason = "a measuring tool prints its numbers")]

#[path = "dialects.rs"]
mod dialects;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::{Context, Result, bail, ensure};
use dialects::{Dialect, Peer};
use longshore::client::load::{source::Source, tally::Times, usage::Cpu};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

/// Shared by all streams.
pub(crate) struct Work {
    pub(crate) peer: Peer,
    pub(crate) source: Source,
    pub(crate) size: u64,
    /// Bytes of a request; the whole upload where it is not cut.
    pub(crate) chunk: u64,
    pub(crate) uploads: u64,
    next: AtomicU64,
    /// Requests with bytes.
    pub(crate) request: Times,
    upload: Times,
}

fn main() -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => match runtime.block_on(run()) {
            Ok(report) => {
                println!("{report}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                println!("{}", json!({"error": format!("{error:#}")}));
                ExitCode::FAILURE
            }
        },
        Err(_) => ExitCode::FAILURE,
    }
}

async fn run() -> Result<serde_json::Value> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, base, streams, uploads, size, chunk] = &arguments[..] else {
        bail!("peer_load SERVER BASE_URL STREAMS UPLOADS SIZE CHUNK");
    };
    let (streams, uploads): (u64, u64) = (streams.parse()?, uploads.parse()?);
    let (size, chunk): (u64, u64) = (size.parse()?, chunk.parse()?);
    ensure!(size > 64 && streams > 0 && uploads > 0, "sizes and counts have to be positive");
    let source = Source::random(1);
    let authorization = std::env::var("PEER_AUTHORIZATION").ok();
    let base = base.parse().context("BASE_URL")?;
    let dialect = Dialect::of(server)?;
    let peer = Peer::new(dialect, base, authorization, &source, size)?;
    let chunk = if chunk == 0 { size } else { chunk };
    let work = Arc::new(Work {
        peer,
        source,
        size,
        chunk,
        uploads,
        next: AtomicU64::new(0),
        request: Times::new(),
        upload: Times::new(),
    });
    let (own, begun) = (Cpu::own()?, Instant::now());
    let mut running = JoinSet::new();
    for _ in 0..streams.min(uploads) {
        running.spawn(stream(Arc::clone(&work)));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    let secs = begun.elapsed().as_secs_f64();
    let used = Cpu::own()?.since(own);
    let (request, upload) = (work.request.spread(), work.upload.spread());
    ensure!(upload.count == uploads, "{} of {uploads} uploads", upload.count);
    Ok(json!({"secs": secs, "uploads": uploads, "bytes": size * uploads, "request": request,
        "upload": upload, "testerSecs": used.total()}))
}

async fn stream(work: Arc<Work>) -> Result<()> {
    let mut connection = None;
    loop {
        let number = work.next.fetch_add(1, Relaxed);
        if number >= work.uploads {
            return Ok(());
        }
        let begun = Instant::now();
        let sent = work.peer.upload(&work, number, &mut connection).await;
        sent.with_context(|| format!("upload {number}"))?;
        work.upload.add(begun.elapsed());
    }
}
