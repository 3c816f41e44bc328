//! The control plane as a client uses it: ZStack's calls under `{server}/zstack/v1`.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Url, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use super::{
    error::ClientError,
    http_client,
    records::{
        ExpectedDigests, ImageView, JobView, NewImage, Page, ProgressView, SessionView,
        StorageView, UploadDetails,
    },
    retry,
};
use crate::{
    domain::{image_id::ImageId, job::ADD_IMAGE_JOB, tag::hex},
    wire::{
        native::{ImageInspection, JobHistory},
        page::{SampleDigest, Samples},
    },
};

/// One path segment: everything but RFC 3986's unreserved characters is escaped.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// A control call is small; longer silence than this is a broken connection.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// Before the second look at a running api-job, where the server does not say: most calls take some milliseconds. Each pause is
/// twice the one before it.
const POLL_PAUSE_FIRST: Duration = Duration::from_millis(5);
/// Longest pause between two such looks.
const POLL_PAUSE: Duration = Duration::from_millis(250);
/// An api-job that runs longer is reported instead of waited for.
const POLLS_MAX: u32 = 1200;
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// Text as one percent-encoded path segment or query value.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A long job's verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobAction {
    /// Keep the bytes and take no more until resumed.
    Suspend,
    /// Go on.
    Resume,
    /// Give up and remove the bytes.
    Cancel,
    /// Begin anew with a job that has ended without an image: same job, no bytes, a new upload URL.
    Rerun,
}

impl JobAction {
    const fn key(self) -> &'static str {
        match self {
            Self::Suspend => "suspendLongJob",
            Self::Resume => "resumeLongJob",
            Self::Cancel => "cancelLongJob",
            Self::Rerun => "rerunLongJob",
        }
    }
}

/// A server, and a session where there is one. One attempt per call: [`retry::patiently`] is the caller's.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    server: Url,
    session: Option<String>,
}

impl Api {
    /// For the server at `server`, e.g. `http://127.0.0.1:8080`.
    pub fn new(server: &str, session: Option<String>) -> Result<Self, ClientError> {
        let wrong = |why: &str| ClientError::Usage {
            words: format!("[{server}] is not the address of a server: {why}"),
        };
        let mut url = Url::parse(server).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("give http://HOST:PORT or https://HOST"));
        }
        url.set_query(None);
        url.set_fragment(None);
        let http = http_client(&url)?;
        Ok(Self { http, server: url, session })
    }

    /// The same server with another session, or without one.
    #[must_use]
    pub fn with_session(self, session: Option<String>) -> Self {
        Self { session, ..self }
    }

    /// Its address without a `/` at the end.
    pub fn server(&self) -> &str {
        self.server.as_str().trim_end_matches('/')
    }

    /// Its address.
    pub const fn address(&self) -> &Url {
        &self.server
    }

    /// Value of `Authorization`, where there is a session: a secret.
    pub(super) fn authorization(&self) -> Option<String> {
        self.session.as_ref().map(|session| format!("OAuth {session}"))
    }

    /// `{server}/{path}` as a URL.
    pub(super) fn url(&self, path: &str) -> Result<Url, ClientError> {
        let text = format!("{}/{path}", self.server());
        text.parse().map_err(|_| ClientError::Usage { words: format!("[{text}] is not a URL") })
    }

    /// A request with the session.
    pub(super) fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        let request = self.http.request(method, url);
        match self.authorization() {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        }
    }

    /// LogInByAccount. The plain password does not leave this machine: its SHA-512 does, as ZStack has it.
    pub async fn login(&self, account: &str, password: &str) -> Result<SessionView, ClientError> {
        let digest = hex(&Sha512::digest(password.as_bytes()));
        let body = json!({"logInByAccount": {"accountName": account, "password": digest}});
        field(self.call(Method::PUT, "accounts/login", Some(&body)).await?, "inventory")
    }

    /// Ends the session.
    pub async fn logout(&self, session: &str) -> Result<(), ClientError> {
        let path = format!("accounts/sessions/{}", segment(session));
        self.call(Method::DELETE, &path, None).await.map(drop)
    }

    /// SubmitLongJob of an upload. Not idempotent: after a failure ask [`Self::upload_details`] first.
    pub async fn submit_upload(
        &self,
        image: &NewImage,
        file_name: &str,
        image_id: &ImageId,
        size: u64,
    ) -> Result<JobView, ClientError> {
        let mut data = json!({
            "name": image.name,
            "url": format!("upload://{file_name}"),
            "mediaType": image.media_type,
            "format": image.format,
            "platform": image.platform,
        });
        for (key, value) in
            [("description", &image.description), ("architecture", &image.architecture)]
        {
            if let Some(value) = value {
                data[key] = Value::from(value.as_str());
            }
        }
        let params = json!({
            "name": format!("upload {}", image.name),
            "jobName": ADD_IMAGE_JOB,
            "jobData": data.to_string(),
        });
        let mut tags = vec![format!("uploadImage::{image_id}"), format!("imageSize::{size}")];
        let ExpectedDigests { md5, sha256 } = &image.expected;
        tags.extend(md5.iter().map(|md5| format!("imageMd5::{md5}")));
        tags.extend(sha256.iter().map(|sha256| format!("imageSha256::{sha256}")));
        let body = json!({"params": params, "systemTags": tags});
        field(self.call(Method::POST, "longjobs", Some(&body)).await?, "inventory")
    }

    /// GetUploadImageJobDetails: the upload of this name that is best gone on with, if there is one.
    pub async fn upload_details(
        &self,
        image_id: &ImageId,
    ) -> Result<Option<UploadDetails>, ClientError> {
        let path = format!("images/upload-job/details/{}", segment(image_id.as_str()));
        let answer = self.call(Method::GET, &path, None).await?;
        match answer.get("existingJobDetails") {
            None | Some(Value::Null) => Ok(None),
            Some(_) => {
                let jobs: Vec<UploadDetails> = field(answer, "existingJobDetails")?;
                Ok(jobs.into_iter().next())
            }
        }
    }

    /// QueryLongJob with a query string such as `limit=20&sort=-createDate`.
    pub async fn query_jobs(&self, query: &str) -> Result<Page<JobView>, ClientError> {
        whole(self.call(Method::GET, &format!("longjobs?{query}"), None).await?)
    }

    /// One long job; `None` if there is none of that uuid, or it is not yours.
    pub async fn job(&self, uuid: &str) -> Result<Option<JobView>, ClientError> {
        let answer = self.call(Method::GET, &format!("longjobs/{}", segment(uuid)), None).await?;
        whole::<Page<JobView>>(answer).map(|page| page.inventories.into_iter().next())
    }

    /// Suspends, resumes or cancels a job.
    pub async fn act(&self, uuid: &str, action: JobAction) -> Result<(), ClientError> {
        let path = format!("longjobs/{}/actions", segment(uuid));
        self.call(Method::PUT, &path, Some(&json!({action.key(): {}}))).await.map(drop)
    }

    /// DeleteLongJob: the record of a job that has ended.
    pub async fn delete_job(&self, uuid: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, &format!("longjobs/{}", segment(uuid)), None).await.map(drop)
    }

    /// GetTaskProgress: the newest progress of a running call.
    pub async fn progress(&self, api_id: &str) -> Result<Option<ProgressView>, ClientError> {
        let path = format!("task-progresses/{}?all=false", segment(api_id));
        let answer = self.call(Method::GET, &path, None).await?;
        whole::<Page<ProgressView>>(answer).map(|page| page.inventories.into_iter().next_back())
    }

    /// The states that a job has been in, the oldest first.
    pub async fn history(&self, uuid: &str) -> Result<JobHistory, ClientError> {
        self.told(&format!("v1/jobs/{}/history", segment(uuid))).await
    }

    /// What an image was found to be when it was made. Of one that is not Ready yet, as of one that does not exist, it is refused.
    pub async fn inspection(&self, uuid: &str) -> Result<ImageInspection, ClientError> {
        self.told(&format!("v1/images/{}/inspection", segment(uuid))).await
    }

    /// A question beside ZStack's calls.
    async fn told<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let (_, answer, _) = exchange(self.request(Method::GET, self.url(path)?)).await?;
        whole(answer)
    }

    /// QueryImage with a query string.
    pub async fn query_images(&self, query: &str) -> Result<Page<ImageView>, ClientError> {
        whole(self.call(Method::GET, &format!("images?{query}"), None).await?)
    }

    /// One image; `None` if there is none of that uuid, or it is not yours.
    pub async fn image(&self, uuid: &str) -> Result<Option<ImageView>, ClientError> {
        let answer = self.call(Method::GET, &format!("images/{}", segment(uuid)), None).await?;
        whole::<Page<ImageView>>(answer).map(|page| page.inventories.into_iter().next())
    }

    /// DeleteImage.
    pub async fn delete_image(&self, uuid: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, &format!("images/{}", segment(uuid)), None).await.map(drop)
    }

    /// DeleteImage for good: its bytes are gone when this returns.
    pub async fn expunge_image(&self, uuid: &str) -> Result<(), ClientError> {
        let path = format!("images/{}?deleteMode=Enforcing", segment(uuid));
        self.call(Method::DELETE, &path, None).await.map(drop)
    }

    /// Digests of a few blocks of what the server has of the upload that makes this image; none of an upload without a byte.
    pub async fn samples(&self, image_uuid: &str) -> Result<Vec<SampleDigest>, ClientError> {
        let url = self.url(&format!("v1/images/{}/samples", segment(image_uuid)))?;
        let (_, answer, _) = exchange(self.request(Method::GET, url)).await?;
        whole::<Samples>(answer).map(|answer| answer.samples)
    }

    /// A synchronous question.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        whole(self.call(Method::GET, path, None).await?)
    }

    /// A change, with its result.
    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, ClientError> {
        whole(self.call(Method::PUT, path, Some(body)).await?)
    }

    /// Something that is made, with its result.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, ClientError> {
        whole(self.call(Method::POST, path, Some(body)).await?)
    }

    /// Something that is removed.
    pub(super) async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, path, None).await.map(drop)
    }

    /// QueryBackupStorage: where images go, with the room that is left.
    pub async fn storages(&self) -> Result<Page<StorageView>, ClientError> {
        whole(self.call(Method::GET, "backup-storage", None).await?)
    }

    /// One call with its answer, through the api-job where the server made one.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let mut request = self.request(method, self.url(&format!("zstack/v1/{path}"))?);
        if let Some(body) = body {
            request = request.json(body);
        }
        let (status, answer, _) = exchange(request).await?;
        if status != 202 {
            return Ok(answer);
        }
        let location = answer.get("location").and_then(Value::as_str).unwrap_or_default();
        // The host in it is the server's view of itself, which a proxy may have changed: only the id counts.
        let Some((_, id)) = location.rsplit_once("/api-jobs/") else {
            return Err(unexpected("a 202 without the location of its job"));
        };
        self.poll(id).await
    }

    async fn poll(&self, id: &str) -> Result<Value, ClientError> {
        let url = self.url(&format!("zstack/v1/api-jobs/{}", segment(id)))?;
        let mut own_pause = POLL_PAUSE_FIRST;
        for _ in 0..POLLS_MAX {
            let (status, answer, pause) = exchange(self.request(Method::GET, url.clone())).await?;
            if status != 202 {
                return Ok(answer);
            }
            tokio::time::sleep(pause.unwrap_or(own_pause)).await;
            own_pause = POLL_PAUSE.min(2 * own_pause);
        }
        Err(ClientError::Protocol {
            words: format!("the server still works on call {id}; look at `longshore jobs list`"),
        })
    }
}

/// Sends a request; an answer that is an error becomes one.
async fn exchange(
    request: reqwest::RequestBuilder,
) -> Result<(u16, Value, Option<Duration>), ClientError> {
    let answer = request.timeout(CALL_TIMEOUT).send().await;
    let answer = answer.map_err(|error| ClientError::of_request(&error))?;
    let status = answer.status().as_u16();
    let pause = retry::retry_after(answer.headers());
    let text = body_text(answer).await?;
    if !(200..300).contains(&status) {
        return Err(refusal(status, &text, pause));
    }
    if text.trim().is_empty() {
        return Ok((status, Value::Null, pause));
    }
    let json = serde_json::from_str(&text);
    json.map(|json| (status, json, pause)).map_err(|_| unexpected("an answer that is not JSON"))
}

/// The body as text, as long as it is not absurdly long.
pub(super) async fn body_text(mut answer: reqwest::Response) -> Result<String, ClientError> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|error| ClientError::of_request(&error))? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(unexpected("an answer of more than 32 MiB"));
        }
        body.extend_from_slice(&part);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The error of a ZStack call, from its status and body.
fn refusal(status: u16, text: &str, retry_after: Option<Duration>) -> ClientError {
    let envelope: Value = serde_json::from_str(text).unwrap_or_default();
    let error = envelope.get("error");
    let part = |key| error.and_then(|error| error.get(key)).and_then(Value::as_str);
    let code = part("code").unwrap_or_default().to_owned();
    let said = part("details").filter(|details| !details.is_empty()).or(part("description"));
    let words = said.map_or_else(|| plain_words(status, text), str::to_owned);
    match (status, code.as_str()) {
        (401 | 403, _) | (_, "ID.1000" | "ID.1001" | "ID.1002") => auth(&words, &code),
        (400, "") if words.contains("Authorization") => auth(&words, &code),
        (507, _) | (_, "ID.1003") => ClientError::Space { words },
        (408 | 425 | 429 | 502..=504, "") => ClientError::Transient { words, retry_after },
        _ => ClientError::Refused { status, code, words },
    }
}

pub(super) fn auth(words: &str, code: &str) -> ClientError {
    let next = match code {
        "ID.1000" => "check the name of the account and the password",
        "ID.1002" => "ask the owner or an administrator",
        _ => "log in with `longshore login`, then run the same command again",
    };
    ClientError::Auth { words: format!("{words}: {next}") }
}

fn plain_words(status: u16, text: &str) -> String {
    let first: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
    if first.is_empty() || first.trim_start().starts_with(['<', '{']) {
        format!("the server answered HTTP {status}")
    } else {
        format!("the server answered HTTP {status}: {first}")
    }
}

fn unexpected(what: &str) -> ClientError {
    ClientError::Protocol {
        words: format!("the server sent {what}; is this the address of a Longshore server?"),
    }
}

fn whole<T: DeserializeOwned>(answer: Value) -> Result<T, ClientError> {
    serde_json::from_value(answer).map_err(|error| unexpected(&format!("an answer with {error}")))
}

fn field<T: DeserializeOwned>(mut answer: Value, key: &str) -> Result<T, ClientError> {
    whole(answer.get_mut(key).map(Value::take).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::error::ErrorKind;

    #[test]
    fn errors_of_calls_get_the_kind_that_a_person_can_act_on() {
        let envelope = |code: &str| json!({"error": {"code": code, "details": "d"}}).to_string();
        for (status, text, kind) in [
            (503, envelope("ID.1001"), ErrorKind::Auth),
            (503, envelope("ID.1000"), ErrorKind::Auth),
            (400, "missing header 'Authorization'".to_owned(), ErrorKind::Auth),
            (503, envelope("ID.1003"), ErrorKind::Space),
            (507, envelope("SYS.1006"), ErrorKind::Space),
            (503, envelope("SYS.1007"), ErrorKind::Server),
            (503, String::new(), ErrorKind::Resumable),
            (502, "<html>bad gateway</html>".to_owned(), ErrorKind::Resumable),
            (404, "no api mapping".to_owned(), ErrorKind::Server),
        ] {
            assert_eq!(refusal(status, &text, None).kind(), kind, "{status} {text}");
        }
        let words = refusal(502, "<html>", None).to_string();
        assert_eq!(words, "the server answered HTTP 502");
    }

    #[test]
    fn names_become_one_path_segment() {
        assert_eq!(segment("a/b%2f ..é"), "a%2Fb%252f%20..%C3%A9");
        assert_eq!(segment("ls1-0a_~"), "ls1-0a_~");
    }

    #[test]
    fn addresses_are_checked_in_words() {
        for bad in ["", "localhost:8080", "ftp://x", "http://"] {
            let error = Api::new(bad, None).err().expect(bad);
            assert!(error.to_string().contains("not the address of a server"), "{bad}: {error}");
        }
        let api = Api::new("http://h:1/base/?x#y", None).unwrap();
        assert_eq!(api.server(), "http://h:1/base");
    }
}
