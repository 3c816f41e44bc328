//! What was answered, in one line that a person can write down beforehand; and whether the SDKs can read it.

use longshore::{domain::tag::hex, wire::zstack::read_timestamp};
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::world::{Ask, Objects};

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// What an asynchronous call ended with.
    pub(crate) end: Option<Box<Answer>>,
}

/// Codes with the descriptions that belong to them (zstack.md 1.3).
pub(super) const DESCRIPTIONS: [(&str, &str); 13] = [
    ("SYS.1000", "An internal error happened in system"),
    ("SYS.1001", "A message or a operation timeout"),
    ("SYS.1003", "A resource can not be found"),
    ("SYS.1006", "An operation failed"),
    ("SYS.1007", "One or more API argument is invalid"),
    ("SYS.1012", "The management node is unavailable"),
    ("SYS.1016", "An IO error happened"),
    ("ID.1000", "Unable to authenticate a user"),
    ("ID.1001", "The session is invalid, either wrong session id or the session has been expired"),
    ("ID.1002", "No permission to do this operation"),
    ("ID.1003", "The quota is exceeded"),
    ("ID.1006", "There are too many sessions"),
    ("LONG_JOB.1003", "operation is not supported."),
];

/// Java classes that the SDKs know (zstack.md 1.4).
const CLASSES: [&str; 15] = [
    "org.zstack.header.longjob.LongJobInventory",
    "org.zstack.header.image.ImageInventory",
    "org.zstack.header.image.ImageBackupStorageRefInventory",
    "org.zstack.header.image.APIGetUploadImageJobDetailsReply$JobDetails",
    "org.zstack.header.identity.SessionInventory",
    "org.zstack.header.core.progress.TaskProgressInventory",
    "org.zstack.header.storage.backup.BackupStorageInventory",
    "org.zstack.header.identity.AccountInventory",
    "org.zstack.header.tag.SystemTagInventory",
    "org.zstack.header.tag.UserTagInventory",
    "org.zstack.header.scheduler.SchedulerJobInventory",
    "org.zstack.header.scheduler.SchedulerTriggerInventory",
    "org.zstack.header.scheduler.SchedulerJobGroupInventory",
    "org.zstack.header.scheduler.SchedulerJobGroupJobRefInventory",
    "org.zstack.header.scheduler.SchedulerJobHistoryInventory",
];

impl Answer {
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap().to_vec();
        Self { status, headers, body, end: None }
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Where an asynchronous call is polled.
    pub(super) fn location(&self) -> Option<String> {
        let location = self.json()["location"].as_str().map(str::to_owned);
        location.filter(|_| self.status == 202)
    }

    /// The body of a call that went well.
    pub(super) fn result(&self) -> Value {
        let end = self.end.as_deref().unwrap_or(self);
        assert_eq!(end.status, 200, "{}", end.text());
        end.json()
    }

    /// The error of a call that was refused, whenever that was told.
    pub(super) fn error_code(&self) -> Option<String> {
        let end = self.end.as_deref().unwrap_or(self);
        end.json()["error"]["code"].as_str().map(str::to_owned)
    }

    /// The body without what differs from request to request.
    pub(super) fn words_without_request_id(&self) -> String {
        self.text().replace(self.header("x-request-id"), "{request}")
    }

    /// All of the answer that may not depend on whether the objects exist.
    pub(super) fn bare(&self, objects: &Objects) -> String {
        let mut bare = format!("{}\n", self.status);
        let api = self.location().map(|location| location[location.len() - 32..].to_owned());
        let headers = self.headers.iter().filter(|(name, _)| *name != "date");
        let mut headers: Vec<_> = headers
            .filter(|(name, _)| *name != "x-request-id")
            .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
            .collect();
        headers.sort();
        bare.push_str(&headers.concat());
        bare.push_str(&self.words_without_request_id());
        for (name, value) in objects.names() {
            bare = bare.replace(value, name);
        }
        if let Some(api) = api {
            bare = bare.replace(&api, "{call}");
        }
        if let Some(end) = &self.end {
            bare.push_str("\nthen ");
            bare.push_str(&end.bare(objects));
        }
        forget_new(&bare)
    }

    /// The answer in one line.
    pub(super) fn told(&self, objects: &Objects, storage: &str) -> String {
        if let Some(end) = &self.end {
            return format!("{} then {}", self.status, end.told(objects, storage));
        }
        let named = |text: &str| {
            let names = objects.names();
            let text = text.replace(storage, "{storage}");
            names.iter().fold(text, |text, (name, value)| text.replace(value, name))
        };
        let kind = self.header("content-type").split(';').next().unwrap_or_default().to_owned();
        let what = match kind.as_str() {
            _ if self.body.is_empty() => "empty".to_owned(),
            "text/plain" => format!("text: {}", named(self.text().lines().next().unwrap_or(""))),
            "text/html" => "page".to_owned(),
            "application/octet-stream" => format!("{} bytes", self.body.len()),
            "application/problem+json" => named(&problem(&self.json(), "code", "detail")),
            "application/json" => named(&json_told(&self.json())),
            other => format!("{other}: {}", self.text().lines().next().unwrap_or("")),
        };
        format!("{} {what}", self.status)
    }

    /// Panics unless the SDKs can read the answer (zstack.md 1.2, 1.4 and 6).
    pub(crate) fn check_needs(&self, ask: &Ask) {
        let at = format!("{} {}: {}", ask.method, ask.path, self.text());
        assert_eq!(self.header("x-request-id").len(), 32, "{at}");
        if !ask.path.starts_with("/zstack/v1/") {
            return;
        }
        let body = self.json();
        match self.status {
            200 if ask.method == "OPTIONS" => {}
            204 => assert!(ask.method == "OPTIONS", "204 is read by nobody: {at}"),
            200 => assert!(body.is_object(), "{at}"),
            202 if ask.path.contains("/api-jobs/") => assert_eq!(self.body, b"{}", "{at}"),
            202 => check_location(&at, &body, ask),
            503 => check_error(&at, &body),
            400 | 403 | 404 | 405 | 413 | 500 => {
                assert_eq!(self.header("content-type"), "text/plain; charset=utf-8", "{at}");
                assert!(!self.body.is_empty() || ask.method == "HEAD", "{at}");
                assert!(body.is_null(), "plain text, not JSON: {at}");
            }
            other => panic!("a status that no SDK knows: {other}: {at}"),
        }
        check_values(&at, "", &body);
        check_schema(&at, &body, ask);
        if let Some(details) = body.get("existingJobDetails") {
            assert!(details.as_array().is_some_and(|list| !list.is_empty()), "{at}");
        }
        let counted = ask.path.contains("replyWithCount=true") || ask.path.contains("count=true");
        assert!(self.status != 200 || !counted || body["total"].is_u64(), "no total: {at}");
    }
}

fn check_location(at: &str, body: &Value, ask: &Ask) {
    let location = body["location"].as_str().expect(at);
    let (_, id) = location.split_once("/zstack/v1/api-jobs/").expect(at);
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{at}");
    let chosen = ask.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("X-Job-UUID"));
    assert!(chosen.is_none_or(|(_, chosen)| chosen == id), "another call's location: {at}");
    assert_eq!(body["apiTimeout"], 1_800_000, "{at}");
    assert_eq!(body.as_object().unwrap().len(), 2, "{at}");
}

fn check_error(at: &str, body: &Value) {
    assert_eq!(body.as_object().expect(at).len(), 1, "the Go SDK unwraps one key: {at}");
    let error = body["error"].as_object().expect(at);
    for name in error.keys() {
        let known = ["code", "description", "details", "cause"];
        assert!(known.contains(&name.as_str()), "{name}: {at}");
    }
    let found = DESCRIPTIONS.iter().find(|(code, _)| error["code"] == *code);
    let (_, description) = found.unwrap_or_else(|| panic!("no such code in the table: {at}"));
    assert_eq!(error["description"], *description, "{at}");
    assert!(!error["details"].as_str().expect(at).is_empty(), "{at}");
}

/// No nulls, no numbers that are not whole, dates as ZStack writes them.
fn check_values(at: &str, name: &str, value: &Value) {
    match value {
        Value::Null => assert!(name.is_empty(), "{name} is null: {at}"),
        Value::Number(_) if name.ends_with("Date") => panic!("{name} is a number: {at}"),
        Value::Number(number) => assert!(number.is_u64(), "{name}: {number}: {at}"),
        Value::String(text) if name.ends_with("Date") => {
            let is_time = read_timestamp(text, &jiff::tz::TimeZone::UTC).is_some();
            assert!(is_time && text.is_ascii() && !text.starts_with('2'), "{name}: {text}: {at}");
        }
        Value::String(text) if name == "jobResult" || name == "jobData" => {
            let inner = serde_json::from_str(text).unwrap_or_else(|_| panic!("{name}: {at}"));
            check_values(at, "", &inner);
        }
        Value::String(_) | Value::Bool(_) => {}
        Value::Array(list) => list.iter().for_each(|value| check_values(at, name, value)),
        Value::Object(object) => {
            object.iter().for_each(|(name, value)| check_values(at, name, value));
        }
    }
}

/// The Java SDK throws on a path that is not in the body, and delivers maps for an element without a path.
fn check_schema(at: &str, body: &Value, ask: &Ask) {
    let asked = ask.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("X-JSON-Schema"));
    let Some(schema) = body.get("schema") else {
        let is_query = body.get("inventories").is_some() && !ask.path.contains("/task-progresses/");
        assert!(!is_query, "a query without a schema: {at}");
        let is_reply = ask.path.contains("/api-jobs/") || body.get("location").is_some();
        assert!(!asked || is_reply || body.get("error").is_some() || !body.is_object(), "{at}");
        return;
    };
    let schema = schema.as_object().expect(at);
    for (path, class) in schema {
        let mut found = body;
        for step in path.replace('[', ".").replace(']', "").split('.') {
            found = step.parse::<usize>().map_or_else(|_| &found[step], |index| &found[index]);
        }
        assert!(found.is_object(), "the schema names {path}, which is not there: {at}");
        assert!(CLASSES.contains(&class.as_str().expect(at)), "{class}: {at}");
    }
    for (name, value) in body.as_object().expect(at) {
        // Numbers and texts have no class.
        let list = value.as_array().into_iter().flatten().enumerate();
        for (index, _) in list.filter(|(_, element)| element.is_object()) {
            assert!(schema.contains_key(&format!("{name}[{index}]")), "{name}[{index}]: {at}");
        }
        if name == "inventory" {
            assert!(schema.contains_key("inventory"), "{at}");
        }
    }
}

fn problem(body: &Value, code: &str, words: &str) -> String {
    format!("{}: {}", body[code].as_str().unwrap_or("?"), body[words].as_str().unwrap_or("?"))
}

/// Names of elements, codes of errors, states of uploads; any other JSON as it is.
fn json_told(body: &Value) -> String {
    let name = |element: &Value| {
        let uuid = element["uuid"].as_str().or(element["taskUuid"].as_str());
        uuid.map_or_else(|| element.to_string(), str::to_owned)
    };
    if let Some(list) = body["inventories"].as_array() {
        let names: Vec<_> = list.iter().map(name).collect();
        return format!("inventories: [{}]", names.join(", "));
    }
    if body["inventory"].is_object() {
        return format!("inventory: {}", name(&body["inventory"]));
    }
    if let Some(list) = body["existingJobDetails"].as_array() {
        let names: Vec<_> = list.iter().map(|job| job["longJobUuid"].as_str().unwrap()).collect();
        return format!("existingJobDetails: [{}]", names.join(", "));
    }
    if let Some(told) = ims_told(body) {
        return told;
    }
    if body["error"].is_object() {
        return problem(&body["error"], "code", "details");
    }
    if body.get("retryable").is_some() {
        return format!("slice {}", problem(body, "code", "message"));
    }
    if body.get("uploadUuid").is_some() {
        let (state, offset) = (body["state"].as_str().unwrap_or("?"), &body["offset"]);
        return format!("upload {state} at {offset}");
    }
    if let Some(url) = body["url"].as_str().filter(|_| body["expiresMs"].is_i64()) {
        assert!(url.starts_with("/downloads/v1."), "{url}");
        return "download URL".to_owned();
    }
    if let Some(samples) = body["samples"].as_array() {
        return format!("samples: {}", samples.len());
    }
    if let Some(states) = body["states"].as_array() {
        let told = states.iter().map(|told| {
            let (at_ms, at) = (told["atMs"].as_i64().unwrap(), told["at"].as_str().unwrap());
            assert_eq!(at.parse::<jiff::Timestamp>().unwrap().as_millisecond(), at_ms);
            format!("{} ({})", told["state"].as_str().unwrap(), told["cause"].as_str().unwrap())
        });
        return format!("states: {}", told.collect::<Vec<_>>().join(", "));
    }
    if body.get("checks").is_some() {
        return format!("ready: {}", body["ready"]);
    }
    body.to_string()
}

/// What IMS and Keystone say, in their own forms.
fn ims_told(body: &Value) -> Option<String> {
    let error = &body["error"];
    if error["message"].is_string() {
        return Some(problem(error, "code", "message"));
    }
    if body["error_code"].is_string() && body["request_id"].is_string() {
        return Some(format!("gateway {}", problem(body, "error_code", "error_msg")));
    }
    if let Some(status) = body["status"].as_str() {
        return Some(format!("{} is {status}", body["job_id"].as_str()?));
    }
    if let Some(jobs) = body["jobs"].as_array() {
        return Some(format!("jobs: {}", jobs.len()));
    }
    if let Some(version) = body["version"]["id"].as_str() {
        return Some(format!("keystone {version}"));
    }
    Some(format!("token of {}", body["token"]["project"]["name"].as_str()?))
}

/// New objects have names that nobody can write down beforehand.
pub(super) fn forget_new(told: &str) -> String {
    let is_id = |word: &str| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words = told.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    let forgotten = words.map(|word| {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if is_id(bare) { word.replace(bare, "{new}") } else { word.to_owned() }
    });
    forgotten.collect()
}

#[test]
fn what_the_sdks_cannot_read_is_found() {
    let answer = |status: u16, body: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", hex(&[7; 16]).parse().unwrap());
        Answer { status, headers, body: body.as_bytes().to_vec(), end: None }
    };
    let image = r#"{"uuid":"a","createDate":"Nov 20, 2026 4:05:00 PM"}"#;
    let class = "org.zstack.header.image.ImageInventory";
    let fine = [
        (200, format!(r#"{{"inventories":[{image}],"schema":{{"inventories[0]":"{class}"}}}}"#)),
        (200, r#"{"inventories":[],"schema":{}}"#.to_owned()),
        (503, r#"{"error":{"code":"ID.1000","description":"Unable to authenticate a user","details":"x"}}"#.to_owned()),
    ];
    let broken = [
        (200, format!(r#"{{"inventories":[{image}],"schema":{{}}}}"#)),
        (200, format!(r#"{{"inventories":[{image}]}}"#)),
        (200, format!(r#"{{"inventories":[],"schema":{{"inventories[0]":"{class}"}}}}"#)),
        (200, format!(r#"{{"inventories":[{image}],"schema":{{"inventories[0]":"org.Other"}}}}"#)),
        (200, r#"{"success":true,"existingJobDetails":[]}"#.to_owned()),
        (200, r#"{"a":null}"#.to_owned()),
        (200, r#"{"createDate":"2026-11-20 16:05:00"}"#.to_owned()),
        (200, r#"{"createDate":1795190700000}"#.to_owned()),
        (200, r#"{"a":1.0}"#.to_owned()),
        (200, String::new()),
        (202, r#"{"location":"http://a/api-jobs/1","apiTimeout":1800000}"#.to_owned()),
        (204, String::new()),
        (401, "no".to_owned()),
        (503, r#"{"error":{"code":"ID.1000","description":"Unable to authenticate a user","details":"x"},"b":1}"#.to_owned()),
        (503, r#"{"error":{"code":"ID.1000","description":"Other","details":"x"}}"#.to_owned()),
        (503, r#"{"error":{"code":"ID.9999","description":"Other","details":"x"}}"#.to_owned()),
        (400, r#"{"error":"json"}"#.to_owned()),
    ];
    let ask = Ask::new("GET", "/zstack/v1/images");
    for (status, body) in fine {
        answer(status, &body).check_needs(&ask);
    }
    for (status, body) in broken {
        let answer = answer(status, &body);
        let found = std::panic::catch_unwind(|| answer.check_needs(&ask)).is_err();
        assert!(found, "not found: {status} {body}");
    }
    let counted = Ask::new("GET", "/zstack/v1/images?replyWithCount=true");
    let answer = answer(200, r#"{"inventories":[],"schema":{}}"#);
    assert!(std::panic::catch_unwind(|| answer.check_needs(&counted)).is_err());
}
