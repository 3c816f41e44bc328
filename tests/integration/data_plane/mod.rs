//! The data plane as clients see it: the upload URL in its forms, one-request uploads, downloads, and bad connections.

mod download;
mod idle;
mod native;
mod page;
mod raw;
mod rerun;
mod slices;

use longshore::domain::tag::hex;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

use crate::support::app::{PASSWORD, RunningApp, http_client};

/// A service, a session of its admin, and a client.
pub(crate) struct Plane {
    pub(crate) app: RunningApp,
    pub(crate) http: Client,
    token: String,
}

/// A submitted job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) uuid: String,
    pub(crate) image: String,
    pub(crate) url: String,
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes that are no image of any format and differ everywhere.
pub(crate) fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}

impl Plane {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let app = RunningApp::start(settings);
        let http = http_client();
        let password = hex(&Sha512::digest(PASSWORD));
        let body = json!({"logInByAccount": {"accountName": "admin", "password": password}});
        let url = format!("{}/zstack/v1/accounts/login", app.base());
        let answer: Value = http.put(url).json(&body).send().await.unwrap().json().await.unwrap();
        let token = answer["inventory"]["uuid"].as_str().expect("a session").to_owned();
        Self { app, http, token }
    }

    /// A request with the session.
    pub(crate) fn with_session(&self, request: RequestBuilder) -> RequestBuilder {
        request.header("authorization", format!("OAuth {}", self.token))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.app.base())
    }

    /// Submits an upload job.
    pub(crate) async fn submit(&self, image_id: &str, tags: &[String]) -> Job {
        let data = json!({"name": image_id, "url": "upload://x", "format": "raw"}).to_string();
        let mut all = vec![format!("uploadImage::{image_id}")];
        all.extend_from_slice(tags);
        let body =
            json!({"params": {"jobName": "APIAddImageMsg", "jobData": data}, "systemTags": all});
        let request = self.http.post(self.url("/zstack/v1/longjobs")).json(&body);
        let accepted: Value =
            self.with_session(request).send().await.unwrap().json().await.unwrap();
        let location = accepted["location"].as_str().expect("a location").to_owned();
        loop {
            let poll = self.http.get(&location).send().await.unwrap();
            if poll.status() == StatusCode::ACCEPTED {
                continue;
            }
            let reply: Value = poll.json().await.unwrap();
            let inventory = &reply["inventory"];
            let result = inventory["jobResult"].as_str().expect("a jobResult");
            let event: Value = serde_json::from_str(result).unwrap();
            let storage = &event["inventory"]["backupStorageRefs"][0];
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            return Job {
                uuid: text(&inventory["uuid"]),
                image: text(&storage["imageUuid"]),
                url: text(&storage["installPath"]),
            };
        }
    }

    /// What the upload URL says.
    pub(crate) async fn state(&self, url: &str) -> Value {
        let answer = self.http.get(url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }

    /// A native `PUT` of one range.
    pub(crate) fn put(&self, url: &str, at: usize, bytes: &[u8], total: usize) -> RequestBuilder {
        let range = format!("bytes {at}-{}/{total}", at + bytes.len() - 1);
        self.http.put(url).header("content-range", range).body(bytes.to_vec())
    }

    /// Acts on a job: `cancelLongJob`, `suspendLongJob`, `resumeLongJob`.
    pub(crate) async fn act(&self, job: &Job, action: &str) {
        let url = self.url(&format!("/zstack/v1/longjobs/{}/actions", job.uuid));
        let request = self.http.put(url).json(&json!({ action: {} }));
        let accepted = self.with_session(request).send().await.unwrap();
        assert!(accepted.status().is_success(), "{action}: {accepted:?}");
        let accepted: Value = accepted.json().await.unwrap();
        let location = accepted["location"].as_str().expect("a location").to_owned();
        loop {
            let poll = self.http.get(&location).send().await.unwrap();
            if poll.status() != StatusCode::ACCEPTED {
                assert_eq!(poll.status(), StatusCode::OK, "{action}");
                return;
            }
        }
    }
}

/// Status and JSON of an answer.
pub(crate) async fn told(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let body = answer.bytes().await.unwrap();
    let json = serde_json::from_slice(&body);
    (status, json.unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())))
}

pub(crate) async fn sent(request: RequestBuilder) -> (u16, Value) {
    told(request.send().await.unwrap()).await
}
