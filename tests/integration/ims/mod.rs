//! The jobs as IMS shows them, over the wire: views, tokens, signatures, and the calls that make jobs.

mod codes;
mod signing;
mod tokens;
mod views;

use longshore::domain::{account::Caller, ids::AccountUuid};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::support::app::{RunningApp, http_client};

const NAME: &str = "ims";
const PASSWORD: &str = "a long password";

/// A service with an account of its own, and a token of it.
struct Ims {
    service: RunningApp,
    http: Client,
    token: String,
    account: AccountUuid,
}

/// What was answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    request_id: String,
    subject_token: Option<String>,
    body: Value,
}

impl Answer {
    async fn of(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        let header =
            |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("content-type").as_deref(), Some("application/json"));
        assert_eq!(header("cache-control").as_deref(), Some("no-store"));
        let request_id = header("x-request-id").expect("every answer has one");
        let subject_token = header("x-subject-token");
        let status = answer.status().as_u16();
        Self { status, request_id, subject_token, body: answer.json().await.unwrap() }
    }

    /// Status and code, in whichever form it was told.
    fn refusal(&self) -> (u16, &str) {
        let code = self.body["error"]["code"].as_str();
        (self.status, code.or(self.body["error_code"].as_str()).unwrap_or("none"))
    }
}

impl Ims {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let service = RunningApp::start(settings);
        let account = service.app.accounts.create_account(NAME, PASSWORD, false).await.unwrap();
        let http = http_client();
        let mut ims = Self { service, http, token: String::new(), account: account.uuid };
        let answer = ims.log_in(&json!({"name": NAME, "password": PASSWORD}), &Value::Null).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        ims.token = answer.subject_token.unwrap();
        ims
    }

    async fn stop(self) {
        drop(self.http);
        self.service.stop().await;
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.service.base())
    }

    fn caller(&self) -> Caller {
        Caller { account: self.account, admin: false }
    }

    async fn log_in(&self, user: &Value, scope: &Value) -> Answer {
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let body = json!({"auth": {"identity": identity, "scope": scope}});
        Answer::of(self.http.post(self.url("/v3/auth/tokens")).json(&body)).await
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::of(self.http.get(self.url(path)).header("X-Auth-Token", &self.token)).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.http.post(self.url(path)).header("X-Auth-Token", &self.token);
        Answer::of(request.json(body)).await
    }

    /// A new job for a system disk.
    async fn made(&self) -> String {
        let body = json!({"name": "debian", "min_disk": 40, "image_url": "upload://debian.raw"});
        let made = self.post("/v2/cloudimages/action", &body).await;
        assert_eq!(made.status, 200, "{made:?}");
        made.body["job_id"].as_str().unwrap().to_owned()
    }

    /// The job by the path without a project.
    async fn job(&self, id: &str) -> Value {
        let answer = self.get(&format!("/v1/cloudimages/job/{id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Sends bytes to the job's upload URL; the status.
    async fn send(&self, id: &str, from: usize, bytes: Vec<u8>, length: usize) -> u16 {
        let job = self.job(id).await;
        let url = job["entities"]["upload_url"].as_str().expect("it takes bytes");
        let range = format!("bytes {from}-{}/{length}", from + bytes.len() - 1);
        let request = self.http.put(url).header("Content-Range", range).body(bytes);
        request.send().await.unwrap().status().as_u16()
    }
}
