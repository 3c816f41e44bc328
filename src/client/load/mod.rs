//! A load tester as a library: many uploads of the same bytes to one server, measured. No terminal output.
//!
//! What it makes is named after the run and is deleted at the end unless it is to be kept.

mod clean;
pub mod pace;
mod place;
pub mod protocol;
pub mod report;
pub mod source;
pub mod tally;
mod upload;
pub mod usage;
mod watch;
pub mod wire;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::future::try_join_all;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{api::Api, error::ClientError, is_loopback, retry::Policy};
use crate::client::locked;
use crate::{client::error::ErrorKind, wire::native::UploadState};
use clean::Made;
use pace::{Cuts, Pace};
use place::Placed;
use protocol::Protocol;
use report::{Costs, Report};
use source::Source;
use tally::Tally;
use upload::{Lane, Upload};
use usage::Cpu;
use watch::{Watch, Whom};

/// A server that does not get better within this time ends the run.
const PATIENCE: Duration = Duration::from_mins(1);
/// A run that makes more than this deletes each image as soon as it has been counted.
const KEPT_BYTES_MAX: u64 = 8 << 30;

/// What uploads consist of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Pseudo-random bytes.
    Random,
    /// Zeros.
    Zeros,
    /// The first bytes of a file.
    File(PathBuf),
}

impl Data {
    /// Its name in the report.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Zeros => "zeros",
            Self::File(_) => "file",
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// What is spoken.
    pub protocol: Protocol,
    /// What is sent.
    pub data: Data,
    /// Uploads at once, at least 1.
    pub streams: usize,
    /// Uploads in all.
    pub uploads: u64,
    /// Bytes of each, at least 1.
    pub size: u64,
    /// Longest body of one request, at least 1.
    pub chunk_bytes: u64,
    /// Requests at once for each upload, at least 1.
    pub parallel: usize,
    /// Bytes per second of each stream.
    pub stream_rate: Option<u64>,
    /// Bytes per second of all streams together.
    pub total_rate: Option<u64>,
    /// Connections that are cut on purpose, per GiB that is sent.
    pub interruptions_per_gib: f64,
    /// Whether the server's SHA-256 is compared with that of what was sent.
    pub verify: bool,
    /// Whether images and jobs stay.
    pub keep: bool,
    /// Refuse upload URLs on other machines.
    pub loopback_only: bool,
    /// The process whose cost is reported, if it is not to be found by the port.
    pub server_pid: Option<u32>,
    /// Part of the name of everything that is made; unlike that of any other run.
    pub run: String,
    /// Of the bytes and of the cuts.
    pub seed: u64,
}

/// One run.
pub struct Load {
    api: Api,
    plan: LoadPlan,
    source: Source,
    policy: Policy,
    tally: Tally,
    pace: Option<Pace>,
    stop: CancellationToken,
    next: AtomicU64,
    made: Mutex<BTreeMap<u64, Made>>,
    /// SHA-256 of an upload, where it is compared.
    expected: Mutex<Option<String>>,
    fatal: Mutex<Option<ClientError>>,
}

impl Load {
    /// Makes the bytes or opens the file; asks the server for nothing yet.
    pub fn new(api: Api, plan: LoadPlan) -> Result<Arc<Self>, ClientError> {
        let wrong = |words: String| ClientError::Usage { words };
        if plan.size == 0 || plan.chunk_bytes == 0 || plan.streams == 0 || plan.parallel == 0 {
            return Err(wrong(
                "size, chunk, streams and parallel have to be at least 1".to_owned(),
            ));
        }
        let source = match &plan.data {
            Data::Random => Source::random(plan.seed),
            Data::Zeros => Source::zeros(),
            Data::File(path) => {
                let (source, length) = Source::file(path)?;
                if length < plan.size {
                    let (path, size) = (path.display(), plan.size);
                    return Err(wrong(format!("{path} has {length} bytes, not {size}")));
                }
                source
            }
        };
        Ok(Arc::new(Self {
            api,
            source,
            policy: Policy::giving_up_after(PATIENCE),
            tally: Tally::default(),
            pace: plan.total_rate.map(Pace::new),
            stop: CancellationToken::new(),
            next: AtomicU64::new(0),
            made: Mutex::default(),
            expected: Mutex::default(),
            fatal: Mutex::default(),
            plan,
        }))
    }

    /// The counters, to look at while it runs.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What it was asked to do.
    pub const fn plan(&self) -> &LoadPlan {
        &self.plan
    }

    /// Ends the run: requests on the wire are dropped, [`Self::run`] reports what there is.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Does it, once. A run that could not go on has an error beside its report.
    ///
    /// # Errors
    /// No report at all: nothing could be begun.
    pub async fn run(self: &Arc<Self>) -> Result<(Report, Option<ClientError>), ClientError> {
        if self.plan.verify {
            let this = Arc::clone(self);
            let hashing = tokio::task::spawn_blocking(move || this.source.sha256(this.plan.size));
            let digest = hashing.await.map_err(|_| unreadable("hashing was stopped"))?;
            let digest = digest.map_err(|error| unreadable(&error.to_string()))?;
            *locked(&self.expected) = Some(digest);
        }
        let first = tokio::select! {
            first = self.first_places() => first,
            () = self.stop.cancelled() => Ok(Vec::new()),
        };
        let first = match first {
            Ok(first) => first,
            Err(error) => {
                self.clean().await;
                return Err(error);
            }
        };
        let whom = self.whom();
        let watch = tokio::task::spawn_blocking(move || Watch::start(whom)).await;
        let watch = watch.unwrap_or_else(|_| Err("it could not be looked for".to_owned()));
        let own = Cpu::own().unwrap_or_default();
        let begun = Instant::now();
        let mut streams = JoinSet::new();
        for (number, first) in first.into_iter().enumerate() {
            let this = Arc::clone(self);
            streams.spawn(async move {
                tokio::select! {
                    () = this.stream(number, first) => {}
                    () = this.stop.cancelled() => {}
                }
            });
        }
        while streams.join_next().await.is_some() {}
        let secs = begun.elapsed().as_secs_f64();
        let tester = Cpu::own().unwrap_or_default().since(own);
        let stored = Tally::value(&self.tally.stored);
        let watched = tokio::task::spawn_blocking(move || watch.and_then(|w| w.finish(stored)));
        let server = watched.await.unwrap_or_else(|_| Err("looking at it was stopped".to_owned()));
        let fatal = locked(&self.fatal).take();
        let stopped = self.stop.is_cancelled() && fatal.is_none();
        let costs = Costs { tester, server };
        let target = self.api.server();
        let mut report = Report::new(&self.plan, target, &self.tally, secs, stopped, costs);
        report.left = self.clean().await;
        Ok((report, fatal))
    }

    fn whom(&self) -> Whom {
        let server = self.api.address();
        match self.plan.server_pid {
            Some(pid) => Whom::Pid(pid),
            None if is_loopback(server) => {
                server.port_or_known_default().map_or(Whom::Elsewhere, Whom::Port)
            }
            None => Whom::Elsewhere,
        }
    }

    /// A place for the first upload of every stream, so that the clock starts with bytes.
    async fn first_places(&self) -> Result<Vec<Placed>, ClientError> {
        let numbers = std::iter::from_fn(|| self.take_number()).take(self.plan.streams);
        try_join_all(numbers.map(|number| self.place(number))).await
    }

    /// The number of an upload that nobody has begun, if there is one.
    fn take_number(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Relaxed);
        (number < self.plan.uploads).then_some(number)
    }

    /// One upload after the other.
    async fn stream(&self, stream: usize, first: Placed) {
        let lanes = self.plan.protocol.lanes(self.plan.parallel);
        let seed = |lane: usize| self.plan.seed ^ ((stream * lanes + lane + 1) as u64) << 32;
        let mut lanes: Vec<Lane> = (0..lanes)
            .map(|lane| Lane {
                connection: None,
                cuts: Cuts::new(self.plan.interruptions_per_gib, seed(lane)),
                scratch: Vec::new(),
            })
            .collect();
        let pace = self.plan.stream_rate.map(Pace::new);
        let mut placed = first;
        loop {
            let upload = Upload::new(self, &placed.place, pace.as_ref());
            let outcome = upload.run(&mut lanes).await;
            self.count(placed.number, outcome);
            if self.plan.uploads.saturating_mul(self.plan.size) > KEPT_BYTES_MAX {
                self.discard(placed.number).await;
            }
            if self.stop.is_cancelled() {
                return;
            }
            let Some(number) = self.take_number() else { return };
            match self.place(number).await {
                Ok(next) => placed = next,
                Err(error) => return self.end_with(error),
            }
        }
    }

    fn count(&self, number: u64, outcome: Result<UploadState, ClientError>) {
        match outcome {
            Ok(state) => {
                if let Some(expected) = locked(&self.expected).as_ref() {
                    Tally::add(&self.tally.checked, 1);
                    let equal = state.sha256.as_ref() == Some(expected);
                    Tally::add(&self.tally.wrong, u64::from(!equal));
                }
                if let Some(made) = locked(&self.made).get_mut(&number) {
                    made.ready(state);
                }
            }
            Err(error) => {
                Tally::add(&self.tally.failed, 1);
                self.tally.error("upload given up", &error.to_string());
                match error.kind() {
                    // Others may fare better.
                    ErrorKind::Server | ErrorKind::Checksum => {}
                    ErrorKind::Usage
                    | ErrorKind::Auth
                    | ErrorKind::Space
                    | ErrorKind::Resumable => {
                        self.end_with(error);
                    }
                }
            }
        }
    }

    /// Ends the run for an error that the next upload would meet too.
    fn end_with(&self, error: ClientError) {
        locked(&self.fatal).get_or_insert(error);
        self.stop.cancel();
    }
}

fn unreadable(words: &str) -> ClientError {
    ClientError::Usage { words: format!("the bytes to send cannot be read: {words}") }
}
