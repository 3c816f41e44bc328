//! Calls that are wrong, and what they are told.

use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use super::golden::{PASSWORD_SHA512, log_in};
use crate::support::app::{RunningApp, http_client};

struct Caller {
    service: RunningApp,
    client: Client,
    session: String,
}

impl Caller {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let (service, client) = (RunningApp::start(settings), http_client());
        let session = log_in(&client, &service.base()).await;
        Self { service, client, session }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Response {
        let method: Method = method.parse().unwrap();
        let url = format!("{}/zstack/v1{path}", self.service.base());
        let mut request = self.client.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, value.replace("SESSION", &self.session));
        }
        request.send().await.unwrap()
    }

    async fn stop(self) {
        drop(self.client);
        self.service.stop().await;
    }

    /// What the job of an asynchronous call ends with.
    async fn polled(&self, accepted: Response) -> (u16, Value) {
        assert_eq!(accepted.status(), 202);
        let accepted: Value = serde_json::from_str(&accepted.text().await.unwrap()).unwrap();
        let location = accepted["location"].as_str().unwrap();
        for _ in 0..1000 {
            let answer = self.client.get(location).send().await.unwrap();
            let status = answer.status().as_u16();
            let text = answer.text().await.unwrap();
            if status != 202 {
                return (status, serde_json::from_str(&text).unwrap());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the call did not end");
    }
}

const AUTH: (&str, &str) = ("Authorization", "OAuth SESSION");

#[tokio::test]
async fn requests_that_are_wrong_are_told_in_plain_text() {
    let caller = Caller::new(&[]).await;
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(64 * 1024));
    let some = "0".repeat(12) + "4" + "0000000000000000000";
    let actions = format!("/longjobs/{some}/actions");
    let renew = "/accounts/sessions/x/renew";
    let host = ("Host", "a\"b");
    let text = str::to_owned;
    for (method, path, headers, body, status, words) in [
        ("GET", "/longjobs", vec![], text(""), 400, "missing header 'Authorization'"),
        ("POST", "/longjobs", vec![], text("{}"), 400, "missing header 'Authorization'"),
        ("GET", "/images", vec![("Authorization", "Basic x")], text(""), 400, "must be 'OAuth'"),
        ("POST", "/longjobs", vec![AUTH, ("X-Job-UUID", "short")], text("{}"), 400, "X-Job-UUID"),
        ("POST", "/longjobs", vec![AUTH, ("X-Web-Hook", "http://a")], text("{}"), 400, "Web-Hook"),
        ("GET", "/longjobs", vec![AUTH, host], text(""), 400, "Host"),
        ("POST", "/longjobs", vec![AUTH], text("[]"), 400, "not a JSON object"),
        ("POST", "/longjobs", vec![AUTH], text("{"), 400, "not JSON"),
        ("POST", "/longjobs", vec![AUTH], text("{\"params\":7}"), 400, "[params]"),
        ("POST", "/images", vec![AUTH], text("{\"a\":\"\\u0000\"}"), 400, "NUL"),
        ("POST", "/longjobs", vec![AUTH], large, 413, "65536"),
        ("PUT", &actions, vec![AUTH], text("{\"x\":{}}"), 400, "doesn't contain action mapping"),
        ("PUT", renew, vec![AUTH], text("{}"), 400, "doesn't contain action mapping"),
        (
            "PUT",
            "/images/1/actions",
            vec![AUTH],
            text("{\"updateLongJob\":{}}"),
            400,
            "doesn't contain action mapping to the URL[/v1/images/1/actions]",
        ),
        ("GET", "/longjobs?q=name", vec![AUTH], text(""), 400, "query operator"),
        ("GET", "/longjobs?limit=x", vec![AUTH], text(""), 400, "[limit]"),
        ("GET", "/nowhere", vec![], text(""), 404, "no api mapping to /v1/nowhere"),
        ("GET", "/api-jobs/nope", vec![], text(""), 404, "the job has been expired"),
        ("GET", &format!("/api-jobs/{some}"), vec![], text(""), 404, "the job has been expired"),
        ("POST", "/api-jobs/nope", vec![], text(""), 405, "GET"),
        ("PATCH", "/longjobs", vec![AUTH], text(""), 405, "GET, POST"),
    ] {
        let answer = caller.send(method, path, &headers, body).await;
        let at = format!("{method} {path}");
        assert_eq!(answer.status(), status, "{at}");
        assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8", "{at}");
        assert_eq!(answer.headers()["x-request-id"].len(), 32, "{at}");
        let told = answer.text().await.unwrap();
        assert!(told.contains(words), "{at}: {told}");
    }
    caller.stop().await;
}

#[tokio::test]
async fn synchronous_calls_are_refused_with_503() {
    let caller = Caller::new(&[]).await;
    let log_in = json!({"logInByAccount":{"accountName":"admin","password":"x"}}).to_string();
    let nobody = json!({"logInByAccount":{"accountName":"x","password":PASSWORD_SHA512}});
    let no_name = json!({"logInByAccount":{"password":"x"}}).to_string();
    for (method, path, body, code, words) in [
        ("PUT", "/accounts/login", log_in, "ID.1000", "wrong account name or password"),
        ("PUT", "/accounts/login", nobody.to_string(), "ID.1000", "wrong account"),
        ("PUT", "/accounts/login", no_name, "SYS.1007", "field[accountName]"),
        ("GET", "/longjobs?q=nope=1", String::new(), "SYS.1007", "longjob.LongJobInventory"),
        ("GET", "/images?q=nope=1", String::new(), "SYS.1007", "image.ImageInventory"),
        ("GET", "/longjobs?fields=nope", String::new(), "SYS.1007", "field[nope]"),
        ("GET", "/longjobs?groupBy=state", String::new(), "SYS.1007", "groupBy"),
        ("GET", "/task-progresses/nope", String::new(), "SYS.1007", "apiId[nope]"),
        ("GET", "/images/upload-job/details/%00", String::new(), "SYS.1007", "imageId"),
    ] {
        let answer = caller.send(method, path, &[AUTH], body).await;
        assert_eq!(answer.status(), 503, "{path}");
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(answer.as_object().unwrap().len(), 1, "{path}: {answer}");
        assert_eq!(answer["error"]["code"], code, "{path}: {answer}");
        let details = answer["error"]["details"].as_str().unwrap();
        assert!(details.contains(words), "{path}: {details}");
    }
    let wrong = [("Authorization", "OAuth 0123456789abcdef0123456789abcdef")];
    let answer = caller.send("GET", "/images", &wrong, String::new()).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains("ID.1001"));
    caller.stop().await;
}

#[tokio::test]
async fn asynchronous_calls_are_refused_at_the_poll() {
    let caller = Caller::new(&[]).await;
    let submit = |params: Value| json!({ "params": params }).to_string();
    let job = |data: &str| submit(json!({"jobName":"APIAddImageMsg","jobData":data}));
    let image = r#"{"name":"a","url":"upload://a","format":"raw"}"#;
    let some = "0".repeat(12) + "4000800000000000000" + "0";
    let (actions, nope) = (format!("/longjobs/{some}/actions"), "/longjobs/nope");
    for (method, path, body, code, words) in [
        ("POST", "/longjobs", submit(json!({})), "SYS.1007", "field[jobName]"),
        ("POST", "/longjobs", submit(json!({"jobName":"X"})), "SYS.1007", "X is not an API"),
        ("POST", "/longjobs", submit(json!({"jobName":"APIAddImageMsg"})), "SYS.1007", "jobData"),
        ("POST", "/longjobs", job("{"), "SYS.1007", "not JSON"),
        ("POST", "/longjobs", job("[]"), "SYS.1007", "not a JSON object"),
        ("POST", "/longjobs", job(r#"{"name":{}}"#), "SYS.1007", "does not fit"),
        ("POST", "/longjobs", job(r#"{"url":"upload://a"}"#), "SYS.1007", "field[name]"),
        (
            "POST",
            "/longjobs",
            submit(json!({"jobName":"APIAddImageMsg","jobData":image,"resourceUuid":"../x"})),
            "SYS.1007",
            "resourceUuid",
        ),
        (
            "POST",
            "/longjobs",
            submit(json!({"jobName":"APIAddImageMsg","jobData":image,"name":"x".repeat(256)})),
            "SYS.1007",
            "expected was <= 255, actual was 256",
        ),
        ("POST", "/images", submit(json!({"name":"a"})), "SYS.1007", "field[url]"),
        ("PUT", &actions, json!({"updateLongJob":{}}).to_string(), "SYS.1003", &some),
        ("PUT", &actions, json!({"cancelLongJob":{}}).to_string(), "SYS.1003", "LongJobVO"),
        ("PUT", &actions, json!({"rerunLongJob":{}}).to_string(), "SYS.1003", "LongJobVO"),
        ("PUT", &actions, json!({"cleanLongJob":{}}).to_string(), "SYS.1003", "LongJobVO"),
        ("DELETE", nope, String::new(), "SYS.1003", "invalid value[nope] of field [uuid]"),
        ("DELETE", "/images/x?deleteMode=Y", String::new(), "SYS.1007", "field[deleteMode]"),
        ("DELETE", &format!("/images/{some}"), String::new(), "SYS.1003", "ImageVO"),
        (
            "PUT",
            "/accounts/sessions/0123/renew",
            json!({"renewSession":{"duration":59}}).to_string(),
            "SYS.1007",
            "60 to 31536000",
        ),
    ] {
        let accepted = caller.send(method, path, &[AUTH], body).await;
        let (status, answer) = caller.polled(accepted).await;
        assert_eq!(status, 503, "{path}: {answer}");
        assert_eq!(answer["error"]["code"], code, "{path}: {answer}");
        let details = answer["error"]["details"].as_str().unwrap();
        assert!(details.contains(words), "{path}: {details}");
    }
    // Negative control: the image of the refusals above is taken when nothing is wrong with the rest.
    let accepted = caller.send("POST", "/longjobs", &[AUTH], job(image)).await;
    let (status, answer) = caller.polled(accepted).await;
    assert_eq!((status, &answer["inventory"]["state"]), (200, &json!("Running")), "{answer}");
    caller.stop().await;
}

/// Whoever sends 60 KiB gets a sentence back.
#[tokio::test]
async fn refusals_do_not_grow_with_what_was_sent() {
    let caller = Caller::new(&[]).await;
    let long = "x".repeat(60_000);
    let some = "0".repeat(12) + "4000800000000000000" + "0";
    let (image, actions) = (format!("/images/{some}"), format!("/images/{some}/actions"));
    let params = |params: Value| json!({ "params": params }).to_string();
    let job = |data: Value| params(json!({"jobName":"APIAddImageMsg","jobData":data.to_string()}));
    let add = |field: &str| {
        let mut data = json!({"name":"a","url":"upload://a","format":"raw"});
        data[field] = json!(long);
        data
    };
    let mut asked = vec![
        ("POST", "/longjobs", params(json!({"jobName": &long[..250], "jobData": "{}"}))),
        (
            "POST",
            "/system-tags",
            params(json!({"resourceType":&long[..250],"resourceUuid":"x","tag":"x"})),
        ),
        (
            "POST",
            "/system-tags",
            params(json!({"resourceType":"ImageVO","resourceUuid":&long[..250],"tag":"x"})),
        ),
        (
            "POST",
            "/user-tags",
            params(json!({"resourceType":"ImageVO","resourceUuid":"x","tag":long})),
        ),
        ("PUT", &actions, json!({"updateImage":{"format":long}}).to_string()),
        ("PUT", &actions, json!({"updateImage":{"platform":long}}).to_string()),
        ("PUT", &actions, json!({"updateImage":{"system":long}}).to_string()),
        ("PUT", &actions, json!({"changeImageState":{"stateEvent":&long[..250]}}).to_string()),
        ("DELETE", &image, String::new()),
    ];
    for field in [
        "format",
        "url",
        "mediaType",
        "platform",
        "architecture",
        "resourceUuid",
        "system",
        "virtio",
    ] {
        asked.push(("POST", "/longjobs", job(add(field))));
        asked.push(("POST", "/images", params(add(field))));
    }
    let mode = format!("{image}?deleteMode={}", &long[..15_000]);
    asked.push(("DELETE", &mode, String::new()));
    for (method, path, body) in asked {
        let sent = body.get(..80).unwrap_or(&body).to_owned();
        let accepted = caller.send(method, path, &[AUTH], body).await;
        let (status, answer) = caller.polled(accepted).await;
        assert_eq!(status, 503, "{method} {sent}: {answer}");
        let details = answer["error"]["details"].as_str().unwrap();
        assert!(details.len() < 400, "{method} {sent}: {details}");
    }
    caller.stop().await;
}

#[tokio::test]
async fn answers_to_queries_do_not_grow_with_what_was_asked() {
    let caller = Caller::new(&[]).await;
    let long = "x".repeat(15_000);
    for query in [
        "q=xLONG%3D1",
        "q=size%3DLONG",
        "fields=LONG",
        "sort=LONG",
        "q=name~%3DLONG",
        "deleteMode=LONG",
    ] {
        let path = format!("/images?{}", query.replace("LONG", &long));
        let answer = caller.send("GET", &path, &[AUTH], String::new()).await;
        let text = answer.text().await.unwrap();
        assert!(text.len() < 600, "{query}: {} bytes", text.len());
    }
    caller.stop().await;
}

#[tokio::test]
async fn a_job_uuid_is_taken_once() {
    let caller = Caller::new(&[]).await;
    let uuid = "0123456789ab4def8123456789abcdef";
    let headers = [AUTH, ("X-Job-UUID", uuid)];
    let path = "/longjobs/0123456789ab4def8123456789abcde0";
    let accepted = caller.send("DELETE", path, &headers, String::new()).await;
    assert_eq!(caller.polled(accepted).await, (200, json!({})));
    let again = caller.send("DELETE", path, &headers, String::new()).await;
    assert_eq!(again.status(), 400);
    assert!(again.text().await.unwrap().starts_with(&format!("Duplicate job uuid[{uuid}]")));
    caller.stop().await;
}

#[tokio::test]
async fn upload_urls_follow_the_public_url_and_are_in_no_row() {
    let caller = Caller::new(&[("LONGSHORE_PUBLIC_URL", "https://images.example/up")]).await;
    let image = r#"{"name":"a","url":"upload://upload-url-x","format":"raw"}"#;
    let body = json!({"params":{"jobName":"APIAddImageMsg","jobData":image},
        "systemTags":["uploadImage::a/b"]});
    let uuid = "0123456789ab4def8123456789abcdef";
    let headers = [AUTH, ("X-Job-UUID", uuid)];
    let accepted = caller.send("POST", "/longjobs", &headers, body.to_string()).await;
    let (_, answer) = caller.polled(accepted).await;
    let result: Value =
        serde_json::from_str(answer["inventory"]["jobResult"].as_str().unwrap()).unwrap();
    let polled = result["inventory"]["backupStorageRefs"][0]["installPath"].as_str().unwrap();
    assert!(polled.starts_with("https://images.example/up/imagestore/upload/v1."), "{polled}");
    assert_eq!(result["inventory"]["url"], "upload://upload-url-x");

    let details = "/images/upload-job/details/a%2Fb";
    let answer = caller.send("GET", details, &[AUTH], String::new()).await;
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(answer["existingJobDetails"][0]["imageUploadUrl"], polled);

    let secret = polled.rsplit('/').next().unwrap();
    let id = uuid.parse().unwrap();
    let tell = |_| unreachable!("the call has ended");
    let kept = caller.service.app.calls.look_up(id, tell).await.unwrap();
    let kept = format!("{kept:?}");
    assert!(kept.contains("installPath") && !kept.contains(secret), "{kept}");
    caller.stop().await;
}

#[tokio::test]
async fn browsers_of_named_origins_alone_may_read() {
    let caller = Caller::new(&[("LONGSHORE_HTTP__CORS_ORIGINS", "https://ui.example")]).await;
    for (origin, allowed) in [("https://ui.example", true), ("https://evil.example", false)] {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "PUT")];
        let preflight = caller.send("OPTIONS", "/longjobs", &headers, String::new()).await;
        assert_eq!(preflight.status(), 204);
        let answer = caller.send("GET", "/longjobs", &[AUTH, headers[0]], String::new()).await;
        assert_eq!(answer.status(), 200);
        for response in [preflight, answer] {
            let told = response.headers().get("access-control-allow-origin");
            assert_eq!(told.map(|value| value.to_str().unwrap()), allowed.then_some(origin));
            assert_eq!(response.headers().get("access-control-allow-credentials"), None);
        }
    }
    caller.stop().await;
}
