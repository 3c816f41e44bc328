//! What the command line itself says as JSON, beside the events of the client.

use serde::Serialize;

use crate::wire::native::StateName;

/// One event; as JSON an object with `event` as its name, like [`Event`](crate::client::events::Event).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Said {
    /// Something went wrong: with one file of several, or with the command as a whole.
    Error {
        /// What the program ends with if nothing went wrong before.
        exit_code: u8,
        /// What happened, what is kept, what to do next.
        words: String,
    },
    /// Where a command with several files stands: before each of them, and once more at the end.
    Total {
        /// How many there are.
        files: usize,
        /// How many are images.
        ready: usize,
        /// How many are not and will not be without another try.
        failed: usize,
        /// Bytes of all files, as far as they could be read.
        bytes: u64,
        /// Bytes of those that are images.
        ready_bytes: u64,
    },
    /// Somebody pressed Ctrl-C.
    Interrupted {
        /// The job, if there is one already.
        job_uuid: Option<String>,
        /// Whether the server has confirmed that the job is suspended.
        suspended: bool,
        /// Whether every byte is on the server, which goes on alone.
        all_sent: bool,
        /// The command that goes on, quoted for a shell.
        resume: String,
    },
    /// A download is complete.
    Downloaded {
        /// Where it is.
        file: String,
        /// Its bytes.
        bytes: u64,
        /// Whether its digests were compared with the server's.
        verified: bool,
    },
    /// A job that is watched has changed.
    Job {
        /// Which.
        uuid: String,
        /// Its state.
        state: StateName,
        /// Stage and percent in words, while it runs.
        progress: Option<String>,
        /// What interrupted or ended it, in words.
        detail: Option<String>,
    },
}
