//! `longshore serve`: puts the service together, runs it, and takes it down in order.

use std::{
    ffi::OsString,
    fs,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{
    App as HttpApp, HttpServer, dev::ServerHandle, middleware::from_fn, rt::net::TcpStream, web,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use longshore_storage::{
    StoreRecovery,
    digest::{DigestChoice, Engine},
    inspect::Rules,
    local::{LocalStore, OsDisk},
};
use socket2::SockRef;

use super::tls::Certificate;
use crate::{
    accounts::{Accounts, Capabilities, Downloads, ServerKey, SessionLimits},
    config::{Config, Flags},
    db::{self, Database, DbOptions},
    domain::{
        account::StorageRecord,
        clock::{Clock, SystemClock},
        ids::{AccountUuid, NodeUuid, StorageUuid},
    },
    http::{self, App, HttpSettings, interim::Interim, peer::TrustedProxies},
    jobs::{
        ApiCalls, HookRules, HttpHooks, JobLimits, JobParts, Jobs, RETRY_AFTER, Scheduler, WebHooks,
    },
    shutdown::{Drained, Shutdown},
    telemetry::{self, Metrics},
    uploads::{Inspection, UploadLimits, Uploads},
};

/// How long an upload belongs to this process without being renewed; it is renewed every 15 s.
const LEASE: Duration = Duration::from_mins(1);

/// Runs the service. Needs no configuration.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address and port to listen on [default: 127.0.0.1:8080].
    #[arg(long)]
    listen: Option<String>,
    /// Where uploads, images, the database and the server key are kept [default: ./longshore-data].
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// A TOML file with settings.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Base of the upload URLs that clients are told, if it is not the host that they asked.
    #[arg(long)]
    public_url: Option<String>,
    /// `sqlite:<path>` or `postgres://...` [default: SQLite in the data directory].
    #[arg(long)]
    database_url: Option<String>,
    /// PEM file with the certificate chain: HTTPS instead of HTTP. SIGHUP reads it again.
    #[arg(long)]
    tls_cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    #[arg(long)]
    tls_key: Option<PathBuf>,
    /// HTTPS with a certificate of its own making, for a first try: browsers and clients have to be told to take it.
    #[arg(long)]
    tls_self_signed: bool,
    /// Show every setting with its value and origin, say what is wrong with them, and end.
    #[arg(long)]
    check_config: bool,
}

impl ServeArgs {
    fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            listen: self.listen.clone(),
            data_dir: self.data_dir.clone(),
            public_url: self.public_url.clone(),
            database_url: self.database_url.clone(),
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            tls_self_signed: self.tls_self_signed,
        }
    }
}

/// Runs until a signal ends it.
pub fn run(args: &ServeArgs, environment: Vec<(OsString, OsString)>) -> Result<()> {
    let config = Config::load(&args.flags(), environment)?;
    if args.check_config {
        show_config(&config);
        return Ok(());
    }
    telemetry::init(config.log_format, &config.log_filter)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        .enable_all()
        .build()
        .context("the runtime could not be started")?;
    runtime.block_on(async {
        let shutdown = Shutdown::new();
        let service = Service::start(&config, shutdown.clone()).await?;
        if let Some(password) = &service.first_password {
            announce_password(password);
        }
        let signals = shutdown.clone();
        tokio::spawn(async move { signals.listen().await });
        service.run().await
    })
}

#[expect(clippy::print_stdout, reason = "the answer of --check-config is its output")]
fn show_config(config: &Config) {
    for setting in config.effective() {
        println!("{setting}");
    }
    for warning in &config.warnings {
        println!("warning: {warning}");
    }
}

#[expect(clippy::print_stdout, reason = "shown once and never logged: logs are kept and shipped")]
fn announce_password(password: &str) {
    println!("The account `admin` was created with the password {password}");
    println!("It is shown only now. Set LONGSHORE_ADMIN_PASSWORD to choose another.");
}

/// A service that has been put together and listens.
pub struct Service {
    /// Where it listens; the port is the system's choice if 0 was asked for.
    pub address: SocketAddr,
    /// The password of the new `admin` account, on first use only.
    pub first_password: Option<String>,
    /// What its handlers use.
    pub app: App,
    server: actix_web::dev::Server,
    shutdown: Shutdown,
    drain: Duration,
}

impl Service {
    /// Opens the store and the records, binds the address, and recovers the states of jobs. Nothing is answered before
    /// [`run`](Self::run), but connections queue from the binding on.
    pub async fn start(config: &Config, shutdown: Shutdown) -> Result<Self> {
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        raise_descriptor_limit();
        make_data_dir(&config.data_dir)?;
        let key = ServerKey::load_or_create(&config.data_dir.join("server.key"))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = open_store(config).await?;
        let options = DbOptions::default();
        let written = Arc::clone(&options.counters);
        let db = db::open(config.database_url.expose(), &options).await?;
        let storage = bind_storage(&*db, store.store_uuid(), clock.now_ms()).await?;
        let node = db
            .setting(&format!("node_uuid:{}", storage.uuid), &NodeUuid::random().to_string())
            .await?;
        let node: NodeUuid = node.parse().context("the node uuid in the database is damaged")?;

        let accounts = accounts(config, Arc::clone(&db), Arc::clone(&clock), &key);
        let uploads = Arc::new(Uploads::new(
            Arc::clone(&db),
            store,
            Arc::clone(&clock),
            upload_limits(config),
            node,
            shutdown.soft().clone(),
        ));
        let calls = ApiCalls::new(Arc::clone(&db), Arc::clone(&clock), shutdown.tasks().clone());
        let hooks = web_hooks(config, &shutdown)?;
        let records = Arc::clone(&db);
        let jobs = Jobs::new(JobParts {
            db,
            uploads: Arc::clone(&uploads),
            clock: Arc::clone(&clock),
            limits: job_limits(config),
            digests: DigestChoice { md5: config.digests.md5, sha256: config.digests.sha256 },
            node,
            storage,
            tasks: shutdown.tasks().clone(),
            runtime: tokio::runtime::Handle::current(),
            stopping: shutdown.soft().clone(),
        });
        let scheduler = Scheduler::new(Arc::clone(&jobs));
        let app = App {
            scheduler: Arc::clone(&scheduler),
            accounts: Arc::new(accounts),
            capabilities: Arc::new(Capabilities::new(&key)),
            downloads: Arc::new(Downloads::new(&key, clock)),
            jobs: Arc::clone(&jobs),
            calls: Arc::new(calls),
            hooks,
            uploads,
            settings: Arc::new(http_settings(config)),
            metrics: Arc::new(Metrics::new()),
            db_counts: Arc::new(move || (written.writes(), written.commits())),
        };
        // Before jobs are taken over, which takes a while where there are many: connections queue meanwhile and are answered after it,
        // and an address that is taken is told before anything has changed.
        let certificate = certificate(config, &shutdown).await?;
        let (server, address) = listen(config, &app, certificate.as_ref())?;
        tracing::info!(%address, tls = certificate.is_some(), "bound; unfinished jobs are taken over before the first answer");
        let recovered = jobs.recover_states().await?;
        // Last of what may fail: a password that is made and then not shown could never be learnt.
        let given = config.admin_password.as_ref().map(crate::config::Secret::expose);
        let first_password = app.accounts.ensure_admin(given).await?;
        jobs.spawn_recovery(recovered);
        jobs.spawn_supervisor();
        schedule(&scheduler, &*records).await;
        Ok(Self { address, first_password, app, server, shutdown, drain: config.drain })
    }

    /// Answers requests until the shutdown begins; then ends running requests with their bytes kept, within the drain time.
    pub async fn run(self) -> Result<()> {
        tracing::info!(address = %self.address, "listening");
        let asked = Arc::new(OnceLock::new());
        tokio::spawn(stop_when(self.shutdown.clone(), self.server.handle(), Arc::clone(&asked)));
        self.server.await.context("the HTTP server failed")?;
        // The server may have ended by itself: whatever else runs has to end as well.
        self.shutdown.begin();
        // The drain time began with the signal: what the server took to end its requests is part of it.
        let spent = asked.get().map_or(Duration::ZERO, Instant::elapsed);
        match self.shutdown.drain(self.drain.saturating_sub(spent)).await {
            Drained::InTime => tracing::info!("stopped; every upload is kept"),
            Drained::Hard { running, stuck } => {
                tracing::warn!(
                    running,
                    stuck,
                    "stopped before all work had ended; acknowledged bytes are kept"
                );
            }
        }
        Ok(())
    }
}

/// Begins to run what is scheduled. Not being able to make the defaults is no reason to refuse uploads.
async fn schedule(scheduler: &Arc<Scheduler>, records: &dyn Database) {
    let made = async {
        let admin = records.account_named("admin").await?;
        let owner = admin.map_or(AccountUuid::NIL, |admin| admin.uuid);
        scheduler.ensure_defaults(owner).await
    };
    if let Err(error) = made.await {
        tracing::error!(%error, "the default jobs of the scheduler could not be made; the next start makes them");
    }
    scheduler.spawn();
}

async fn stop_when(shutdown: Shutdown, server: ServerHandle, asked: Arc<OnceLock<Instant>>) {
    shutdown.soft().cancelled().await;
    asked.get_or_init(Instant::now);
    server.stop(true).await;
}

/// The certificate, if there is to be TLS; from then on SIGHUP reads it again.
async fn certificate(config: &Config, shutdown: &Shutdown) -> Result<Option<Arc<Certificate>>> {
    let settings = config.clone();
    let certificate = tokio::task::spawn_blocking(move || Certificate::of(&settings))
        .await
        .context("the certificate could not be read")??;
    if let Some(certificate) = &certificate {
        tokio::spawn(Arc::clone(certificate).reload_on_hangup(shutdown.soft().clone()));
    }
    Ok(certificate)
}

fn listen(
    config: &Config,
    app: &App,
    certificate: Option<&Arc<Certificate>>,
) -> Result<(actix_web::dev::Server, SocketAddr)> {
    let data = web::Data::new(app.clone());
    let (write_idle, unsent_bytes_max) = (config.http.write_idle, config.http.unsent_bytes_max);
    let interim_responses = config.http.interim_responses;
    let server = HttpServer::new(move || {
        HttpApp::new()
            .app_data(web::Data::clone(&data))
            .wrap(from_fn(http::request_id::observe))
            .configure(http::configure)
    })
    .workers(config.workers)
    // Of each worker, as the server counts.
    .max_connections(config.http.connections_max.div_ceil(config.workers))
    .on_connect(move |connection, kept| {
        if let Some(encrypted) = connection.downcast_ref::<TlsStream<TcpStream>>() {
            // Nothing can be written past the encryption: no interim answers there.
            bound_unread(encrypted.get_ref().0, write_idle, unsent_bytes_max);
            return;
        }
        let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
        bound_unread(stream, write_idle, unsent_bytes_max);
        if interim_responses && let Some(interim) = Interim::of(stream) {
            kept.insert(interim);
        }
    })
    .client_request_timeout(Duration::from_secs(5))
    .shutdown_timeout(config.drain.as_secs())
    .tls_handshake_timeout(Duration::from_secs(5))
    .disable_signals();
    let bound = match certificate {
        None => server.bind(config.listen),
        Some(certificate) => server.bind_rustls_0_23(config.listen, certificate.server_config()?),
    };
    let server = bound.with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = *server.addrs().first().context("no address was bound")?;
    Ok((server.run(), address))
}

/// Accounts as the settings want them.
pub(super) fn accounts(
    config: &Config,
    db: Arc<dyn Database>,
    clock: Arc<dyn Clock>,
    key: &ServerKey,
) -> Accounts {
    let sessions = SessionLimits {
        lifetime_secs: config.sessions.lifetime.as_secs(),
        per_account_max: config.sessions.per_account_max,
    };
    Accounts::new(db, clock, sessions, config.wire_time_zone.clone(), key)
}

fn web_hooks(config: &Config, shutdown: &Shutdown) -> Result<Arc<WebHooks>> {
    let rules = HookRules::new(config.http.web_hooks_allowed.clone());
    let sender = HttpHooks::new(rules.clone()).context("web hooks could not be set up")?;
    let (tasks, stopping) = (shutdown.tasks().clone(), shutdown.soft().clone());
    Ok(Arc::new(WebHooks::new(rules, Arc::new(sender), RETRY_AFTER, tasks, stopping)))
}

/// Has the system end a connection whose client takes no byte for so long, and hold little for it until then. The server itself
/// would notice neither: while the socket is full it asks nobody for the next byte.
///
/// Linux lets the buffer of one socket grow to 4 MiB. 500 downloads that nobody reads took 1.7 GiB of the memory of all sockets,
/// and near its limit (`tcp_mem`) the system narrows every window: good uploads went at half their speed. What is on its
/// way to a client does not count, so that a fast and distant one is not slowed.
fn bound_unread(stream: &TcpStream, after: Duration, unsent_bytes_max: usize) {
    let after_ms = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, after_ms) {
        tracing::warn!(%error, "a connection is not bound in the time that its client may take nothing");
    }
    let unsent_bytes_max = u32::try_from(unsent_bytes_max).unwrap_or(u32::MAX);
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(unsent_bytes_max) {
        tracing::warn!(%error, "a connection is not bound in what is held for its client");
    }
}

/// The store without a service on it, and its identity.
pub(super) async fn open_store_alone(config: &Config) -> Result<(Arc<LocalStore>, uuid::Uuid)> {
    let store = open_store(config).await?;
    let uuid = store.store_uuid();
    Ok((store, uuid))
}

async fn open_store(config: &Config) -> Result<Arc<LocalStore>> {
    let root = config.data_dir.clone();
    let (limits, durability) = (config.storage_limits(), config.durability);
    let digests = DigestChoice { md5: config.digests.md5, sha256: config.digests.sha256 };
    // Nobody waits for it: the figures are for whoever reads the log.
    tokio::task::spawn_blocking(move || log_digest_speed(limits.digest_engine, digests));
    let opened = tokio::task::spawn_blocking(move || {
        LocalStore::open(&root, Arc::new(OsDisk), limits, durability)
    });
    Ok(opened.await.context("the store could not be opened")??)
}

/// What the digests are computed with, and how fast that is on one core.
fn log_digest_speed(engine: Engine, digests: DigestChoice) {
    let [one, eight, sixteen] = engine.measure(digests, Duration::from_millis(3));
    tracing::info!(
        streams_1 = one.kernel.name(),
        streams_1_mb_per_sec = one.mb_per_sec,
        streams_8 = eight.kernel.name(),
        streams_8_mb_per_sec = eight.mb_per_sec,
        streams_16 = sixteen.kernel.name(),
        streams_16_mb_per_sec = sixteen.mb_per_sec,
        "digest kernels"
    );
}

/// Refuses a database that belongs to another store: mixing them up would turn every upload into a stray.
pub(super) async fn bind_storage(
    db: &dyn Database,
    store: uuid::Uuid,
    now_ms: i64,
) -> Result<StorageRecord> {
    let ours =
        StorageRecord { uuid: StorageUuid(store), name: "local".to_owned(), created_ms: now_ms };
    let bound = db.bind_storage(ours.clone()).await?;
    if bound.uuid != ours.uuid {
        bail!(
            "the database belongs to the store {}, the data directory holds the store {}: \
             give the directory and the database that belong together",
            bound.uuid,
            ours.uuid
        );
    }
    Ok(bound)
}

fn make_data_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("the data directory {} cannot be made", path.display()))
}

/// Two descriptors for each upload that is written and one for each connection: the usual soft limit of 1,024 is too few.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// Many times what a commit takes that PostgreSQL finishes after its answer was lost.
const UNSETTLED_KEPT: Duration = Duration::from_mins(10);

/// SQLite commits within the call: what has no record when that is over gets none, nor does what a process that was killed has left.
fn unsettled_kept(config: &Config) -> Duration {
    if config.database_url.is_postgres() { UNSETTLED_KEPT } else { Duration::ZERO }
}

pub(super) fn upload_limits(config: &Config) -> UploadLimits {
    UploadLimits {
        upload_bytes_max: config.uploads.upload_bytes_max,
        finish_wait: config.uploads.finish_wait,
        flush_after: config.uploads.flush,
        lease: LEASE,
        free_bytes_min_percent: config.storage.free_bytes_min_percent.into(),
        requests_per_account_max: config.uploads.requests_per_account_max,
        requests_per_address_max: config.uploads.requests_per_address_max,
        unsettled_kept: unsettled_kept(config),
        inspection: inspection(config),
    }
}

fn inspection(config: &Config) -> Inspection {
    let inspect = &config.inspect;
    let rules = Rules {
        encrypted: inspect.encrypted,
        extended_l2: inspect.extended_l2,
        loose_partitions: inspect.loose_partitions,
        virtual_bytes_max: inspect.virtual_bytes_max,
        virtual_ratio_max: Some(inspect.virtual_ratio_max).filter(|max| *max > 0),
        ..Rules::default()
    };
    Inspection { policy: inspect.policy, rules }
}

fn job_limits(config: &Config) -> JobLimits {
    JobLimits {
        idle_suspend: config.uploads.idle_suspend,
        idle_fail: config.uploads.idle_fail,
        expire: config.uploads.expire,
        open_uploads_max: config.uploads.open_uploads_max,
        expunge: config.images.expunge,
        ..JobLimits::default()
    }
}

fn http_settings(config: &Config) -> HttpSettings {
    HttpSettings {
        public_url: config.public_url.as_ref().map(|url| url.as_str().to_owned()),
        wire_time_zone: config.wire_time_zone.clone(),
        json_bytes_max: config.http.json_bytes_max,
        cors_origins: config.http.cors_origins.clone(),
        body_idle: config.uploads.body_idle,
        body_rate_min_bytes: config.uploads.body_rate_min_bytes,
        body_rate_window: config.uploads.body_rate_window,
        metrics_public: config.http.metrics_public,
        trusted_proxies: TrustedProxies::new(config.http.trusted_proxies.clone()),
    }
}
