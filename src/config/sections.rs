//! The sections of the settings. Every value is within the range that the reader states.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::options::HookTarget;

/// `tls_cert`, `tls_key`, `tls_self_signed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Plain HTTP.
    Off,
    /// With what these PEM files hold.
    Files {
        /// The certificate chain, the server's own first.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// With a certificate of its own making, kept in the data directory: for a first try.
    SelfSigned,
}

/// `[digests]`: what every image is hashed with. At least one is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// `md5`
    pub md5: bool,
    /// `sha256`
    pub sha256: bool,
}

/// `[uploads]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploads {
    /// `idle_suspend_secs`: without a byte for so long after the first, a job is suspended.
    pub idle_suspend: Duration,
    /// `idle_fail_secs`: without any byte for so long since it was made, a job fails.
    pub idle_fail: Duration,
    /// `expire_secs`: so long after its last byte an unfinished upload is given up.
    pub expire: Duration,
    /// `finish_wait_ms`: how long the last request waits for the verdict.
    pub finish_wait: Duration,
    /// Requests that may write one upload at once.
    pub writers_max: u32,
    /// Separate ranges that one upload may have.
    pub extents_max: usize,
    /// Bytes of a chunk that carries a checksum.
    pub checked_chunk_bytes_max: u64,
    /// `body_idle_secs`: a body that brings no byte for so long is cut; its bytes are kept.
    pub body_idle: Duration,
    /// Bytes a second that a body must bring on average over `body_rate_window`.
    pub body_rate_min_bytes: u64,
    /// `body_rate_window_secs`
    pub body_rate_window: Duration,
    /// Unfinished uploads that one account may have.
    pub open_uploads_max: u64,
    /// Requests with bytes, either way, that one account may have at work.
    pub requests_per_account_max: u32,
    /// Requests that one address may have at work while they name no account.
    pub requests_per_address_max: u32,
    /// Declared length of one upload.
    pub upload_bytes_max: u64,
    /// `flush_ms`: a block of received bytes that is not full is written at this age.
    pub flush: Duration,
}

/// `[storage]`: the local store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Percent of the file system that uploads leave free.
    pub free_bytes_min_percent: u8,
    /// Larger blocks of all writers together.
    pub buffers_bytes_max: usize,
    /// Threads that read, write and sync.
    pub io_threads: usize,
    /// Threads that hash.
    pub hash_threads: usize,
    /// Hashed bytes after which a checkpoint is written although nobody waits for one.
    pub checkpoint_bytes: u64,
    /// Written bytes after which write-back is started in the background.
    pub writeback_bytes: u64,
    /// `direct_io`: large blocks go past the cache of the system where that is cheaper and the file system offers it.
    pub direct_io: bool,
    /// Bytes ahead of the digests that all uploads together keep in the cache of the system.
    pub ahead_cache_bytes_max: u64,
}

/// `[sessions]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// `lifetime_secs`: since login or the last renewal.
    pub lifetime: Duration,
    /// Sessions that one account may have.
    pub per_account_max: u64,
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Bytes of a JSON body.
    pub json_bytes_max: usize,
    /// Connections at once; each may own a 16 KiB block.
    pub connections_max: usize,
    /// `write_idle_secs`: a client that takes no byte of its answer for so long is cut.
    pub write_idle: Duration,
    /// Bytes of an answer that the system holds for a client beyond those that are on their way to it.
    pub unsent_bytes_max: usize,
    /// Web origins whose pages may call the API with credentials.
    pub cors_origins: Vec<String>,
    /// Whether `/metrics` answers others than this machine.
    pub metrics_public: bool,
    /// Whether IETF clients are told interim answers (104): a second descriptor for each connection.
    pub interim_responses: bool,
    /// Proxies whose `Forwarded` and `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where results may be sent by `X-Web-Hook`.
    pub web_hooks_allowed: Vec<HookTarget>,
}

/// `[inspect]`: what is asked of the content of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspect {
    /// What a refusal leads to.
    pub policy: InspectPolicy,
    /// Whether encrypted images are taken.
    pub encrypted: bool,
    /// Whether qcow2 images with extended L2 entries are taken.
    pub extended_l2: bool,
    /// Whether a strange partition table on a raw disk is only a warning.
    pub loose_partitions: bool,
    /// Bytes of the disk inside.
    pub virtual_bytes_max: u64,
    /// How many times as large as its file a disk may be; 0 for any.
    pub virtual_ratio_max: u64,
}

/// What it leads to that an image breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InspectPolicy {
    /// The image is refused.
    Enforce,
    /// It is told in the log.
    Warn,
    /// Nothing: only format and size are recorded.
    Off,
}

/// `[images]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Images {
    /// `expunge_secs`: how long the bytes of a deleted image are kept.
    pub expunge: Duration,
}
