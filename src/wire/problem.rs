//! Errors of our own dialect: `application/problem+json` (RFC 9457) with a few fields for machines.

use serde::{Deserialize, Serialize};

use super::reason::ReasonName;

/// Media type of an error body.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The codes that a client acts on. Any other code is shown with its words and nothing more.
pub mod code {
    /// 409: the bytes do not fit where the upload stands; `offset` says where it stands.
    pub const WRONG_OFFSET: &str = "wrong_offset";
    /// 409: somebody suspended the job; it takes no bytes until `resumeLongJob`.
    pub const SUSPENDED: &str = "suspended";
    /// 410: canceled, failed, expired or replaced by a rerun.
    pub const GONE: &str = "gone";
    /// 404: no such upload, or not yours.
    pub const NOT_FOUND: &str = "not_found";
    /// 413: a slice with a checksum may not be as long; `suggestedChunkBytes` may.
    pub const CHUNK_TOO_LARGE: &str = "chunk_too_large";
    /// 416 or 400: beyond the declared length, or another length than the first.
    pub const BAD_RANGE: &str = "bad_range";
    /// 423: another request holds these bytes.
    pub const LOCKED: &str = "locked";
    /// 503: no room right now; `retryAfterMs` says when to come back.
    pub const BUSY: &str = "busy";
    /// 507: the storage is full.
    pub const NO_SPACE: &str = "no_space";
    /// 413: over the account's quota.
    pub const QUOTA: &str = "quota";
    /// 400: the slice does not match its checksum; nothing of it counts, send it again.
    pub const CHECKSUM_MISMATCH: &str = "checksum_mismatch";
    /// 422: the content is not safe to use as an image.
    pub const UNSAFE_IMAGE: &str = "unsafe_image";
    /// 401: no session, or one that has ended.
    pub const UNAUTHENTICATED: &str = "unauthenticated";
}

/// One error. `title` names the kind, `detail` says what happened, what is kept and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// URI of the kind; `about:blank` where there is none.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The kind in words, the same for every case of it.
    #[serde(default)]
    pub title: String,
    /// HTTP status, repeated.
    #[serde(default)]
    pub status: u16,
    /// This case in words.
    #[serde(default)]
    pub detail: String,
    /// One of [`code`], or a new one.
    #[serde(default)]
    pub code: String,
    /// First missing byte, where bytes were refused for their position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The same, in the words of the IETF draft.
    #[serde(rename = "expected-offset", default, skip_serializing_if = "Option::is_none")]
    pub expected_offset: Option<u64>,
    /// The position that the request named, in the words of the IETF draft.
    #[serde(rename = "provided-offset", default, skip_serializing_if = "Option::is_none")]
    pub provided_offset: Option<u64>,
    /// When to come back, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Longest slice that is taken, in bytes, where one was too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggested_chunk_bytes: Option<u64>,
    /// What of the file ended its upload, where that is the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonName>,
    /// What to quote to the operator.
    #[serde(default)]
    pub request_id: String,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

impl Problem {
    /// A problem with words and no extra fields.
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: about_blank(),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            code: code.to_owned(),
            offset: None,
            expected_offset: None,
            provided_offset: None,
            retry_after_ms: None,
            suggested_chunk_bytes: None,
            reason: None,
            request_id: String::new(),
        }
    }

    /// The most specific words in it.
    pub fn words(&self) -> &str {
        if self.detail.is_empty() { &self.title } else { &self.detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_its_fields_both_ways() {
        let mut problem = Problem::new(409, code::WRONG_OFFSET, "Wrong offset", "go on at 7");
        problem.offset = Some(7);
        problem.retry_after_ms = Some(20);
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["type"], "about:blank");
        assert_eq!(json["retryAfterMs"], 20);
        assert!(json.get("suggestedChunkBytes").is_none());
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
    }

    #[test]
    fn a_foreign_problem_is_read_as_far_as_it_goes() {
        let problem: Problem = serde_json::from_str(r#"{"title":"Bad gateway"}"#).unwrap();
        assert_eq!((problem.words(), problem.code.as_str()), ("Bad gateway", ""));
    }
}
