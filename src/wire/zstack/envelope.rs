//! The bodies around the inventories.

use serde::{Deserialize, Serialize};

use super::schema::{Element, Schema};

/// A successful body, with the schema map where the call asked for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply<T> {
    /// What the call is about.
    #[serde(flatten)]
    pub body: T,
    /// Path to Java class of everything typed in the body. Without it the Java SDK delivers untyped maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
}

/// `{}`: the call has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// One object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inventory<T> {
    /// The object.
    pub inventory: T,
}

/// The rows of a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inventories<T> {
    /// The rows; absent for `count=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inventories: Option<Vec<T>>,
    /// All rows that match, for `count=true` and `replyWithCount=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// Whether a session is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// It is.
    pub valid: bool,
}

/// Reply of GetUploadImageJobDetails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExistingJobs {
    /// Always `true`; it comes along in the original.
    pub success: bool,
    /// The jobs; the field is absent when there are none, never empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub existing_job_details: Option<Vec<UploadJobDetails>>,
}

/// One job that can be continued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadJobDetails {
    /// The job.
    pub long_job_uuid: String,
    /// Its state; never a final one.
    pub long_job_state: String,
    /// The image that it makes.
    pub image_uuid: String,
    /// Where its bytes go.
    pub image_upload_url: String,
    /// First missing byte.
    pub offset: u64,
}

impl Element for UploadJobDetails {
    const CLASS: &'static str =
        "org.zstack.header.image.APIGetUploadImageJobDetailsReply$JobDetails";
    const FIELDS: &'static [&'static str] =
        &["longJobUuid", "longJobState", "imageUuid", "imageUploadUrl", "offset"];
}

/// Body of the 202 that an asynchronous call answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// Where the result is polled. Contains `/zstack/v1/api-jobs/`, at which the SDKs split it.
    pub location: String,
    /// Milliseconds within which the call ends.
    pub api_timeout: u64,
}
