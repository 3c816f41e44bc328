//! Recorded calls, replayed: identifiers of the record are bound to those of the running service where they first appear.

use std::collections::HashMap;

use longshore::wire::zstack::read_timestamp;
use serde_json::Value;

/// One recorded step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// A request and the answer to it.
    Call(Call),
    /// Bytes of an image that go to its upload URL.
    Bytes { image: String, offset: usize, size: usize, total: usize },
}

/// A recorded request and its answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) line: usize,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    pub(super) status: u16,
    pub(super) answer: Value,
}

/// Reads a script; panics where it is not well formed.
pub(super) fn read(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(first) = line.strip_prefix("--> ") else { continue };
        let words: Vec<&str> = first.split(' ').collect();
        if let ["BYTES", image, numbers @ ..] = words.as_slice() {
            let numbers: Vec<usize> = numbers.iter().map(|n| n.parse().unwrap()).collect();
            let [offset, size, total] = numbers[..] else { panic!("line {at}") };
            steps.push(Step::Bytes { image: (*image).to_owned(), offset, size, total });
            continue;
        }
        let [method, path] = words[..] else { panic!("line {at}: {line}") };
        let (mut headers, mut body, mut in_body) = (Vec::new(), String::new(), false);
        for (at, line) in lines.by_ref() {
            if let Some(answer) = line.strip_prefix("<-- ") {
                let (status, json) = answer.split_once(' ').unwrap();
                steps.push(Step::Call(Call {
                    line: at + 1,
                    method: method.to_owned(),
                    path: path.to_owned(),
                    headers,
                    body,
                    status: status.parse().unwrap(),
                    answer: match json {
                        "" => Value::Null,
                        json => serde_json::from_str(json).unwrap_or_else(|e| panic!("{at}: {e}")),
                    },
                }));
                break;
            }
            match line.split_once(": ") {
                _ if line.is_empty() => in_body = true,
                Some((name, value)) if !in_body => {
                    headers.push((name.to_owned(), value.to_owned()));
                }
                _ => body.push_str(line),
            }
        }
    }
    steps
}

/// What the names of the record mean in the running service.
#[derive(Debug)]
pub(super) struct Names {
    base: String,
    bound: HashMap<String, String>,
    /// Where the bytes of an image go, as an answer said.
    upload_urls: HashMap<String, String>,
}

const RECORDED_BASE: &str = "http://HOST:8080";
const RECORDED_UPLOAD_URL: &str = "http://HOST:8080/imagestore/upload";

impl Names {
    pub(super) fn new(base: &str) -> Self {
        Self { base: base.to_owned(), bound: HashMap::new(), upload_urls: HashMap::new() }
    }

    pub(super) fn bind(&mut self, recorded: &str, actual: &str) {
        self.bound.insert(recorded.to_owned(), actual.to_owned());
    }

    /// The upload URL that the service gave for an image.
    pub(super) fn upload_url(&self, image: &str) -> &str {
        self.upload_urls.get(image).unwrap_or_else(|| panic!("nobody gave the URL of {image}"))
    }

    /// A recorded text with the names of the running service.
    pub(super) fn translated(&self, recorded: &str) -> String {
        let text = recorded.replace(RECORDED_BASE, &self.base);
        self.bound.iter().fold(text, |text, (from, to)| text.replace(from, to))
    }

    /// Whether an answer is what was recorded: every recorded field is there with the recorded value; more fields may be. At the top, and
    /// in schema maps and errors, nothing else may be.
    pub(super) fn compare(&mut self, path: &str, recorded: &Value, actual: &Value) {
        match (recorded, actual) {
            (Value::String(pattern), actual) if pattern.starts_with('<') => {
                matches_pattern(path, pattern, actual);
            }
            (Value::Object(recorded), Value::Object(actual)) => {
                for (key, value) in recorded {
                    let there = actual.get(key);
                    let there = there.unwrap_or_else(|| panic!("{path}.{key} is missing"));
                    self.compare(&format!("{path}.{key}"), value, there);
                }
                let url = actual.get("imageUploadUrl").or(actual.get("installPath"));
                if let (Some(image), Some(url)) = (actual.get("imageUuid"), url) {
                    let text = |value: &Value| value.as_str().unwrap().to_owned();
                    self.upload_urls.insert(text(image), text(url));
                }
                let exact = path.is_empty() || path == ".schema" || path == ".error";
                for key in actual.keys().filter(|_| exact) {
                    assert!(recorded.contains_key(key), "{path}.{key} was not recorded");
                }
            }
            (Value::Array(recorded), Value::Array(actual)) => {
                assert_eq!(recorded.len(), actual.len(), "{path}: {actual:?}");
                for (index, (recorded, actual)) in recorded.iter().zip(actual).enumerate() {
                    self.compare(&format!("{path}[{index}]"), recorded, actual);
                }
            }
            (Value::String(recorded), Value::String(actual)) => {
                self.compare_text(path, recorded, actual);
            }
            _ => assert_eq!(recorded, actual, "{path}"),
        }
    }

    fn compare_text(&mut self, path: &str, recorded: &str, actual: &str) {
        let utc = jiff::tz::TimeZone::UTC;
        if recorded.starts_with('{') {
            let parse = |text: &str| serde_json::from_str::<Value>(text);
            let inner = parse(actual).unwrap_or_else(|error| panic!("{path}: {error}: {actual}"));
            self.compare(&format!("{path}!"), &parse(recorded).unwrap(), &inner);
        } else if read_timestamp(recorded, &utc).is_some() {
            assert!(read_timestamp(actual, &utc).is_some(), "{path}: {actual} is no timestamp");
            assert!(actual.is_ascii(), "{path}: {actual}");
        } else if recorded == RECORDED_UPLOAD_URL {
            let url = format!("{}/imagestore/upload/v1.", self.base);
            assert!(actual.starts_with(&url), "{path}: {actual} is no upload URL");
        } else {
            for (recorded, actual) in identifiers(recorded).zip(identifiers(actual)) {
                self.bound.entry(recorded.to_owned()).or_insert_with(|| actual.to_owned());
            }
            assert_eq!(self.translated(recorded), actual, "{path}");
        }
    }
}

fn matches_pattern(path: &str, pattern: &str, actual: &Value) {
    let hex = |digits| {
        actual
            .as_str()
            .is_some_and(|text| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let fits = match pattern {
        "<any>" => true,
        "<number>" => actual.is_u64(),
        "<text>" => actual.as_str().is_some_and(|text| !text.is_empty()),
        "<md5>" => hex(32),
        "<sha256>" => hex(64),
        other => panic!("{path}: unknown pattern {other}"),
    };
    assert!(fits, "{path}: {actual} is no {pattern}");
}

/// Every run of exactly 32 hex digits, and the word SESSION.
fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[test]
fn a_difference_is_found() {
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let differs = |recorded: &str, actual: &str| {
        let (recorded, actual) = (parse(recorded), parse(actual));
        std::panic::catch_unwind(|| Names::new("http://a").compare("", &recorded, &actual)).is_err()
    };
    let (one, two) = ("0".repeat(32), "1".repeat(32));
    for (recorded, actual, expected) in [
        (r#"{"a":{"b":1}}"#.to_owned(), r#"{"a":{"b":1,"c":2}}"#.to_owned(), false),
        (r#"{"a":1}"#.to_owned(), r#"{"a":1,"b":2}"#.to_owned(), true),
        (r#"{"a":1}"#.to_owned(), r#"{"a":2}"#.to_owned(), true),
        (r#"{"a":[1]}"#.to_owned(), r#"{"a":[]}"#.to_owned(), true),
        (r#"{"schema":{}}"#.to_owned(), r#"{"schema":{"x":"y"}}"#.to_owned(), true),
        (r#"{"a":"Nov 20, 2026 4:05:00 PM"}"#.to_owned(), r#"{"a":"2026"}"#.to_owned(), true),
        (format!(r#"["{one}","{one}"]"#), format!(r#"["{two}","{two}"]"#), false),
        (format!(r#"["{one}","{one}"]"#), format!(r#"["{two}","{one}"]"#), true),
    ] {
        assert_eq!(differs(&recorded, &actual), expected, "{recorded} {actual}");
    }
}
