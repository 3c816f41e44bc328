//! Looks at a server before anything important is sent: does it answer, is it ready, what time has it, how fast are bytes taken.

use std::{
    io::Read,
    sync::Arc,
    time::{Duration, SystemTime},
};

use reqwest::{Method, header};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    api::{Api, JobAction, body_text},
    content::Content,
    error::ClientError,
    events::silent,
    records::{NewImage, UploadDetails},
    retry::{Policy, patiently},
    sender::{Sender, Verdict},
};
use crate::{domain::image_id::ImageId, wire::native::ByteRange};

/// A server that takes longer for a look is as good as away.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one slice of the probe, and how many are sent.
const SLICE_BYTES: u64 = 2 << 20;
const SLICES: u64 = 4;
/// No slice of a probe takes longer.
const SLICE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a new job is looked for.
const LOOKS_MAX: u32 = 20;

/// What a server says of itself.
#[derive(Debug, Clone)]
pub struct Health {
    /// From the request to the answer.
    pub took: Duration,
    /// Whether it takes uploads.
    pub ready: bool,
    /// Why not, in its words.
    pub problems: Vec<String>,
    /// How far the local clock is ahead of the server's, in seconds; known to a second.
    pub clock_ahead_secs: Option<i64>,
}

/// What a probe of the speed has measured.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// Bytes that were made durable.
    pub bytes: u64,
    /// For so long.
    pub took: Duration,
}

impl Speed {
    /// Bytes per second.
    pub fn bytes_per_sec(self) -> u64 {
        let micros = u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.bytes.saturating_mul(1_000_000) / micros
    }
}

/// Asks `/readyz`, in one attempt. `now` is the local time.
pub async fn health(api: &Api, now: SystemTime) -> Result<Health, ClientError> {
    let begun = Instant::now();
    let request = api.request(Method::GET, api.url("readyz")?).timeout(LOOK_TIMEOUT);
    let answer = request.send().await.map_err(|error| ClientError::of_request(&error))?;
    let took = begun.elapsed();
    let status = answer.status().as_u16();
    let date = answer.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    let clock_ahead_secs = date.and_then(|date| ahead_secs(date, now));
    let text = body_text(answer).await?;
    let Some(said) =
        serde_json::from_str::<Value>(&text).ok().filter(|said| said["ready"].is_boolean())
    else {
        return Err(ClientError::Protocol {
            words: format!(
                "HTTP {status} from something that is no Longshore server; is the address right?"
            ),
        });
    };
    Ok(Health { took, ready: said["ready"] == true, problems: problems(&said), clock_ahead_secs })
}

/// What is amiss, and what somebody has to look at although uploads can be taken.
fn problems(said: &Value) -> Vec<String> {
    let checks = said["checks"].as_array().into_iter().flatten();
    let reasons = checks.filter_map(|check| {
        let reason = check["reason"].as_str()?;
        Some(format!("{}: {reason}", check["name"].as_str().unwrap_or("?")))
    });
    let warnings = said["warnings"].as_array().into_iter().flatten();
    reasons.chain(warnings.filter_map(|words| words.as_str().map(str::to_owned))).collect()
}

fn ahead_secs(date: &str, now: SystemTime) -> Option<i64> {
    let secs = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_secs()).ok()
    };
    Some(secs(now)? - secs(httpdate::parse_http_date(date).ok()?)?)
}

/// Sends 8 MiB, one slice after the other, to an upload that never becomes an image, and removes it.
pub async fn speed(api: &Api, policy: &Policy, name: ImageId) -> Result<Speed, ClientError> {
    // One byte is always missing.
    let length = SLICES * SLICE_BYTES + 1;
    let image = NewImage::named("longshore doctor: a probe of the speed");
    let job = api.submit_upload(&image, "probe", &name, length).await?;
    let measured = match patiently(policy, &silent(), || place(api, &name)).await {
        Ok(place) => send(&place, length).await,
        Err(error) => Err(error),
    };
    // Also after a failure: a probe leaves nothing behind.
    patiently(policy, &silent(), || api.act(&job.uuid, JobAction::Cancel)).await?;
    patiently(policy, &silent(), || api.delete_job(&job.uuid)).await?;
    measured
}

async fn place(api: &Api, name: &ImageId) -> Result<UploadDetails, ClientError> {
    for _ in 0..LOOKS_MAX {
        if let Some(found) = api.upload_details(name).await? {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(ClientError::Protocol { words: "the job of the probe does not show up".to_owned() })
}

async fn send(place: &UploadDetails, length: u64) -> Result<Speed, ClientError> {
    let content = Arc::new(Content::stream(Box::new(Mixed(1)), length)?);
    let sender =
        Sender::new(&place.image_upload_url, content, &place.long_job_uuid, SLICE_TIMEOUT)?;
    let begun = Instant::now();
    let bytes = SLICES * SLICE_BYTES;
    for start in (0..bytes).step_by(usize::try_from(SLICE_BYTES).unwrap_or(1)) {
        let slice = ByteRange { start, end: start + SLICE_BYTES };
        match sender.send(slice).await {
            Verdict::Stored(_) => {}
            Verdict::Again { words, .. }
            | Verdict::Resync { words }
            | Verdict::Damaged { words }
            | Verdict::Gone { words } => {
                return Err(ClientError::Transient { words, retry_after: None });
            }
            Verdict::Fatal(error) => return Err(error),
        }
    }
    Ok(Speed { bytes, took: begun.elapsed() })
}

/// Bytes that nobody on the way can compress.
struct Mixed(u64);

impl Read for Mixed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for chunk in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            chunk.copy_from_slice(&self.0.to_le_bytes()[..chunk.len()]);
        }
        Ok(buffer.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_are_compared_by_the_date_of_the_answer() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for (date, ahead) in [
            ("Sun, 09 Sep 2001 01:46:40 GMT", Some(0)),
            ("Sun, 09 Sep 2001 01:45:40 GMT", Some(60)),
            ("Sun, 09 Sep 2001 02:46:40 GMT", Some(-3600)),
            ("yesterday", None),
        ] {
            assert_eq!(ahead_secs(date, now), ahead, "{date}");
        }
    }

    #[test]
    fn what_is_amiss_is_told_in_the_words_of_the_server() {
        let said = serde_json::json!({"ready": false, "warnings": ["w"], "checks": [
            {"name": "disk", "ok": false, "reason": "full"}, {"name": "database", "ok": true}]});
        assert_eq!(problems(&said), ["disk: full", "w"]);
    }

    #[test]
    fn a_speed_is_bytes_over_time() {
        let speed = Speed { bytes: 8 << 20, took: Duration::from_secs(2) };
        assert_eq!(speed.bytes_per_sec(), 4 << 20);
    }
}
