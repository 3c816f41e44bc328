//! A client of the real service that can sign.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use super::sent;
use crate::support::app::{PASSWORD, RunningApp, http_client};

/// The service, and a client of it.
pub(super) struct Site {
    pub(super) service: RunningApp,
    pub(super) client: Client,
}

impl Site {
    pub(super) fn start(settings: &[(&str, &str)]) -> Self {
        Self { service: RunningApp::start(settings), client: http_client() }
    }

    pub(super) async fn stop(self) {
        drop(self.client);
        self.service.stop().await;
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Response {
        let method: Method = method.parse().unwrap();
        let request = self.client.request(method, format!("{}{path}", self.service.base()));
        let with = |request: reqwest::RequestBuilder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        headers.iter().fold(request.body(body), with).send().await.unwrap()
    }

    /// `OAuth <a new session of admin>`.
    pub(super) async fn admin(&self) -> String {
        self.log_in("admin", PASSWORD).await.expect("admin may log in")
    }

    /// `OAuth <a new session>`, or what is told instead.
    pub(super) async fn log_in(&self, name: &str, password: &str) -> Result<String, Value> {
        let body = json!({"logInByAccount":{"accountName":name,"password":sent(password)}});
        let answer = self.send("PUT", "/zstack/v1/accounts/login", &[], body.to_string()).await;
        let status = answer.status();
        let answer = read(answer).await;
        if status == 200 {
            return Ok(format!("OAuth {}", answer["inventory"]["uuid"].as_str().unwrap()));
        }
        assert_eq!(status, 503);
        Err(answer["error"].clone())
    }

    /// What an asynchronous call ends with, polled as the Java SDK does.
    pub(super) async fn polled(&self, accepted: Response) -> (u16, Value) {
        assert_eq!(accepted.status(), 202, "{}", accepted.text().await.unwrap());
        let accepted = read(accepted).await;
        let location = accepted["location"].as_str().unwrap();
        for _ in 0..1000 {
            let poll = self.client.get(location).header("Authorization", "OAuth null");
            let answer = poll.send().await.unwrap();
            let status = answer.status().as_u16();
            if status != 202 {
                return (status, read(answer).await);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the call did not end");
    }
}

pub(super) async fn read(answer: Response) -> Value {
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
}

/// An access key in the hands of a client.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) secret: String,
}

impl Key {
    pub(super) async fn of(site: &Site, account: &str) -> Self {
        let key = site.service.app.accounts.create_access_key(account).await.unwrap();
        Self { id: key.id.to_string(), secret: key.secret }
    }

    /// `Authorization` for a request, as the SDKs make it: the path without `/zstack` and query.
    pub(super) fn sign(&self, method: &str, date: &str, path: &str) -> String {
        let path = path.split('?').next().unwrap();
        let uri = path.strip_prefix("/zstack").unwrap_or(path);
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(format!("{method}\n{date}\n{uri}").as_bytes());
        format!("ZStack {}:{}", self.id, STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// Signs and sends.
    pub(super) async fn send(
        &self,
        site: &Site,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Response {
        let date = java_date(0);
        let signature = self.sign(method, &date, path);
        let ours = [("Date", date.as_str()), ("Authorization", signature.as_str())];
        site.send(method, path, &[&ours, more].concat(), body).await
    }
}

/// The time some seconds from now, as Java writes it.
pub(super) fn java_date(offset_secs: i64) -> String {
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(offset_secs);
    now.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S Etc/UTC").to_string()
}
