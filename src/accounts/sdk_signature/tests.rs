//! Signatures that Huawei's Python SDK (huaweicloudsdkcore 3.1.219) made, and every way to spoil one.

use super::*;

const NOW_MS: i64 = 1_795_189_122_000; // 2026-11-20T15:38:42Z
const SECRET: &str = "7dHcNQlPp2Ym6hFYpM5fyH8GJDxkrm1x0eZpTYqA";
const ID: &str = "PEFLMMSZBZZKAI7ZYDGT";
const BODY: &str = r#"{"name":"debian","min_disk":40}"#;
const JOBS: &str = "/v1/0123456789abcdef0123456789abcdef/jobs";
const SIGNED: &str = "content-type;host;user-agent;x-project-id;x-sdk-date";

/// A request as it comes over the wire.
#[derive(Clone)]
struct Request {
    method: &'static str,
    path: String,
    query: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
    names: String,
    signature: String,
}

impl Request {
    fn new(method: &'static str, path: &str, signature: &str) -> Self {
        let headers = [
            ("content-type", "application/json"),
            ("host", "127.0.0.1:8111"),
            ("user-agent", "huaweicloud-usdk-python/3.0"),
            ("x-project-id", "0123456789abcdef0123456789abcdef"),
            ("x-sdk-date", "20261120T153842Z"),
        ];
        Self {
            method,
            path: path.to_owned(),
            query: "",
            headers: headers.map(|(name, value)| (name, value.to_owned())).to_vec(),
            body: String::new(),
            names: SIGNED.to_owned(),
            signature: signature.to_owned(),
        }
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.headers.retain(|(there, _)| *there != name);
        self.headers.push((name, value.to_owned()));
    }

    fn read(&self) -> Result<SdkSignedRequest, MalformedSdkSignature> {
        let credentials =
            format!("Access={ID}, SignedHeaders={}, Signature={}", self.names, self.signature);
        self.read_with(&credentials)
    }

    fn read_with(&self, credentials: &str) -> Result<SdkSignedRequest, MalformedSdkSignature> {
        let values = |name: &str| {
            let all = self.headers.iter().filter(|(there, _)| *there == name);
            all.map(|(_, value)| value.clone().into_bytes()).collect()
        };
        let sent = Sent {
            method: self.method,
            path: &self.path,
            query: self.query,
            header: &values,
            body: self.body.as_bytes(),
        };
        SdkSignedRequest::read(credentials, &sent)
    }

    fn holds(&self) -> bool {
        self.read().is_ok_and(|request| request.fits(SECRET) && request.is_of(NOW_MS))
    }
}

fn get() -> Request {
    let path = format!("{JOBS}/00112233445566778899aabbccddeeff");
    Request::new("GET", &path, "5577d129af9af1c87ab6f29883e8f5013e186672916db9f314df8c7add129eef")
}

fn list() -> Request {
    let signature = "fc5a0a8d3c9dafa85162a7cabd06c29be6536590b275995a7a98412b71d23cac";
    let query = "limit=10&name=a%20b%2Bc%2F%E6%97%A5&status=RUNNING";
    Request { query, ..Request::new("GET", JOBS, signature) }
}

fn post() -> Request {
    let signature = "20bef88d3f43260b2bfc9a447715e81dd922d38a95c6836a3c294906b9d69d94";
    let post = Request::new("POST", "/v2/cloudimages/action", signature);
    Request { body: BODY.to_owned(), ..post }
}

fn unsigned_body() -> Request {
    let mut post = post();
    "441223e3752bf3c68d606ab0f7e1b99df05b52c6066f2fab4ff369a9731ee607"
        .clone_into(&mut post.signature);
    post.set("content-type", "text/plain");
    post.set("x-sdk-content-sha256", "UNSIGNED-PAYLOAD");
    "content-type;host;user-agent;x-project-id;x-sdk-content-sha256;x-sdk-date"
        .clone_into(&mut post.names);
    post
}

#[test]
fn what_the_sdk_signed_is_taken() {
    for request in [get(), list(), post(), unsigned_body()] {
        assert!(request.holds(), "{} {}", request.method, request.path);
        assert_eq!(request.read().unwrap().id.as_str(), ID);
    }
    // The order of a query is not signed, nor how it was encoded.
    let same = Request { query: "status=RUNNING&name=a%20b%2bc%2F%e6%97%a5&limit=%310", ..list() };
    assert!(same.holds());
    let mut said = post();
    let hash = hex(&Sha256::digest(BODY));
    said.set("x-sdk-content-sha256", &hash);
    assert!(said.holds(), "a hash that is right may be said");
}

#[test]
fn one_changed_byte_is_enough() {
    // What is signed as a plus sign must not come as what a form reads as a space.
    let query = "limit=10&name=a%20b+c%2F%E6%97%A5&status=RUNNING";
    assert_eq!(Request { query, ..list() }.read(), Err(MalformedSdkSignature::Plus));
    let query = "limit=10&name=a+b%2Bc%2F%E6%97%A5&status=RUNNING";
    assert_eq!(Request { query, ..list() }.read(), Err(MalformedSdkSignature::Plus));
    for request in [get(), list(), post()] {
        let mut changed = Vec::new();
        for digit in [0, 31, 63] {
            let mut other = request.clone();
            let replaced = if other.signature.as_bytes()[digit] == b'0' { "1" } else { "0" };
            other.signature.replace_range(digit..=digit, replaced);
            changed.push(other);
        }
        changed.push(Request { method: "PUT", ..request.clone() });
        changed.push(Request { path: format!("{}0", request.path), ..request.clone() });
        changed.push(Request { query: "limit=11", ..request.clone() });
        changed.push(Request { body: format!("{} ", request.body), ..request.clone() });
        for (name, value) in request.headers.clone() {
            let mut other = request.clone();
            if name != "x-sdk-date" {
                other.set(name, &format!("{value}x"));
                changed.push(other);
            }
        }
        let mut later = request.clone();
        later.set("x-sdk-date", "20261120T153843Z");
        changed.push(later);
        // One header fewer is signed, as whoever replays it might say.
        changed.push(Request { names: "host;x-sdk-date".to_owned(), ..request.clone() });
        for other in changed {
            assert!(!other.holds(), "{} {} {:?}", other.method, other.path, other.headers);
        }
        assert!(!request.read().unwrap().fits("another"));
        assert!(!request.read().unwrap().fits(""));
    }
}

#[test]
fn a_body_is_signed_unless_it_says_otherwise() {
    let other = Request { body: "{}".to_owned(), ..unsigned_body() };
    assert!(other.holds(), "UNSIGNED-PAYLOAD signs no body");
    let mut told = post();
    told.set("x-sdk-content-sha256", "UNSIGNED-PAYLOAD");
    assert!(!told.holds(), "who signed the body cannot be made to have signed none");
    let mut other = post();
    other.set("x-sdk-content-sha256", &hex(&Sha256::digest("another")));
    assert_eq!(other.read(), Err(MalformedSdkSignature::Body));
}

#[test]
fn a_request_is_of_its_quarter_of_an_hour() {
    let request = get().read().unwrap();
    for (offset_ms, expected) in [
        (0, true),
        (900_000, true),
        (-900_000, true),
        (900_001, false),
        (-900_001, false),
        (i64::MIN / 2, false),
    ] {
        assert_eq!(request.is_of(NOW_MS + offset_ms), expected, "{offset_ms}");
    }
    for date in
        ["", "2026-11-20T15:38:42Z", "20261120T153842", "20261320T153842Z", "20261120T153842z"]
    {
        let mut request = get();
        request.set("x-sdk-date", date);
        assert_eq!(request.read(), Err(MalformedSdkSignature::Date), "{date}");
    }
}

#[test]
fn what_has_to_be_signed_is_named() {
    let names = |names: &str| Request { names: names.to_owned(), ..get() }.read();
    assert_eq!(names("x-sdk-date"), Err(MalformedSdkSignature::NotSigned("host")));
    assert_eq!(names("host"), Err(MalformedSdkSignature::NotSigned("x-sdk-date")));
    let absent = Err(MalformedSdkSignature::NotOnce("x-other".to_owned()));
    assert_eq!(names("host;x-other;x-sdk-date"), absent);
    let mut twice = get();
    twice.headers.push(("user-agent", "another".to_owned()));
    assert_eq!(twice.read(), Err(MalformedSdkSignature::NotOnce("user-agent".to_owned())));
    twice.headers.clear();
    assert_eq!(twice.read(), Err(MalformedSdkSignature::NotOnce("x-sdk-date".to_owned())));
}

/// Two headers that differ would otherwise be signed alike.
#[test]
fn a_signed_header_is_utf_8() {
    let credentials =
        format!("Access={ID}, SignedHeaders=host;x-sdk-date;x-a, Signature={}", "0".repeat(64));
    let read = |odd: &[u8]| {
        let values = |name: &str| {
            vec![match name {
                "x-a" => odd.to_vec(),
                "x-sdk-date" => b"20261120T153842Z".to_vec(),
                _ => b"a".to_vec(),
            }]
        };
        let sent = Sent { method: "GET", path: "/", query: "", header: &values, body: b"" };
        SdkSignedRequest::read(&credentials, &sent)
    };
    assert!(read("\u{fffd}".as_bytes()).is_ok());
    for odd in [b"\xff", b"\xfe"] {
        assert_eq!(read(odd), Err(MalformedSdkSignature::NotUtf8("x-a".to_owned())));
    }
}

#[test]
fn what_is_malformed_is_told() {
    let signature = "0".repeat(64);
    let many = vec!["a"; 65].join(";");
    for credentials in [
        String::new(),
        ID.to_owned(),
        format!("Access={ID}, SignedHeaders={SIGNED}"),
        format!("Access={ID}, Signature={signature}"),
        format!("SignedHeaders={SIGNED}, Signature={signature}"),
        format!("Access=a b, SignedHeaders={SIGNED}, Signature={signature}"),
        format!("Access={ID}, SignedHeaders={SIGNED}, Signature={}", &signature[1..]),
        format!("Access={ID}, SignedHeaders={SIGNED}, Signature={}g", &signature[1..]),
        format!("Access={ID}, SignedHeaders=, Signature={signature}"),
        format!("Access={ID}, SignedHeaders=Host;x-sdk-date, Signature={signature}"),
        format!("Access={ID}, SignedHeaders=host;;x-sdk-date, Signature={signature}"),
        format!("Access={ID}, SignedHeaders={many}, Signature={signature}"),
        format!("Access={ID}, SignedHeaders={SIGNED}, Signature={signature}, Access={ID}"),
        format!("Access={ID}, SignedHeaders={SIGNED}, Signature={signature}, Other=1"),
        format!("Access={ID}, SignedHeaders={}, Signature={signature}", "a".repeat(9000)),
    ] {
        let read = get().read_with(&credentials);
        assert_eq!(read, Err(MalformedSdkSignature::Credentials), "{credentials}");
    }
    let path = format!("{JOBS}/%ff");
    assert_eq!(Request { path, ..get() }.read(), Err(MalformedSdkSignature::Encoding));
    assert_eq!(Request { query: "a=%ff", ..get() }.read(), Err(MalformedSdkSignature::Encoding));
}
