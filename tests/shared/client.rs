//! A client of its own, so that a mistake of ours cannot hide in a library that both sides share.

use std::{ops::Range, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Client, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

/// A session with one server process.
#[derive(Clone)]
pub(crate) struct Session {
    http: Client,
    base: String,
    token: String,
}

/// What a job and its upload look like from outside.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) offset: u64,
    pub(crate) missing: Vec<Range<u64>>,
    /// What a job that does not run waits for, in words.
    pub(crate) waits_for: Option<String>,
    /// The long job of this upload.
    pub(crate) job: String,
}

fn hex(bytes: &[u8]) -> String {
    longshore::domain::tag::hex(bytes)
}

impl Session {
    /// Logs in.
    pub(crate) async fn open(base: &str) -> Self {
        Self::try_open(base).await.unwrap()
    }

    /// Logs in, where that may fail.
    pub(crate) async fn try_open(base: &str) -> Result<Self> {
        // The server closes connections that are idle for 5 s: on a busy machine a request could meet that.
        let http = Client::builder().no_proxy().timeout(Duration::from_mins(1));
        let http = http.pool_idle_timeout(Duration::from_secs(1)).build()?;
        let password = hex(&Sha512::digest(super::PASSWORD.as_bytes()));
        let body = json!({"logInByAccount": {"accountName": "admin", "password": password}});
        let answer = http.put(format!("{base}/zstack/v1/accounts/login")).json(&body).send();
        let answer: Value = answer.await?.json().await?;
        let token = answer["inventory"]["uuid"].as_str().context("no session")?.to_owned();
        Ok(Self { http, base: base.to_owned(), token })
    }

    /// The same session with the process that came after.
    pub(crate) fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    fn authorization(&self) -> String {
        format!("OAuth {}", self.token)
    }

    /// A tus request with the session, on a path of the service.
    pub(crate) fn tus(&self, method: &str, path: &str) -> RequestBuilder {
        self.request(method, path).header("Tus-Resumable", "1.0.0")
    }

    /// A request with the session, on a path of the service.
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.base));
        request.header(header::AUTHORIZATION, self.authorization())
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let request = self.http.get(format!("{}{path}", self.base));
        let answer = request.header(header::AUTHORIZATION, self.authorization()).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Submits an upload job; answers the path of its upload URL (the host changes with every start).
    pub(crate) async fn submit(&self, image_id: &str, length: Option<u64>) -> String {
        self.try_submit(image_id, length).await.unwrap()
    }

    /// Submits an upload job, where that may fail.
    pub(crate) async fn try_submit(&self, image_id: &str, length: Option<u64>) -> Result<String> {
        let data = json!({"name": image_id, "url": "upload://x", "format": "raw"}).to_string();
        let mut tags = vec![format!("uploadImage::{image_id}")];
        tags.extend(length.map(|length| format!("imageSize::{length}")));
        let body =
            json!({"params": {"jobName": "APIAddImageMsg", "jobData": data}, "systemTags": tags});
        let request = self.http.post(format!("{}/zstack/v1/longjobs", self.base)).json(&body);
        let reply = self.accepted(request).await?;
        let result = reply["inventory"]["jobResult"].as_str().context("no jobResult")?;
        let event: Value = serde_json::from_str(result)?;
        let url = event["inventory"]["backupStorageRefs"][0]["installPath"].as_str();
        let url = url.context("no upload URL")?;
        Ok(url.strip_prefix(&self.base).context("not our own host")?.to_owned())
    }

    /// Asks for an upload job of this length by one request without a byte of it; the status and the words of the answer, which
    /// come with the refusal.
    pub(crate) async fn answer_to_create(&self, image_id: &str, length: u64) -> (u16, String) {
        let first = vec![0; 1];
        let range = format!("bytes 0-0/{length}");
        let request = self.http.put(format!("{}/uploads/{image_id}", self.base)).body(first);
        let request = request.header(header::CONTENT_RANGE, range);
        let answer = request.header(header::AUTHORIZATION, self.authorization()).send().await;
        let answer = answer.expect("an answer, whatever the disk does");
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Deletes the record of a job.
    pub(crate) async fn delete_job(&self, job: &str) -> Result<()> {
        let url = format!("{}/zstack/v1/longjobs/{job}", self.base);
        self.accepted(self.http.delete(url)).await.map(drop)
    }

    /// The result of a call that is answered by 202 and a place to ask at.
    async fn accepted(&self, request: RequestBuilder) -> Result<Value> {
        let answer = request.header(header::AUTHORIZATION, self.authorization()).send().await?;
        let accepted: Value = answer.error_for_status()?.json().await?;
        let location = accepted["location"].as_str().context("no location")?.to_owned();
        loop {
            let poll = self.http.get(&location).send().await?;
            if poll.status() != StatusCode::ACCEPTED {
                return Ok(poll.error_for_status()?.json().await?);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Cancels a job; it is Canceled when this returns.
    pub(crate) async fn cancel(&self, job: &str) -> Result<()> {
        let request = self.http.put(format!("{}/zstack/v1/longjobs/{job}/actions", self.base));
        self.accepted(request.json(&json!({"cancelLongJob": {}}))).await.map(drop)
    }

    /// Sends one slice; `Ok(true)` if it was acknowledged.
    pub(crate) async fn send(
        &self,
        path: &str,
        bytes: Vec<u8>,
        at: u64,
        total: impl Into<Option<u64>>,
        checked: bool,
    ) -> Result<bool, reqwest::Error> {
        Ok(self.put(path, bytes, at, total, checked).await?.is_some())
    }

    /// Sends one slice; the state that acknowledges it, `None` where it was refused.
    pub(crate) async fn put(
        &self,
        path: &str,
        bytes: Vec<u8>,
        at: u64,
        total: impl Into<Option<u64>>,
        checked: bool,
    ) -> Result<Option<Value>, reqwest::Error> {
        let (status, body) = self.answer(path, bytes, at, total, checked).await?;
        let taken = (200..300).contains(&status);
        Ok(taken.then(|| serde_json::from_str(&body).expect("the state as JSON")))
    }

    /// Sends one slice; the status and the words of the answer. The whole answer has to be there: a status line alone could come
    /// from a process that died while writing it.
    pub(crate) async fn answer(
        &self,
        path: &str,
        bytes: Vec<u8>,
        at: u64,
        total: impl Into<Option<u64>>,
        checked: bool,
    ) -> Result<(u16, String), reqwest::Error> {
        let end = at + bytes.len() as u64 - 1;
        let total = total.into().map_or("*".to_owned(), |total| total.to_string());
        let mut request = self
            .http
            .put(format!("{}{path}", self.base))
            .header(header::CONTENT_RANGE, format!("bytes {at}-{end}/{total}"));
        if checked {
            let sum = STANDARD.encode(crc32c::crc32c(&bytes).to_be_bytes());
            request = request.header("content-digest", format!("crc32c=:{sum}:"));
        }
        let answer = request.body(bytes).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// A whole image in one request; the state that acknowledges it, `None` where it was refused.
    pub(crate) async fn one_request(
        &self,
        image_id: &str,
        bytes: Vec<u8>,
    ) -> Result<Option<Value>, reqwest::Error> {
        let request = self.http.put(format!("{}/uploads/{image_id}", self.base)).body(bytes);
        let answer = request.header(header::AUTHORIZATION, self.authorization()).send().await?;
        let taken = answer.status().is_success();
        let state = answer.bytes().await?;
        Ok(taken.then(|| serde_json::from_slice(&state).expect("the state as JSON")))
    }

    /// Discards an upload by its URL; whether that was acknowledged.
    pub(crate) async fn discard(&self, path: &str) -> Result<bool, reqwest::Error> {
        let answer = self.http.delete(format!("{}{path}", self.base)).send().await?;
        Ok(answer.status() == StatusCode::NO_CONTENT)
    }

    /// Asks the upload URL.
    pub(crate) async fn state(&self, path: &str) -> State {
        let state = self.try_state(path).await.unwrap();
        state.expect("the upload URL answers in every live state")
    }

    /// Asks the upload URL; `None` for an upload that is gone for good.
    pub(crate) async fn try_state(&self, path: &str) -> Result<Option<State>> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        if answer.status() == StatusCode::GONE {
            return Ok(None);
        }
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status == StatusCode::OK, "{status}: {text}");
        let state: Value = serde_json::from_str(&text)?;
        let missing = state["missing"].as_array().cloned().unwrap_or_default();
        let number = |value: &Value| value.as_u64().context("no number");
        let range = |range: &Value| Ok(number(&range["start"])?..number(&range["end"])?);
        Ok(Some(State {
            name: state["state"].as_str().context("no state")?.to_owned(),
            offset: number(&state["offset"])?,
            missing: missing.iter().map(range).collect::<Result<_>>()?,
            waits_for: state["waitsFor"].as_str().map(str::to_owned),
            job: state["jobUuid"].as_str().context("no job")?.to_owned(),
        }))
    }

    /// `existingJobDetails` of an `IMAGE_ID`.
    pub(crate) async fn details(&self, image_id: &str) -> Vec<Value> {
        let path = format!("/zstack/v1/images/upload-job/details/{image_id}");
        let answer = self.get(&path).await.unwrap();
        answer["existingJobDetails"].as_array().cloned().unwrap_or_default()
    }

    /// Every job.
    pub(crate) async fn jobs(&self) -> Vec<Value> {
        self.inventories("/zstack/v1/longjobs").await.unwrap()
    }

    /// Every image.
    pub(crate) async fn images(&self) -> Result<Vec<Value>> {
        self.inventories("/zstack/v1/images").await
    }

    /// Every row of a query: one answer has 1,000 at most.
    async fn inventories(&self, path: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        loop {
            let start = all.len();
            let answer = self.get(&format!("{path}?sort=%2Buuid&start={start}&limit=1000")).await?;
            let page = answer["inventories"].as_array().context("no inventories")?;
            all.extend_from_slice(page);
            if page.len() < 1000 {
                return Ok(all);
            }
        }
    }

    /// The image with this name.
    pub(crate) async fn image_named(&self, name: &str) -> Value {
        let answer = self.get(&format!("/zstack/v1/images?q=name%3D{name}")).await.unwrap();
        answer["inventories"][0].clone()
    }

    /// The bytes of an image.
    pub(crate) async fn download(&self, uuid: &str) -> Vec<u8> {
        self.try_download(uuid).await.unwrap()
    }

    /// The bytes of an image, where that may fail.
    pub(crate) async fn try_download(&self, uuid: &str) -> Result<Vec<u8>> {
        let request = self.http.get(format!("{}/images/{uuid}/content", self.base));
        let answer = request.header(header::AUTHORIZATION, self.authorization()).send().await?;
        if answer.status() != StatusCode::OK {
            bail!("{}: {}", answer.status(), answer.text().await?);
        }
        Ok(answer.bytes().await?.to_vec())
    }

    /// What `/readyz` says: its status, and the reasons.
    pub(crate) async fn ready(&self) -> (u16, String) {
        let answer = self.http.get(format!("{}/readyz", self.base)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Everything that the upload lacks, in order, until the image is Ready.
    pub(crate) async fn finish(&self, path: &str, bytes: &[u8]) {
        for _ in 0..600 {
            let state = self.state(path).await;
            if state.name == "Succeeded" {
                return;
            }
            assert!(matches!(state.name.as_str(), "Running" | "Suspended"), "stuck: {state:?}");
            // Before the first slice of an upload without a declared length nothing is listed.
            let nothing_yet = state.offset == 0 && state.missing.is_empty();
            let missing = if nothing_yet { vec![0..bytes.len() as u64] } else { state.missing };
            for range in &missing {
                for at in (range.start..range.end).step_by(4 << 20) {
                    let end = range.end.min(at + (4 << 20));
                    let part = bytes[at as usize..end as usize].to_vec();
                    let sent = self.send(path, part, at, bytes.len() as u64, true).await;
                    assert!(sent.unwrap(), "a missing slice is taken");
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the job is stuck: {:?}", self.state(path).await);
    }
}
