//! The list of all settings: defaults, ranges, and the relations between them.

use std::{cmp::Ordering, path::PathBuf};

use longshore_storage::{Durability, Limits, inspect::Rules};

use super::{
    Config,
    error::ConfigErrors,
    options::{self, LogFormat, PublicUrl},
    reader::Reader,
    sections::{Digests, Http, Images, Inspect, InspectPolicy, Sessions, Storage, Tls, Uploads},
    source::RawConfig,
    values::Secret,
};

const DAY_SECS: u64 = 24 * 60 * 60;
const YEAR_SECS: u64 = 365 * DAY_SECS;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// What actix says of a malformed request is at ERROR, one line for each: anybody could fill the log with it.
const LOG_FILTER: &str = "info,actix_http::h1::dispatcher=off";

/// Reads every setting; reports every mistake.
pub(super) fn read(raw: RawConfig, cores: usize) -> Result<Config, ConfigErrors> {
    let mut reader = Reader::new(raw);
    let config = top(&mut reader, cores);
    relations(&mut reader, &config);
    reader.refuse_the_rest();
    ConfigErrors::check(reader.errors)?;
    Ok(Config { warnings: warnings(&config), effective: reader.effective, ..config })
}

fn top(r: &mut Reader, cores: usize) -> Config {
    let listen = "an address and port such as 127.0.0.1:8080, [::]:8080 or localhost:8080";
    let listen = r.text("listen", "127.0.0.1:8080", listen, options::listen);
    let data_dir = r.text("data_dir", "./longshore-data", "a path in UTF-8", |text| {
        (!text.is_empty() && !text.contains(['\0', char::REPLACEMENT_CHARACTER]))
            .then(|| PathBuf::from(text))
    });
    let public_url = "an http:// or https:// URL without user, query and fragment";
    let url = "sqlite:<path> or postgres://<user>:<password>@<host>/<database>";
    let embedded = format!("sqlite:{}/longshore.db", data_dir.display());
    Config {
        listen,
        public_url: r.optional("public_url", public_url, PublicUrl::parse),
        database_url: r.redacted("database_url", &embedded, url),
        tls: tls(r),
        data_dir,
        admin_password: r.secret("admin_password", "a password of 8 to 256 characters", |text| {
            (8..=256).contains(&text.chars().count()).then(|| Secret::new(text.to_owned()))
        }),
        log_format: r.choice("log_format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        log_filter: r.text(
            "log_filter",
            LOG_FILTER,
            "filters such as info,longshore=debug",
            |text| {
                let filter = tracing_subscriber::EnvFilter::builder().parse(text);
                filter.is_ok().then(|| text.to_owned())
            },
        ),
        wire_time_zone: r.text("wire_time_zone", "UTC", "an IANA name such as UTC", |text| {
            jiff::tz::TimeZone::get(text).ok()
        }),
        durability: r.choice(
            "durability",
            &[("power-loss", Durability::PowerLoss), ("process-crash", Durability::ProcessCrash)],
        ),
        drain: r.secs("drain_secs", 30, 0..=600),
        workers: r.count("workers", cores as u64, 1..=1024),
        digests: Digests {
            md5: r.flag("digests.md5", true),
            sha256: r.flag("digests.sha256", true),
        },
        digest_engine: r.text(
            "digest_kernel",
            options::digest_kernels()[0],
            &options::digest_kernels().join(", "),
            options::digest_engine,
        ),
        uploads: uploads(r),
        storage: storage(r, cores),
        sessions: Sessions {
            lifetime: r.secs("sessions.lifetime_secs", 7200, 60..=YEAR_SECS),
            per_account_max: r.number("sessions.per_account_max", 500, 1..=1_000_000),
        },
        http: http(r),
        images: Images { expunge: r.secs("images.expunge_secs", 3 * DAY_SECS, 0..=YEAR_SECS) },
        inspect: inspect(r),
        warnings: Vec::new(),
        effective: Vec::new(),
    }
}

/// Certificate and key may come from different places. Between them and a certificate of our own making the later place decides, so
/// that whoever starts the service can override a file.
fn tls(r: &mut Reader) -> Tls {
    let path = |text: &str| {
        (!text.is_empty() && !text.contains(['\0', char::REPLACEMENT_CHARACTER]))
            .then(|| PathBuf::from(text))
    };
    let cert = r.optional("tls_cert", "the path of a PEM file with the certificate chain", path);
    let key = r.optional("tls_key", "the path of a PEM file with the private key", path);
    let is_self_signed = r.flag("tls_self_signed", false);
    let files_or_own = r.order("tls_cert").max(r.order("tls_key")).cmp(&r.order("tls_self_signed"));
    match (cert, key, is_self_signed) {
        (None, None, false) => Tls::Off,
        (None, None, true) => Tls::SelfSigned,
        (Some(cert), Some(key), false) => Tls::Files { cert, key },
        (Some(cert), Some(key), true) => match files_or_own {
            Ordering::Greater => Tls::Files { cert, key },
            Ordering::Less => Tls::SelfSigned,
            Ordering::Equal => {
                r.contradiction(
                    "tls_self_signed",
                    "there are `tls_cert` and `tls_key` too; give one or the other",
                );
                Tls::Off
            }
        },
        (Some(_), None, _) => {
            r.contradiction("tls_cert", "it needs `tls_key`, the private key of the certificate");
            Tls::Off
        }
        (None, Some(_), _) => {
            r.contradiction("tls_key", "it needs `tls_cert`, the certificate of the key");
            Tls::Off
        }
    }
}

fn uploads(r: &mut Reader) -> Uploads {
    let limits = Limits::for_cores(1);
    let checked = limits.checked_chunk_bytes_max;
    let extents = limits.extents_max as u64;
    Uploads {
        idle_suspend: r.secs("uploads.idle_suspend_secs", 30, 1..=DAY_SECS),
        idle_fail: r.secs("uploads.idle_fail_secs", 3600, 1..=30 * DAY_SECS),
        expire: r.secs("uploads.expire_secs", 7 * DAY_SECS, 60..=YEAR_SECS),
        finish_wait: r.millis("uploads.finish_wait_ms", 5000, 0..=60_000),
        writers_max: r.number("uploads.writers_max", limits.writers_max.into(), 1..=64),
        extents_max: r.count("uploads.extents_max", extents, 16..=65_536),
        // Our own clients send checked slices of up to 16 MiB; a smaller bound would lock them out.
        checked_chunk_bytes_max: r.bytes(
            "uploads.checked_chunk_bytes_max",
            checked,
            16 * MIB..=TIB,
        ),
        body_idle: r.secs("uploads.body_idle_secs", 30, 1..=3600),
        body_rate_min_bytes: r.bytes("uploads.body_rate_min_bytes", 1024, 0..=1024 * MIB),
        body_rate_window: r.secs("uploads.body_rate_window_secs", 60, 1..=3600),
        open_uploads_max: r.number("uploads.open_uploads_max", 1000, 1..=1_000_000),
        requests_per_account_max: r.number("uploads.requests_per_account_max", 1024, 1..=1_000_000),
        requests_per_address_max: r.number("uploads.requests_per_address_max", 256, 1..=1_000_000),
        upload_bytes_max: r.bytes("uploads.upload_bytes_max", 16 * TIB, MIB..=1024 * TIB),
        flush: r.millis("uploads.flush_ms", 200, 1..=10_000),
    }
}

fn inspect(r: &mut Reader) -> Inspect {
    let policies = [
        ("enforce", InspectPolicy::Enforce),
        ("warn", InspectPolicy::Warn),
        ("off", InspectPolicy::Off),
    ];
    let rules = Rules::default();
    Inspect {
        policy: r.choice("inspect.policy", &policies),
        encrypted: r.flag("inspect.encrypted", rules.encrypted),
        extended_l2: r.flag("inspect.extended_l2", rules.extended_l2),
        loose_partitions: r.flag("inspect.loose_partitions", rules.loose_partitions),
        virtual_bytes_max: r.bytes(
            "inspect.virtual_bytes_max",
            rules.virtual_bytes_max,
            MIB..=1024 * TIB,
        ),
        virtual_ratio_max: r.number("inspect.virtual_ratio_max", 0, 0..=u64::MAX),
    }
}

fn storage(r: &mut Reader, cores: usize) -> Storage {
    let limits = Limits::for_cores(cores);
    let buffers = limits.buffers_bytes_max as u64;
    let block = limits.block_bytes_max as u64;
    Storage {
        free_bytes_min_percent: r.number("storage.free_bytes_min_percent", 5, 0..=50),
        buffers_bytes_max: r.byte_count("storage.buffers_bytes_max", buffers, block..=TIB),
        io_threads: r.count("storage.io_threads", limits.io_threads as u64, 1..=1024),
        hash_threads: r.count("storage.hash_threads", limits.hash_threads as u64, 1..=1024),
        checkpoint_bytes: r.bytes("storage.checkpoint_bytes", limits.checkpoint_bytes, MIB..=TIB),
        writeback_bytes: r.bytes("storage.writeback_bytes", limits.writeback_bytes, MIB..=TIB),
        direct_io: r.flag("storage.direct_io", true),
        ahead_cache_bytes_max: r.bytes(
            "storage.ahead_cache_bytes_max",
            limits.ahead_cache_bytes_max,
            0..=TIB,
        ),
    }
}

fn http(r: &mut Reader) -> Http {
    Http {
        json_bytes_max: r.byte_count("http.json_bytes_max", 65_536, 4096..=16 * MIB),
        connections_max: r.count("http.connections_max", 4096, 16..=1_000_000),
        write_idle: r.secs("http.write_idle_secs", 60, 1..=3600),
        unsent_bytes_max: r.byte_count("http.unsent_bytes_max", 262_144, 16_384..=1 << 30),
        cors_origins: r.list(
            "http.cors_origins",
            &[],
            "web origins such as https://ui.example.com, without a path; separated by commas",
            options::web_origin,
        ),
        metrics_public: r.flag("http.metrics_public", false),
        interim_responses: r.flag("http.interim_responses", true),
        trusted_proxies: r.list(
            "http.trusted_proxies",
            &["127.0.0.0/8", "::1/128"],
            "addresses and networks such as 10.0.0.1 or 10.0.0.0/24; separated by commas",
            options::network,
        ),
        web_hooks_allowed: r.list(
            "http.web_hooks_allowed",
            &[],
            "http:// or https:// origins without a path, and networks such as 10.0.0.0/24; separated by commas",
            options::hook_target,
        ),
    }
}

/// Settings that are each allowed and together are not.
fn relations(r: &mut Reader, config: &Config) {
    if !config.digests.md5 && !config.digests.sha256 {
        r.contradiction(
            "digests.sha256",
            "it and `digests.md5` are both false, but an image is Ready only when a digest is known",
        );
    }
    let uploads = &config.uploads;
    if uploads.expire < uploads.idle_suspend {
        r.contradiction(
            "uploads.expire_secs",
            "it is shorter than `uploads.idle_suspend_secs`: uploads would end before they suspend",
        );
    }
    if config.storage.writeback_bytes > config.storage.checkpoint_bytes {
        r.contradiction(
            "storage.writeback_bytes",
            "it is larger than `storage.checkpoint_bytes`: every checkpoint would wait for the disk",
        );
    }
}

/// What is allowed but probably not meant.
fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if !config.listen.ip().is_loopback() && config.tls == Tls::Off {
        warnings.push(format!(
            "listening on {} without TLS: everybody who reaches it can try to log in, and passwords and \
             upload URLs cross the network readable; give it `tls_cert` and `tls_key`, or put a TLS proxy in front",
            config.listen
        ));
    }
    if let Some(url) = config.public_url.as_ref().filter(|url| url.is_loopback()) {
        warnings.push(format!(
            "`public_url` is {url}: upload URLs that start with it work on this machine only"
        ));
    }
    if config.uploads.body_idle > config.uploads.idle_suspend {
        warnings.push(
            "`uploads.body_idle_secs` is longer than `uploads.idle_suspend_secs`: a job is suspended \
             while a silent request still holds its range"
                .to_owned(),
        );
    }
    let per_account_max = config.uploads.requests_per_account_max as usize;
    if per_account_max >= config.http.connections_max {
        warnings.push(
            "`uploads.requests_per_account_max` is not below `http.connections_max`: one account can \
             keep all others out"
                .to_owned(),
        );
    }
    if config.durability == Durability::ProcessCrash {
        warnings.push(
            "`durability` is process-crash: acknowledged bytes can be lost when the machine fails"
                .to_owned(),
        );
    }
    warnings
}
