//! HTTP: routes, extractors and error mappings; one folder for each dialect. Thin: parse, call one use case, shape the answer.

pub mod body;
pub mod caller;
pub mod cors;
pub mod discard;
pub mod download;
pub mod headers;
pub mod ietf;
pub mod imagestore;
pub mod ims;
pub mod interim;
pub mod json;
pub mod links;
pub mod multipart;
pub mod native;
pub mod ops;
pub mod page;
pub mod peer;
pub mod problem;
pub mod query;
pub mod request_id;
pub mod resumable;
mod routes;
pub mod session;
pub mod target;
pub mod tus;
pub mod zstack;

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web};
use problem::RequestFault;

use crate::{
    accounts::{Accounts, Capabilities, Downloads},
    jobs::{ApiCalls, JobError, Jobs, Scheduler, WebHooks},
    telemetry::Metrics,
    uploads::Uploads,
};

/// What every handler may use; the same in all workers.
#[derive(Clone)]
pub struct App {
    /// Logins and sessions.
    pub accounts: Arc<Accounts>,
    /// Upload URLs.
    pub capabilities: Arc<Capabilities>,
    /// Download URLs.
    pub downloads: Arc<Downloads>,
    /// The control plane.
    pub jobs: Arc<Jobs>,
    /// What runs by itself.
    pub scheduler: Arc<Scheduler>,
    /// Asynchronous calls and their results.
    pub calls: Arc<ApiCalls>,
    /// Calls that are told instead of polled.
    pub hooks: Arc<WebHooks>,
    /// The data plane.
    pub uploads: Arc<Uploads>,
    /// Bounds and names.
    pub settings: Arc<HttpSettings>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Writes to the database and their transactions, counted since the start.
    pub db_counts: DbCounts,
}

/// Asks how many writes the database has taken, and in how many transactions.
pub type DbCounts = Arc<dyn Fn() -> (u64, u64) + Send + Sync>;

impl App {
    /// Brings the gauges up to date that are read rather than counted.
    async fn measure(&self) -> Result<(), JobError> {
        let metrics = &self.metrics;
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        metrics.open_uploads.set(gauge(self.uploads.all_live().len() as u64));
        metrics.promised_bytes.set(gauge(self.uploads.promised_bytes()));
        metrics.unreadable_jobs.set(gauge(self.jobs.unreadable().rows));
        let store = self.uploads.statistics();
        metrics.buffer_bytes.set(gauge(store.buffer_bytes));
        let (db_writes, db_commits) = (self.db_counts)();
        for (counter, total) in [
            (&metrics.received_bytes, self.uploads.received_bytes()),
            (&metrics.hashed_bytes, store.hashed_bytes),
            (&metrics.written_bytes, store.written_bytes),
            (&metrics.read_back_bytes, store.read_back_bytes),
            (&metrics.syncs, store.syncs),
            (&metrics.checkpoints, store.checkpoints),
            (&metrics.db_writes, db_writes),
            (&metrics.db_commits, db_commits),
        ] {
            Metrics::raise(counter, total);
        }
        for (state, jobs) in self.jobs.count_by_state().await? {
            metrics.set_jobs(state, jobs);
        }
        Ok(())
    }
}

/// Bounds and names of the HTTP surface.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Base of upload URLs (`https://host[:port][/path]`, no slash at the end); the request's Host if absent.
    pub public_url: Option<String>,
    /// Time zone of ZStack's timestamps.
    pub wire_time_zone: jiff::tz::TimeZone,
    /// Largest JSON body in bytes.
    pub json_bytes_max: usize,
    /// Origins that may use the control plane from a browser.
    pub cors_origins: Vec<String>,
    /// A body that is silent for this long is closed; its bytes are kept.
    pub body_idle: Duration,
    /// A body must bring this many bytes a second, measured over `body_rate_window`.
    pub body_rate_min_bytes: u64,
    /// Window of the minimum rate.
    pub body_rate_window: Duration,
    /// Whether `/metrics` answers beyond loopback.
    pub metrics_public: bool,
    /// Who may say which host and which client a request is of.
    pub trusted_proxies: peer::TrustedProxies,
}

pub use routes::{Access, Route};

/// Every route of every dialect.
fn tables() -> [routes::Table; 7] {
    [
        ops::routes(),
        page::routes(),
        zstack::routes(),
        imagestore::routes(),
        native::routes(),
        download::routes(),
        ims::routes(),
    ]
}

/// All that the service answers, besides OPTIONS, which every path answers.
pub fn routes() -> Vec<Route> {
    tables().iter().flat_map(routes::Table::rows).collect()
}

/// Mounts every route. Handlers find [`App`] as `web::Data<App>`; [`request_id::observe`] is to be wrapped around it all.
pub fn configure(config: &mut web::ServiceConfig) {
    for table in tables() {
        table.mount(config);
    }
    config.default_service(web::to(unknown_path));
}

/// How a path refuses a method, in our own dialect.
fn refuse_method(request: &HttpRequest, allow: &str) -> HttpResponse {
    let fault = RequestFault::Method { allow: allow.to_owned() };
    problem::answer(&fault.into(), request_id::RequestId::of(request))
}

async fn unknown_path(request: HttpRequest) -> HttpResponse {
    problem::answer(&RequestFault::NoSuchPath.into(), request_id::RequestId::of(&request))
}
