//! The settings: read once at start, checked whole, never changed.
//!
//! Three sources in increasing precedence: a TOML file, `LONGSHORE_*` environment variables (`__` between the parts of a key) and
//! flags. A key that means nothing is an error, never silence: a mistyped limit that is ignored is found out too late. All errors
//! are told together, each with its key, where it came from and what is allowed. Where each value came from is kept for
//! `serve --check-config`.

mod error;
mod options;
mod reader;
mod sections;
mod settings;
mod source;
mod values;

#[cfg(test)]
mod tests;

use std::{ffi::OsString, net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use longshore_storage::{Durability, Limits, digest::Engine};

pub use error::{ConfigError, ConfigErrors};
pub use options::{HookTarget, LogFormat, PublicUrl};
pub use sections::{
    Digests, Http, Images, Inspect, InspectPolicy, Sessions, Storage, Tls, Uploads,
};
pub use source::{Effective, Flags, NOT_SETTINGS, Origin};
pub use values::{DatabaseUrl, Secret};

/// Every setting, valid: whoever holds one need not check again.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where bytes, checkpoints, keys and the embedded database live.
    pub data_dir: PathBuf,
    /// How clients reach the service; upload URLs start with it. `None`: the request's Host.
    pub public_url: Option<PublicUrl>,
    /// Whether connections are encrypted, and with which certificate.
    pub tls: Tls,
    /// SQLite or PostgreSQL.
    pub database_url: DatabaseUrl,
    /// The first password of `admin`; `None`: one is generated and printed once.
    pub admin_password: Option<Secret>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines there are, in the syntax of `tracing-subscriber`'s `EnvFilter`.
    pub log_filter: String,
    /// Time zone of the timestamps on the wire. Rows hold epoch milliseconds in any case.
    pub wire_time_zone: jiff::tz::TimeZone,
    /// What an acknowledgement survives.
    pub durability: Durability,
    /// Which digests every image gets; at least one.
    pub digests: Digests,
    /// `digest_kernel`: what they are computed with; runs on this machine.
    pub digest_engine: Engine,
    /// How long running requests may go on after SIGTERM.
    pub drain: Duration,
    /// Threads that answer HTTP.
    pub workers: usize,
    /// Uploads: waits and bounds.
    pub uploads: Uploads,
    /// The local store.
    pub storage: Storage,
    /// Login sessions.
    pub sessions: Sessions,
    /// The HTTP server.
    pub http: Http,
    /// Finished images.
    pub images: Images,
    /// What is asked of the content of images.
    pub inspect: Inspect,
    /// What is allowed but probably not meant; to be logged at start.
    pub warnings: Vec<String>,
    effective: Vec<Effective>,
}

impl Config {
    /// Reads the sources: the file named by `--config` or `LONGSHORE_CONFIG` (none is read if neither is given), `environment`,
    /// and `flags`. Touches nothing else. The error holds every mistake that was found.
    pub fn load<I>(flags: &Flags, environment: I) -> Result<Self, ConfigErrors>
    where
        I: IntoIterator<Item = (OsString, OsString)>,
    {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        settings::read(source::collect(flags, environment)?, cores)
    }

    /// Every setting in the order of the reference, with its value and where that came from. Secrets are replaced by words, so
    /// that the list may be printed.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// The bounds of the store, from `[uploads]` and `[storage]`.
    pub fn storage_limits(&self) -> Limits {
        let limits = Limits::for_cores(self.workers);
        let past_cache = self.storage.direct_io.then_some(limits.past_cache_bytes_min);
        Limits {
            writers_max: self.uploads.writers_max,
            extents_max: self.uploads.extents_max,
            checked_chunk_bytes_max: self.uploads.checked_chunk_bytes_max,
            buffers_bytes_max: self.storage.buffers_bytes_max,
            writeback_bytes: self.storage.writeback_bytes,
            past_cache_bytes_min: past_cache.unwrap_or(usize::MAX),
            ahead_cache_bytes_max: self.storage.ahead_cache_bytes_max,
            checkpoint_bytes: self.storage.checkpoint_bytes,
            io_threads: self.storage.io_threads,
            hash_threads: self.storage.hash_threads,
            digest_engine: self.digest_engine,
            ..limits
        }
    }
}
