//! The outcome of a load test. Its JSON form is a promise to scripts: fields are added, never renamed.

use serde::Serialize;

use super::{
    LoadPlan,
    tally::{ErrorKindCount, Spread, Tally},
    usage::Cpu,
};

const GIB: f64 = (1 << 30) as f64;

/// Everything that was found out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Version of the tester.
    pub longshore: &'static str,
    /// Address of the server.
    pub target: String,
    /// `native`, `slices` or `put`.
    pub protocol: &'static str,
    /// `random`, `zeros` or `file`.
    pub data: &'static str,
    /// Uploads at once.
    pub streams: usize,
    /// Requests at once for each upload.
    pub parallel: usize,
    /// Uploads that were asked for.
    pub uploads: u64,
    /// Bytes of each.
    pub size_bytes: u64,
    /// Longest body of a request; absent where one request is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_bytes: Option<u64>,
    /// Limit of each stream in bytes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_rate: Option<u64>,
    /// Limit of all streams together in bytes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_rate: Option<u64>,
    /// Cuts per GiB that were asked for.
    pub interruptions_per_gib: f64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// From the first byte to the last Ready image. Making the first job of each stream and deleting are not in it.
    pub secs: f64,
    /// Uploads that have become images.
    pub done: u64,
    /// Uploads that were given up.
    pub failed: u64,
    /// Bytes that the server has confirmed, each once.
    pub stored_bytes: u64,
    /// Bytes that were sent.
    pub sent_bytes: u64,
    /// Bytes that finished uploads had to send more than once.
    pub resent_bytes: u64,
    /// Confirmed bytes per second, in 10^6.
    pub megabytes_per_sec: f64,
    /// Ready images per second.
    pub uploads_per_sec: f64,
    /// Requests with bytes that succeeded.
    pub requests: u64,
    /// Connections that were cut on purpose.
    pub interruptions: u64,
    /// Times in milliseconds.
    pub latency_ms: Latencies,
    /// Errors, also those after which another attempt succeeded.
    pub errors: Vec<ErrorKindCount>,
    /// Images whose SHA-256 was compared; absent unless that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digests: Option<Digests>,
    /// What the tester itself used.
    pub tester: Cost,
    /// What the server used, where it is a process of this machine that can be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerCost>,
    /// Why there is no `server`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_not_measured: Option<String>,
    /// Uploads whose image or job is still there: kept as asked, or because deleting failed.
    pub left: u64,
}

/// Times by what was done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latencies {
    /// Requests with bytes: from the first byte sent to the answer.
    pub request: Spread,
    /// Uploads: from the first byte sent to the Ready image.
    pub upload: Spread,
    /// Jobs: from asking for one to its upload URL; none where the upload makes its own.
    pub create: Spread,
}

/// Comparisons of digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Digests {
    /// Images that were compared.
    pub checked: u64,
    /// Of these, those with other bytes than were sent.
    pub wrong: u64,
}

/// CPU time of a process during the run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Seconds in the program.
    pub user_secs: f64,
    /// Seconds in the kernel for it.
    pub system_secs: f64,
    /// Both per GiB of confirmed bytes; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secs_per_gib: Option<f64>,
}

/// What the server used.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerCost {
    /// Its process.
    pub pid: u32,
    /// Its name: a proxy in front of the server would be seen here.
    pub name: String,
    /// CPU time.
    #[serde(flatten)]
    pub cost: Cost,
    /// Most resident memory seen during the run, looked at five times a second.
    pub peak_rss_bytes: u64,
    /// Most resident memory since it started.
    pub peak_rss_since_start_bytes: u64,
}

impl Cost {
    /// Of `used` for `stored` bytes.
    pub fn new(used: Cpu, stored: u64) -> Self {
        let gib = float(stored) / GIB;
        Self {
            user_secs: used.user,
            system_secs: used.system,
            secs_per_gib: (stored > 0).then(|| used.total() / gib),
        }
    }
}

/// What is known of the costs when the run has ended.
pub(super) struct Costs {
    pub(super) tester: Cpu,
    pub(super) server: Result<ServerCost, String>,
}

impl Report {
    /// From the plan and what was counted in `secs`.
    pub(super) fn new(
        plan: &LoadPlan,
        target: &str,
        tally: &Tally,
        secs: f64,
        interrupted: bool,
        costs: Costs,
    ) -> Self {
        let stored = Tally::value(&tally.stored);
        let done = Tally::value(&tally.done);
        let per_sec = |amount: f64| if secs > 0.0 { amount / secs } else { 0.0 };
        let checked = Tally::value(&tally.checked);
        let digests = Digests { checked, wrong: Tally::value(&tally.wrong) };
        let chunk_bytes = plan.protocol.request_bytes(plan.chunk_bytes);
        let (server, server_not_measured) = match costs.server {
            Ok(server) => (Some(server), None),
            Err(why) => (None, Some(why)),
        };
        Self {
            longshore: env!("CARGO_PKG_VERSION"),
            target: target.to_owned(),
            protocol: plan.protocol.name(),
            data: plan.data.name(),
            streams: plan.streams,
            parallel: plan.protocol.lanes(plan.parallel),
            uploads: plan.uploads,
            size_bytes: plan.size,
            chunk_bytes: (chunk_bytes != u64::MAX).then_some(chunk_bytes),
            stream_rate: plan.stream_rate,
            total_rate: plan.total_rate,
            interruptions_per_gib: plan.interruptions_per_gib,
            interrupted,
            secs,
            done,
            failed: Tally::value(&tally.failed),
            stored_bytes: stored,
            sent_bytes: Tally::value(&tally.sent),
            resent_bytes: Tally::value(&tally.resent),
            megabytes_per_sec: per_sec(float(stored) / 1e6),
            uploads_per_sec: per_sec(float(done)),
            requests: Tally::value(&tally.requests),
            interruptions: Tally::value(&tally.interruptions),
            latency_ms: Latencies {
                request: tally.request.spread(),
                upload: tally.upload.spread(),
                create: tally.create.spread(),
            },
            errors: tally.error_kinds(),
            digests: plan.verify.then_some(digests),
            tester: Cost::new(costs.tester, stored),
            server,
            server_not_measured,
            left: 0,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people, to a few digits")]
fn float(amount: u64) -> f64 {
    amount as f64
}
