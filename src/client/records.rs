//! The few ZStack shapes that a client reads. Fields it does not know are kept, so that `--json` shows them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::wire::{native::StateName, reason::ReasonName};

/// A long job as QueryLongJob shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// Identifier.
    pub uuid: String,
    /// Name.
    #[serde(default)]
    pub name: String,
    /// State.
    pub state: StateName,
    /// Key of its progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_id: Option<String>,
    /// What it led to, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_result: Option<String>,
    /// The image it makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_resource_uuid: Option<String>,
    /// When it was submitted, in the server's words.
    #[serde(default)]
    pub create_date: String,
    /// All other fields.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl JobView {
    /// What of the file ended the job, if that was it.
    pub fn reason(&self) -> Option<ReasonName> {
        let result: Value = serde_json::from_str(self.job_result.as_deref()?).ok()?;
        serde_json::from_value(result.get("reason")?.clone()).ok()
    }

    /// What interrupted or ended the job, in words: `detail` of its result, with the cause where it says more.
    pub fn detail(&self) -> Option<String> {
        let result: Value = serde_json::from_str(self.job_result.as_deref()?).ok()?;
        let detail = result.get("detail")?.as_str()?.to_owned();
        match result.get("cause").and_then(Value::as_str) {
            Some(cause) if !cause.is_empty() && !detail.contains(cause) => {
                Some(format!("{detail} ({cause})"))
            }
            _ => Some(detail),
        }
    }
}

/// An image as QueryImage shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageView {
    /// Identifier.
    pub uuid: String,
    /// Name.
    #[serde(default)]
    pub name: String,
    /// `Downloading` while its bytes arrive, `Ready`, `Deleted`.
    #[serde(default)]
    pub status: String,
    /// Virtual size in bytes.
    #[serde(default)]
    pub size: u64,
    /// Stored bytes.
    #[serde(default)]
    pub actual_size: u64,
    /// MD5, or words that there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5_sum: Option<String>,
    /// SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256_sum: Option<String>,
    /// qcow2, raw, ...
    #[serde(default)]
    pub format: String,
    /// When it was added, in the server's words.
    #[serde(default)]
    pub create_date: String,
    /// All other fields.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl ImageView {
    /// MD5 of its bytes, if known: ZStack shows words in its place until it is.
    pub fn md5(&self) -> Option<&str> {
        self.md5_sum.as_deref().filter(|text| is_hex(text, 32))
    }

    /// SHA-256 of its bytes, if known.
    pub fn sha256(&self) -> Option<&str> {
        self.sha256_sum.as_deref().filter(|text| is_hex(text, 64))
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// One upload that can be gone on with.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadDetails {
    /// The long job.
    pub long_job_uuid: String,
    /// Its state.
    pub long_job_state: StateName,
    /// The image it makes.
    pub image_uuid: String,
    /// Where the bytes go. A secret: whoever has it may write.
    pub image_upload_url: String,
    /// First missing byte.
    pub offset: u64,
}

/// The newest progress of a job.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressView {
    /// What is being done.
    #[serde(default)]
    pub task_name: String,
    /// Percent, as text.
    #[serde(default)]
    pub content: String,
}

/// What login gives.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// The session: a secret.
    pub uuid: String,
    /// When it ends, in the server's words.
    #[serde(default)]
    pub expired_date: String,
}

/// One page of a query.
#[derive(Debug, Clone, Deserialize)]
pub struct Page<T> {
    /// The records.
    #[serde(default = "Vec::new")]
    pub inventories: Vec<T>,
    /// How many there are in all, where that was asked for.
    #[serde(default)]
    pub total: Option<u64>,
}

/// Where images are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageView {
    /// Bytes in all.
    #[serde(default)]
    pub total_capacity: u64,
    /// Bytes that uploads may still take.
    #[serde(default)]
    pub available_capacity: u64,
}

/// Digests that the bytes are to have, as lower-case hex. The server makes no image of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedDigests {
    /// MD5.
    pub md5: Option<String>,
    /// SHA-256.
    pub sha256: Option<String>,
}

/// What a new image is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewImage {
    /// Its name.
    pub name: String,
    /// Description, if any.
    pub description: Option<String>,
    /// `qcow2`, `raw`, ...
    pub format: String,
    /// `RootVolumeTemplate`, `DataVolumeTemplate` or `ISO`.
    pub media_type: String,
    /// `Linux`, `Windows`, ...
    pub platform: String,
    /// `x86_64`, ..., if said.
    pub architecture: Option<String>,
    /// What the bytes are to hash to, where that is known beforehand.
    pub expected: ExpectedDigests,
}

impl NewImage {
    /// A raw root volume for Linux of that name; change the fields that differ.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            format: "raw".to_owned(),
            media_type: "RootVolumeTemplate".to_owned(),
            platform: "Linux".to_owned(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_survive_and_detail_is_read_from_the_result() {
        let text = r#"{"uuid":"u","state":"Suspended","later":7,
            "jobResult":"{\"detail\":\"interrupted\",\"cause\":\"idle\"}"}"#;
        let job: JobView = serde_json::from_str(text).unwrap();
        assert_eq!(job.detail().as_deref(), Some("interrupted (idle)"));
        assert_eq!(job.reason(), None);
        assert_eq!(serde_json::to_value(&job).unwrap()["later"], 7);
    }

    #[test]
    fn words_in_place_of_a_digest_are_no_digest() {
        let text = r#"{"uuid":"u","md5Sum":"not calculated"}"#;
        let image: ImageView = serde_json::from_str(text).unwrap();
        assert_eq!((image.md5(), image.sha256()), (None, None));
    }
}
