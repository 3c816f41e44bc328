//! The metrics: counters, gauges and histograms with names that carry their unit, in the OpenMetrics text format that Prometheus
//! reads. Recording is an atomic addition; it may be done on any thread, also for every block.

use std::{fmt, sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter as AnyCounter,
        family::Family,
        gauge::Gauge as AnyGauge,
        histogram::{Histogram as AnyHistogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Only ever grows.
pub type Counter = AnyCounter<u64, AtomicU64>;
/// Goes up and down.
pub type Gauge = AnyGauge<i64>;
/// Counts observations by size.
pub type Histogram = AnyHistogram;

/// Labels of an answered request. `route` is the pattern, never the path: paths hold secrets and have no bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// Every metric of one process. Whoever counts holds an `Arc` of it.
pub struct Metrics {
    registry: Registry,
    /// Bytes of upload bodies that arrived, duplicates included.
    pub received_bytes: Counter,
    /// Bytes that went into a digest.
    pub hashed_bytes: Counter,
    /// Bytes written to the store.
    pub written_bytes: Counter,
    /// Blocks of the global pool that are in use, in bytes.
    pub buffer_bytes: Gauge,
    /// Uploads that are not finished.
    pub open_uploads: Gauge,
    /// Unfinished jobs and partial uploads whose rows cannot be read.
    pub unreadable_jobs: Gauge,
    /// Bytes that went into a digest after they had to be read back.
    pub read_back_bytes: Counter,
    /// Waits for stable storage.
    pub syncs: Counter,
    /// Checkpoints written.
    pub checkpoints: Counter,
    /// Writes to the database.
    pub db_writes: Counter,
    /// Transactions that they took: fewer than writes, where writes share one.
    pub db_commits: Counter,
    /// Bytes promised to unfinished uploads and not written yet.
    pub promised_bytes: Gauge,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    jobs: Family<StateLabels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// All of them at zero.
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("longshore"),
            received_bytes: Counter::default(),
            hashed_bytes: Counter::default(),
            written_bytes: Counter::default(),
            buffer_bytes: Gauge::default(),
            open_uploads: Gauge::default(),
            unreadable_jobs: Gauge::default(),
            read_back_bytes: Counter::default(),
            syncs: Counter::default(),
            checkpoints: Counter::default(),
            db_writes: Counter::default(),
            db_commits: Counter::default(),
            promised_bytes: Gauge::default(),
            requests: Family::default(),
            // 1 ms to about nine hours: one request may carry a whole image.
            request_seconds: Histogram::new(exponential_buckets(0.001, 4.0, 13)),
            jobs: Family::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let r = &mut self.registry;
        let bytes = || Unit::Bytes;
        let seconds = || Unit::Seconds;
        let counted = self.received_bytes.clone();
        r.register_with_unit("received", "Bytes of upload bodies that arrived", bytes(), counted);
        let counted = self.hashed_bytes.clone();
        r.register_with_unit("hashed", "Bytes that went into a digest", bytes(), counted);
        let counted = self.written_bytes.clone();
        r.register_with_unit("written", "Bytes written to the store", bytes(), counted);
        let gauge = self.buffer_bytes.clone();
        r.register_with_unit("buffers_in_use", "Pooled blocks in use", bytes(), gauge);
        r.register("open_uploads", "Uploads that are not finished", self.open_uploads.clone());
        let gauge = self.unreadable_jobs.clone();
        r.register(
            "unreadable_jobs",
            "Unfinished jobs and partial uploads whose rows cannot be read",
            gauge,
        );
        let counted = self.read_back_bytes.clone();
        r.register_with_unit("read_back", "Bytes read back for a digest", bytes(), counted);
        r.register("syncs", "Waits for stable storage", self.syncs.clone());
        r.register("checkpoints", "Checkpoints written", self.checkpoints.clone());
        r.register("db_writes", "Writes to the database", self.db_writes.clone());
        r.register("db_commits", "Database transactions committed", self.db_commits.clone());
        let gauge = self.promised_bytes.clone();
        r.register_with_unit("promised", "Bytes promised to unfinished uploads", bytes(), gauge);
        let counted = self.requests.clone();
        r.register("requests", "Answered requests by route, method and status", counted);
        let observed = self.request_seconds.clone();
        r.register_with_unit("request", "Time of each request, body included", seconds(), observed);
        r.register("jobs", "Long jobs by state", self.jobs.clone());
        self
    }

    /// Counts an answered request. `route` is the pattern of the route; `unmatched` if there was none.
    pub fn answered(&self, route: &str, method: &str, status: u16, took: Duration) {
        // A client may invent methods; each would be a time series for ever.
        let known = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"];
        let method = if known.contains(&method) { method } else { "other" };
        let labels = RequestLabels { route: route.to_owned(), method: method.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// Brings a counter up to a total that is counted elsewhere.
    pub fn raise(counter: &Counter, total: u64) {
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// Records how many jobs are in a state.
    pub fn set_jobs(&self, state: &'static str, jobs: u64) {
        let labels = StateLabels { state };
        self.jobs.get_or_create(&labels).set(i64::try_from(jobs).unwrap_or(i64::MAX));
    }

    /// All metrics as text of media type [`CONTENT_TYPE`].
    ///
    /// # Panics
    /// Never: a `String` takes whatever is written to it.
    pub fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, series: &str) -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        line.parse().ok()
    }

    #[test]
    fn what_is_counted_is_shown_under_names_with_units() {
        let metrics = Metrics::new();
        metrics.received_bytes.inc_by(5);
        metrics.hashed_bytes.inc_by(4);
        metrics.written_bytes.inc_by(3);
        metrics.buffer_bytes.set(65_536);
        metrics.open_uploads.inc();
        Metrics::raise(&metrics.syncs, 7);
        Metrics::raise(&metrics.syncs, 6);
        Metrics::raise(&metrics.db_writes, 9);
        metrics.set_jobs("Running", 2);
        let text = metrics.render();
        for (series, expected) in [
            ("longshore_received_bytes_total", 5.0),
            ("longshore_hashed_bytes_total", 4.0),
            ("longshore_written_bytes_total", 3.0),
            ("longshore_buffers_in_use_bytes", 65_536.0),
            ("longshore_open_uploads", 1.0),
            ("longshore_syncs_total", 7.0),
            ("longshore_db_writes_total", 9.0),
            ("longshore_jobs{state=\"Running\"}", 2.0),
        ] {
            assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn requests_are_counted_by_route_method_and_status() {
        let metrics = Metrics::new();
        let took = Duration::from_millis(20);
        metrics.answered("/uploads/{id}", "PUT", 200, took);
        metrics.answered("/uploads/{id}", "PUT", 200, took);
        metrics.answered("unmatched", "BREW", 404, took);
        let text = metrics.render();
        let put = "longshore_requests_total{route=\"/uploads/{id}\",method=\"PUT\",status=\"200\"}";
        assert_eq!(value(&text, put), Some(2.0), "{text}");
        let brew = "longshore_requests_total{route=\"unmatched\",method=\"other\",status=\"404\"}";
        assert_eq!(value(&text, brew), Some(1.0), "{text}");
        assert_eq!(value(&text, "longshore_request_seconds_count"), Some(3.0), "{text}");
    }
}
