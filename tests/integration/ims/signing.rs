//! Requests that are signed as Huawei's SDKs sign them, over the wire. That the signatures are those of the SDK itself is shown by its
//! own (tests/clients) and by the vectors of `accounts::sdk_signature`.

use hmac::{Hmac, KeyInit, Mac};
use longshore::{accounts::NewAccessKey, domain::tag::hex};
use reqwest::Method;
use sha2::{Digest, Sha256};

use super::{Answer, Ims, NAME};

/// A request that is to be signed.
struct Signed<'k> {
    key: &'k NewAccessKey,
    secret: String,
    method: Method,
    path: String,
    query: &'static str,
    body: &'static str,
    at_secs: i64,
    names: &'static str,
}

impl<'k> Signed<'k> {
    fn get(key: &'k NewAccessKey, path: String) -> Self {
        Self {
            key,
            secret: key.secret.clone(),
            method: Method::GET,
            path,
            query: "",
            body: "",
            at_secs: 0,
            names: "host;x-sdk-date",
        }
    }

    /// `Authorization` and `X-Sdk-Date`.
    fn headers(&self, ims: &Ims) -> (String, String) {
        let time = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(self.at_secs);
        let date = time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
        let headers = self.names.split(';').map(|name| match name {
            "host" => format!("host:{}\n", ims.service.address),
            _ => format!("{name}:{date}\n"),
        });
        let canonical = format!(
            "{}\n{}/\n{}\n{}\n{}\n{}",
            self.method,
            self.path,
            self.query,
            headers.collect::<String>(),
            self.names,
            hex(&Sha256::digest(self.body))
        );
        let canonical = hex(&Sha256::digest(canonical));
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(format!("SDK-HMAC-SHA256\n{date}\n{canonical}").as_bytes());
        let signature = hex(&mac.finalize().into_bytes());
        let (id, names) = (&self.key.id, self.names);
        let credentials = format!("Access={id}, SignedHeaders={names}, Signature={signature}");
        (format!("SDK-HMAC-SHA256 {credentials}"), date)
    }

    async fn send(&self, ims: &Ims) -> Answer {
        self.send_as(ims, &self.method, &self.path, self.body).await
    }

    /// Signed as one request and sent as another.
    async fn send_as(&self, ims: &Ims, method: &Method, path: &str, body: &'static str) -> Answer {
        let (authorization, date) = self.headers(ims);
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        let request = ims.http.request(method.clone(), ims.url(&format!("{path}{query}")));
        let request = request.header("Authorization", authorization).header("X-Sdk-Date", date);
        Answer::of(request.body(body)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_is_as_good_as_a_token() {
    let ims = Ims::start(&[]).await;
    let accounts = &ims.service.app.accounts;
    let key = accounts.create_access_key(NAME).await.unwrap();
    let create = Signed {
        method: Method::POST,
        body: r#"{"name":"debian","min_disk":40}"#,
        ..Signed::get(&key, "/v2/cloudimages/action".to_owned())
    };
    let made = create.send(&ims).await;
    assert_eq!(made.status, 200, "{made:?}");
    let id = made.body["job_id"].as_str().unwrap();
    let path = format!("/v1/{}/jobs/{id}", ims.account);
    assert_eq!(Signed::get(&key, path.clone()).send(&ims).await.body, ims.job(id).await);
    let list = format!("/v1/{}/jobs", ims.account);
    let list = Signed { query: "limit=1&status=RUNNING", ..Signed::get(&key, list) };
    assert_eq!(list.send(&ims).await.body["total"], 1);
    let late = |at_secs| Signed { at_secs, ..Signed::get(&key, path.clone()) };
    assert_eq!(late(-890).send(&ims).await.status, 200);
    assert_eq!(late(890).send(&ims).await.status, 200);

    // Negative controls.
    let refused = (401, "APIGW.0301");
    assert_eq!(late(-910).send(&ims).await.refusal(), refused);
    assert_eq!(late(910).send(&ims).await.refusal(), refused);
    let other_body = r#"{"name":"debian","min_disk":41}"#;
    let answer = create.send_as(&ims, &Method::POST, &create.path, other_body).await;
    assert_eq!(answer.refusal(), refused);
    let other_path = "/v1/cloudimages/dataimages/action";
    let answer = create.send_as(&ims, &Method::POST, other_path, create.body).await;
    assert_eq!(answer.refusal(), refused);
    let mut secret = key.secret.clone();
    secret.replace_range(0..1, if secret.starts_with('a') { "b" } else { "a" });
    let wrong = Signed { secret, ..Signed::get(&key, path.clone()) };
    assert_eq!(wrong.send(&ims).await.refusal(), refused);
    for names in ["host", "x-sdk-date"] {
        let unsigned = Signed { names, ..Signed::get(&key, path.clone()) };
        assert_eq!(unsigned.send(&ims).await.refusal(), refused, "{names}");
    }
    // A header that is signed comes once: of two nobody knows which one was meant.
    let signed = Signed::get(&key, path.clone());
    let (authorization, date) = signed.headers(&ims);
    let twice = ims.http.get(ims.url(&path)).header("Authorization", authorization);
    let twice = twice.header("X-Sdk-Date", &date).header("X-Sdk-Date", &date);
    assert_eq!(Answer::of(twice).await.refusal(), refused);
    let answer = wrong.send(&ims).await;
    assert_eq!(answer.body["request_id"], answer.request_id.as_str());

    accounts.delete_access_key(&key.id).await.unwrap();
    assert_eq!(Signed::get(&key, path).send(&ims).await.refusal(), refused, "forgotten");
    ims.stop().await;
}
