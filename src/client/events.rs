//! What a person or a script wants to know while something runs.

use std::sync::Arc;

use serde::Serialize;

/// Where the events of a call go. Called from async code: must not block.
pub type Sink = Arc<dyn Fn(&Event) + Send + Sync>;

/// A sink for callers that want no events.
pub fn silent() -> Sink {
    Arc::new(|_| {})
}

/// What an upload is doing. The phases after `sending` are the server's stages; each has a percentage of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Computing the name of the file.
    Fingerprint,
    /// Comparing the whole file with an image that is there already.
    Comparing,
    /// Bytes are on their way.
    Sending,
    /// The server computes and compares digests.
    Verifying,
    /// The server looks at the content.
    Inspecting,
    /// The server makes it an image.
    Publishing,
    /// Bytes come from the server.
    Receiving,
    /// The image is there.
    Ready,
}

impl Phase {
    /// The phase of a stage of the server, if it is one.
    pub fn of_stage(stage: &str) -> Option<Self> {
        match stage {
            "receiving" => Some(Self::Sending),
            "verifying" => Some(Self::Verifying),
            "inspecting" => Some(Self::Inspecting),
            "publishing" => Some(Self::Publishing),
            _ => None,
        }
    }

    /// Its name as people see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fingerprint => "fingerprint",
            Self::Comparing => "comparing",
            Self::Sending => "sending",
            Self::Verifying => "verifying",
            Self::Inspecting => "inspecting",
            Self::Publishing => "publishing",
            Self::Receiving => "receiving",
            Self::Ready => "ready",
        }
    }
}

/// One event. As JSON each is an object with `event` as its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A file is taken up.
    Opened {
        /// Its path.
        file: String,
        /// Its bytes.
        length: u64,
    },
    /// The work is in this phase, `percent` through it where that is known.
    Phase {
        /// Which.
        phase: Phase,
        /// 0 to 100.
        #[serde(skip_serializing_if = "Option::is_none")]
        percent: Option<u8>,
    },
    /// The job is known: a new one, or one that is gone on with.
    Located {
        /// The long job.
        job_uuid: String,
        /// The image it makes.
        image_uuid: String,
        /// The name of the file by its content.
        image_id: String,
        /// Whether it was there before.
        resumed: bool,
        /// Bytes that the server has already.
        stored_bytes: u64,
    },
    /// Bytes moved.
    Progress {
        /// Bytes that are durable at the other end.
        stored_bytes: u64,
        /// The same and what is on the wire.
        moved_bytes: u64,
        /// All bytes.
        length: u64,
    },
    /// Something failed that time may heal; the client waits and tries again.
    Waiting {
        /// What failed.
        why: String,
        /// For how long.
        wait_ms: u64,
    },
    /// Something worth knowing that needs no action.
    Note {
        /// What.
        words: String,
    },
    /// The image is there and its digests are known.
    Ready {
        /// The long job, if one ran.
        #[serde(skip_serializing_if = "Option::is_none")]
        job_uuid: Option<String>,
        /// The image.
        image_uuid: String,
        /// MD5 as lower-case hex.
        #[serde(skip_serializing_if = "Option::is_none")]
        md5: Option<String>,
        /// SHA-256 as lower-case hex.
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// Whether the digests were compared with the local file's.
        verified: bool,
        /// Bytes sent by this call.
        sent_bytes: u64,
    },
}
