//! Small JSON bodies, bounded in size, depth and time.

use std::time::Duration;

use actix_web::{http::StatusCode, web};
use futures::StreamExt;
use serde_json::{Map, Value};

/// Why a JSON body cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// Larger than a body may be.
    #[error("the body has more than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// It did not come in time.
    #[error("the body did not come within {secs} seconds")]
    TimedOut {
        /// The limit.
        secs: u64,
    },
    /// The connection broke.
    #[error("the body broke off")]
    Broken,
    /// Not JSON, or nested too deeply.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// JSON, but no object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// No database column takes U+0000.
    #[error("the body holds a NUL character (U+0000), which cannot be stored")]
    Nul,
}

impl BodyFault {
    /// The HTTP status that goes with it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Broken | Self::NotJson(_) | Self::NotAnObject | Self::Nul => {
                StatusCode::BAD_REQUEST
            }
        }
    }
}

/// Reads a body of at most `bytes_max` that is an object; no body at all is an empty one. The last of duplicate keys counts.
pub async fn read_object(
    payload: web::Payload,
    bytes_max: usize,
    within: Duration,
) -> Result<Map<String, Value>, BodyFault> {
    parse_object(&read_bytes(payload, bytes_max, within).await?)
}

/// Reads a body of at most `bytes_max` as it is: for who signs or hashes it.
pub async fn read_bytes(
    payload: web::Payload,
    bytes_max: usize,
    within: Duration,
) -> Result<Vec<u8>, BodyFault> {
    tokio::time::timeout(within, collect(payload, bytes_max))
        .await
        .map_err(|_| BodyFault::TimedOut { secs: within.as_secs() })?
}

async fn collect(mut payload: web::Payload, bytes_max: usize) -> Result<Vec<u8>, BodyFault> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| BodyFault::Broken)?;
        if body.len() + chunk.len() > bytes_max {
            return Err(BodyFault::TooLarge { max: bytes_max });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The object that a body is; of no body at all an empty one.
pub fn parse_object(body: &[u8]) -> Result<Map<String, Value>, BodyFault> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(value) if holds_nul(&value) => Err(BodyFault::Nul),
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(BodyFault::NotAnObject),
        Err(error) => Err(BodyFault::NotJson(error.to_string())),
    }
}

/// Recursion is bounded by the parser, which refuses more than 128 levels.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(list) => list.iter().any(holds_nul),
        Value::Object(object) => {
            object.iter().any(|(key, value)| key.contains('\0') || holds_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_are_taken() {
        assert_eq!(parse_object(b""), Ok(Map::new()));
        assert_eq!(parse_object(b" \n"), Ok(Map::new()));
        assert_eq!(parse_object(br#"{"a":1,"a":2}"#).unwrap()["a"], 2);
        for (body, fault) in [
            (&b"[]"[..], BodyFault::NotAnObject),
            (b"7", BodyFault::NotAnObject),
            (br#"{"a":["x\u0000"]}"#, BodyFault::Nul),
            (br#"{"x\u0000":1}"#, BodyFault::Nul),
        ] {
            assert_eq!(parse_object(body), Err(fault));
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
        for body in [&b"{"[..], b"{\"a\":\xff}", deep.as_bytes()] {
            assert!(matches!(parse_object(body), Err(BodyFault::NotJson(_))));
        }
    }
}
