//! A client of its own, so that a mistake of ours cannot hide in a library that both sides share.

use std::{ops::Range, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Client, StatusCode, header};
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
}

fn hex(bytes: &[u8]) -> String {
    longshore::domain::tag::hex(bytes)
}

impl Session {
    /// Logs in.
    pub(crate) async fn open(base: &str) -> Self {
        let http = Client::builder().no_proxy().timeout(Duration::from_mins(1)).build().unwrap();
        let password = hex(&Sha512::digest(super::PASSWORD.as_bytes()));
        let body = json!({"logInByAccount": {"accountName": "admin", "password": password}});
        let answer = http.put(format!("{base}/zstack/v1/accounts/login")).json(&body).send().await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        let token = answer["inventory"]["uuid"].as_str().expect("a session").to_owned();
        Self { http, base: base.to_owned(), token }
    }

    fn authorization(&self) -> String {
        format!("OAuth {}", self.token)
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.base));
        let answer = request.header(header::AUTHORIZATION, self.authorization()).send().await;
        answer.unwrap().json().await.unwrap()
    }

    /// Submits an upload job; answers the path of its upload URL (the host changes with every start).
    pub(crate) async fn submit(&self, image_id: &str, length: Option<u64>) -> String {
        let data = json!({"name": image_id, "url": "upload://x", "format": "raw"}).to_string();
        let mut tags = vec![format!("uploadImage::{image_id}")];
        tags.extend(length.map(|length| format!("imageSize::{length}")));
        let body =
            json!({"params": {"jobName": "APIAddImageMsg", "jobData": data}, "systemTags": tags});
        let request = self.http.post(format!("{}/zstack/v1/longjobs", self.base)).json(&body);
        let answer = request.header(header::AUTHORIZATION, self.authorization()).send().await;
        let accepted: Value = answer.unwrap().json().await.unwrap();
        let location = accepted["location"].as_str().expect("a location").to_owned();
        loop {
            let poll = self.http.get(&location).send().await.unwrap();
            if poll.status() == StatusCode::ACCEPTED {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            let reply: Value = poll.json().await.unwrap();
            let result = reply["inventory"]["jobResult"].as_str().expect("a jobResult");
            let event: Value = serde_json::from_str(result).unwrap();
            let url = event["inventory"]["backupStorageRefs"][0]["installPath"].as_str().unwrap();
            return url.strip_prefix(&self.base).expect("our own host").to_owned();
        }
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
        let acknowledged = answer.status().is_success();
        // The whole answer has to be there: a status line alone could come from a process that died while writing it.
        let _body = answer.bytes().await?;
        Ok(acknowledged)
    }

    /// Asks the upload URL.
    pub(crate) async fn state(&self, path: &str) -> State {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "the upload URL answers in every live state");
        let state: Value = answer.json().await.unwrap();
        let missing = state["missing"].as_array().cloned().unwrap_or_default();
        State {
            name: state["state"].as_str().expect("a state").to_owned(),
            offset: state["offset"].as_u64().expect("an offset"),
            missing: missing
                .iter()
                .map(|range| range["start"].as_u64().unwrap()..range["end"].as_u64().unwrap())
                .collect(),
        }
    }

    /// `existingJobDetails` of an `IMAGE_ID`.
    pub(crate) async fn details(&self, image_id: &str) -> Vec<Value> {
        let answer = self.get(&format!("/zstack/v1/images/upload-job/details/{image_id}")).await;
        answer["existingJobDetails"].as_array().cloned().unwrap_or_default()
    }

    /// Every job.
    pub(crate) async fn jobs(&self) -> Vec<Value> {
        let answer = self.get("/zstack/v1/longjobs").await;
        answer["inventories"].as_array().cloned().expect("inventories")
    }

    /// The image with this name.
    pub(crate) async fn image_named(&self, name: &str) -> Value {
        let answer = self.get(&format!("/zstack/v1/images?q=name%3D{name}")).await;
        answer["inventories"][0].clone()
    }

    /// The bytes of an image.
    pub(crate) async fn download(&self, uuid: &str) -> Vec<u8> {
        let request = self.http.get(format!("{}/images/{uuid}/content", self.base));
        let answer = request.header(header::AUTHORIZATION, self.authorization()).send().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.bytes().await.unwrap().to_vec()
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
