//! Bodies that are answered, and results that are kept until they are polled.

use actix_web::{HttpResponse, http::StatusCode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::Refusal;
use crate::{
    domain::ids::UploadUuid,
    http::{App, links::Base},
    jobs::{ApiJobResult, CallFailure},
    wire::zstack::{Code, ErrorEnvelope},
};

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    match serde_json::to_string(body) {
        Ok(text) => text_of_json(status, text),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// An answer that is JSON already.
pub(super) fn text_of_json(status: StatusCode, text: String) -> HttpResponse {
    HttpResponse::build(status).content_type("application/json;charset=utf-8").body(text)
}

/// The result of an asynchronous call on its way into the records. Upload URLs are secrets and are in no row: the text holds a
/// random mark instead, which no client can know beforehand, and the poll puts the URL in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredReply {
    body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<StoredLink>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredLink {
    mark: String,
    upload: String,
    generation: i64,
}

/// Stands for the upload URL in a result until it is polled.
#[derive(Debug, Clone)]
pub(super) struct Mark(String);

impl Mark {
    /// A new one, for one result.
    pub(super) fn random() -> Self {
        Self(format!("upload-url-{}", Uuid::new_v4().simple()))
    }

    /// The text to stand in the body.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl StoredReply {
    /// A result without an upload URL in it.
    pub(super) fn plain(body: &impl Serialize) -> Result<Self, Refusal> {
        let body = serde_json::to_string(body);
        let body = body.map_err(|error| Refusal::Defect(error.to_string()))?;
        Ok(Self { body, link: None })
    }

    /// A result in which `mark` stands for the URL of this upload.
    pub(super) fn with_link(
        body: &impl Serialize,
        mark: &Mark,
        upload: UploadUuid,
        generation: i64,
    ) -> Result<Self, Refusal> {
        let link = StoredLink { mark: mark.0.clone(), upload: upload.to_string(), generation };
        Ok(Self { link: Some(link), ..Self::plain(body)? })
    }

    /// As the records keep it.
    pub(super) fn into_result(self, success: bool) -> ApiJobResult {
        let body = serde_json::to_string(&self).unwrap_or_default();
        ApiJobResult { success, body }
    }

    /// From the records, with the upload URL in its place.
    pub(super) fn revealed(stored: &str, app: &App, base: &Base) -> Result<String, Refusal> {
        let reply: Self = serde_json::from_str(stored)
            .map_err(|error| Refusal::Defect(format!("result of a call: {error}")))?;
        let Some(link) = reply.link else { return Ok(reply.body) };
        let upload: UploadUuid = link
            .upload
            .parse()
            .map_err(|error| Refusal::Defect(format!("result of a call: {error}")))?;
        let url = base.upload(app, upload, link.generation);
        Ok(reply.body.replace(&link.mark, &url))
    }
}

/// The result of a call that was refused, logged where it is our defect.
pub(super) fn refused(refusal: Refusal, request_id: &str) -> ApiJobResult {
    let error = match refusal {
        Refusal::Told(error) => error,
        Refusal::Defect(chain) => {
            tracing::error!(request_id, error = chain, "an asynchronous call failed");
            Code::Internal.with(defect_words(request_id))
        }
    };
    let body = serde_json::to_string(&ErrorEnvelope { error }).unwrap_or_default();
    StoredReply { body, link: None }.into_result(false)
}

/// What a caller learns of a defect.
pub(super) fn defect_words(request_id: &str) -> String {
    format!(
        "the service failed; everything that was acknowledged is kept. Try again, or tell the operator the request id {request_id}"
    )
}

/// How calls that ended without a result are told.
pub(super) fn call_failure(failure: CallFailure) -> ApiJobResult {
    let error = match failure {
        CallFailure::Crashed => Code::Internal.with(
            "the service failed while the call was at work; look at what it was about, then try again",
        ),
        CallFailure::TimedOut => Code::Timeout
            .with("the call takes too long and goes on unwatched; look at what it was about"),
        CallFailure::Interrupted => Code::OperationFailed.with(
            "the service was restarted while the call was at work; look at what it was about, then try again",
        ),
    };
    let body = serde_json::to_string(&ErrorEnvelope { error }).unwrap_or_default();
    StoredReply { body, link: None }.into_result(false)
}
