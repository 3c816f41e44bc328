//! The state of an upload as the upload URL answers it to `GET` and to a native `PUT`; what a job has been through and what an image was
//! found to be.

use serde::{Deserialize, Serialize};

use jiff::Timestamp;

use super::reason::ReasonName;
use crate::domain::{
    history::StateChange, image::ImageRecord, inspected::InspectedUnder, job_state::JobState,
};

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

/// The states that a job has been in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobHistory {
    /// The oldest first: with it the job began. The last is the state that it is in.
    pub states: Vec<StateTold>,
}

/// A state that a job came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateTold {
    /// The state.
    pub state: StateName,
    /// When, in epoch milliseconds.
    pub at_ms: i64,
    /// When, as RFC 3339 has it, in UTC.
    pub at: String,
    /// Why, and by whom, in words.
    pub cause: String,
}

impl JobHistory {
    /// Of these changes, in their order.
    pub fn of(changes: Vec<StateChange>) -> Self {
        let states = changes.into_iter().map(|change| StateTold {
            state: change.state.into(),
            at_ms: change.at_ms,
            at: Timestamp::from_millisecond(change.at_ms).unwrap_or_default().to_string(),
            cause: change.cause,
        });
        Self { states: states.collect() }
    }
}

/// What an image was found to be when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageInspection {
    /// Whether anything was looked for beside format and size, and what was found is kept.
    pub inspected: bool,
    /// Format by content; of an image from before that was kept, that of its record.
    pub format: String,
    /// What the image is used for, by its record.
    pub media_type: String,
    /// Bytes of the disk inside; `null` where nobody knows.
    pub virtual_size_bytes: Option<u64>,
    /// Bytes that are stored.
    pub size_bytes: u64,
    /// `enforce`, `warn` or `off`: what a refusal led to. `null` of an image from before that was kept.
    pub policy: Option<String>,
    /// What was found and did not keep it from becoming an image; `null` unless `inspected`.
    pub warnings: Option<Vec<WarningTold>>,
}

/// Something that was found in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningTold {
    /// Its name; never changes.
    pub rule: String,
    /// What was found and what to do about it.
    pub words: String,
}

impl ImageInspection {
    /// Of this image.
    pub fn of(image: &ImageRecord) -> Self {
        let kept = image.inspection.as_ref();
        let warnings = kept.filter(|kept| kept.policy != InspectedUnder::Off).map(|kept| {
            let told = |rule: &String, words: &String| WarningTold {
                rule: rule.clone(),
                words: words.clone(),
            };
            kept.warnings.iter().map(|warning| told(&warning.rule, &warning.words)).collect()
        });
        Self {
            inspected: warnings.is_some(),
            format: kept.map_or_else(|| image.format.clone(), |kept| kept.format.clone()),
            media_type: image.media_type.name().to_owned(),
            virtual_size_bytes: kept
                .map(|kept| kept.virtual_size)
                .or(Some(image.size).filter(|size| *size > 0)),
            size_bytes: image.actual_size,
            policy: kept.map(|kept| kept.policy.name().to_owned()),
            warnings,
        }
    }
}

/// What the upload URL says of a partial upload (tus concatenation), which has no job and becomes no image by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartialState {
    /// The upload.
    pub upload_uuid: String,
    /// Always `partial`.
    pub kind: String,
    /// Declared length in bytes; absent until one was declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// First missing byte; durable.
    pub offset: u64,
    /// Whether it is a part of an upload by now.
    pub is_joined: bool,
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
    fn a_history_says_when_twice_and_states_by_their_names() {
        let change = |at_ms, state| StateChange { at_ms, state, cause: "because".to_owned() };
        let idle = JobState::Suspended(crate::domain::job_state::SuspendReason::Idle);
        let changes = vec![change(1_795_190_700_001, JobState::Running), change(-1, idle)];
        assert_eq!(
            serde_json::to_value(JobHistory::of(changes)).unwrap(),
            serde_json::json!({"states": [
                {"state": "Running", "atMs": 1_795_190_700_001_i64, "at": "2026-11-20T16:05:00.001Z", "cause": "because"},
                {"state": "Suspended", "atMs": -1, "at": "1969-12-31T23:59:59.999Z", "cause": "because"},
            ]})
        );
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
