//! What our page asks for beside the dialects that others speak too.

use serde::{Deserialize, Serialize};

/// Where an image can be downloaded for a while, by whoever has the URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DownloadUrl {
    /// The path on this server, secret included.
    pub url: String,
    /// When it ends, in epoch milliseconds.
    pub expires_ms: i64,
}

/// Samples of what an upload has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// Digests of stored ranges, also behind the offset; none of an upload without a byte.
    pub samples: Vec<SampleDigest>,
}

/// The digest of a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleDigest {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// One event: what changed since the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Jobs with their states.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<JobNews>,
    /// Whether images, or which jobs there are, changed.
    #[serde(default)]
    pub images: bool,
    /// Everything may have changed: ask anew.
    #[serde(default)]
    pub all: bool,
}

/// A job that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobNews {
    /// The job.
    pub job: String,
    /// Its state now, by ZStack's name.
    pub state: String,
}
