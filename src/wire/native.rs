//! The state of an upload as the upload URL answers it to `GET` and to a native `PUT`.

use serde::{Deserialize, Serialize};

use super::reason::ReasonName;
use crate::domain::job_state::JobState;

/// Longest list of missing ranges in one answer; whoever needs the rest asks again when these are sent.
pub const MISSING_RANGES_MAX: usize = 1000;

/// Bytes `start..end`; `end` is the first byte after the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
}

impl ByteRange {
    /// Bytes in it; 0 for a range that ends before it starts.
    pub const fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// The state of a long job without its reason: ZStack's seven names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateName {
    /// Recorded, not begun.
    Waiting,
    /// Takes bytes, or works on them.
    Running,
    /// Keeps its bytes and waits.
    Suspended,
    /// Being canceled.
    Canceling,
    /// The image is Ready.
    Succeeded,
    /// It failed for good.
    Failed,
    /// It was canceled.
    Canceled,
}

impl StateName {
    /// Whether nothing can change any more.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Canceled => true,
            Self::Waiting | Self::Running | Self::Suspended | Self::Canceling => false,
        }
    }
}

impl From<JobState> for StateName {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Waiting => Self::Waiting,
            JobState::Running => Self::Running,
            JobState::Suspended(_) => Self::Suspended,
            JobState::Canceling => Self::Canceling,
            JobState::Succeeded => Self::Succeeded,
            JobState::Failed => Self::Failed,
            JobState::Canceled => Self::Canceled,
        }
    }
}

/// What the upload URL says of an upload. Offsets come from the checkpoint, never from a cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadState {
    /// This run of the transfer.
    pub upload_uuid: String,
    /// The long job to watch.
    pub job_uuid: String,
    /// The image it becomes.
    pub image_uuid: String,
    /// State of the job.
    pub state: StateName,
    /// `receiving`, `joining`, `verifying`, `inspecting` or `publishing`; clients show one they do not know as it is.
    pub stage: String,
    /// Percent of the stage, 0 to 100.
    pub stage_percent: u8,
    /// In words, what the job waits for, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Declared length in bytes; absent until one was declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// First missing byte.
    pub offset: u64,
    /// Bytes that are durable, at any position.
    pub stored_bytes: u64,
    /// What is missing, in order, at most [`MISSING_RANGES_MAX`] ranges.
    #[serde(default)]
    pub missing: Vec<ByteRange>,
    /// MD5 of the whole, lower-case hex, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// SHA-256 of the whole, lower-case hex, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What ended or interrupted the job, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What of the file ended it, for machines; absent if it was something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_wire_are_those_of_the_domain() {
        for state in JobState::ALL {
            let text = serde_json::to_value(StateName::from(state)).unwrap();
            assert_eq!(text, state.name(), "{state:?}");
            assert_eq!(StateName::from(state).is_final(), state.is_final(), "{state:?}");
        }
    }

    #[test]
    fn absent_fields_are_omitted_and_read_back() {
        let text = r#"{"uploadUuid":"u","jobUuid":"j","imageUuid":"i","state":"Running","stage":"receiving",
            "stagePercent":3,"length":10,"offset":4,"storedBytes":5,"missing":[{"start":4,"end":8}],"later":1}"#;
        let state: UploadState = serde_json::from_str(text).unwrap();
        assert_eq!(state.missing, [ByteRange { start: 4, end: 8 }]);
        let back = serde_json::to_value(&state).unwrap();
        assert!(back.get("md5").is_none() && back.get("waitsFor").is_none());
        assert!(back.get("reason").is_none());
        assert_eq!(serde_json::from_value::<UploadState>(back).unwrap(), state);
    }
}
