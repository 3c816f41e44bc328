//! Every number that a client can send, in every form that is none.

use crate::{
    case::{Case, walk},
    queries::encoded,
    wire::{Then, exchange, request},
    world::{Job, World},
};

/// Texts that are no number anywhere, one of them longer than any answer should repeat.
const NONE: [&str; 10] =
    ["", "+1", "-1", "1e3", "0x10", "1_000", "NaN", "1.5", "\u{661}", "1\u{a0}"];
/// Numbers that fit nowhere, or nowhere but in 64 bits without a sign.
const OVER: &str = "18446744073709551616";
const LARGE: &str = "9223372036854775808";

struct Slice<'a> {
    job: &'a Job,
    size: &'a str,
    offset: &'a str,
    length: &'a str,
    more: &'a [(&'a str, &'a str)],
}

impl Slice<'_> {
    fn request(&self) -> Vec<u8> {
        let mut headers = vec![
            ("X-IMAGE-SIZE", self.size),
            ("X-SLICE-OFFSET", self.offset),
            ("X-SLICE-SIZE", self.length),
        ];
        headers.extend_from_slice(self.more);
        request("POST", &self.job.path, &headers, "x")
    }
}

fn slice_headers(job: &Job) -> Vec<Case> {
    let slice = Slice { job, size: "1000", offset: "0", length: "1", more: &[] };
    let mut cases = Vec::new();
    for none in NONE.into_iter().chain([OVER]) {
        for (name, bytes) in [
            ("x-image-size", Slice { size: none, ..slice }.request()),
            ("x-slice-offset", Slice { offset: none, ..slice }.request()),
            ("x-slice-size", Slice { length: none, ..slice }.request()),
        ] {
            cases.push(Case::new(format!("{name}: [{none}]"), bytes, 400, name));
        }
        let index = [("X-SLICE-INDEX", none)];
        let bytes = Slice { more: &index, ..slice }.request();
        cases.push(Case::new(format!("an index says nothing: [{none}]"), bytes, 200, ""));
        let length = [("Content-Length", none)];
        let bytes = Slice { more: &length, ..slice }.request();
        cases.push(Case::new(format!("content-length: [{none}]"), bytes, 400, ""));
    }
    for one in [" 1 ", "01", "0000000000000000000000001", "1\t"] {
        let beyond = Slice { size: one, offset: "5", ..slice };
        let fits = Slice { offset: one, length: one, ..slice };
        cases.push(Case::new(format!("one byte in all: [{one}]"), beyond.request(), 416, ""));
        cases.push(Case::new(format!("the second byte: [{one}]"), fits.request(), 200, ""));
    }
    for (name, slice, status) in [
        ("an image of 2^63 bytes", Slice { size: LARGE, ..slice }, 409),
        ("an image of no bytes", Slice { size: "0", ..slice }, 400),
        ("offset 2^63", Slice { offset: LARGE, ..slice }, 416),
        ("a slice of 2^63", Slice { length: LARGE, ..slice }, 416),
        ("a slice of no bytes", Slice { length: "0", ..slice }, 400),
        (
            "offset and slice that overflow",
            Slice { offset: "18446744073709551615", length: "18446744073709551615", ..slice },
            416,
        ),
        ("two offsets", Slice { more: &[("X-SLICE-OFFSET", "7")], ..slice }, 400),
        ("two sizes of the image", Slice { more: &[("X-IMAGE-SIZE", "7")], ..slice }, 400),
        (
            "a range that differs",
            Slice { more: &[("Content-Range", "bytes 1-1/1000")], ..slice },
            400,
        ),
    ] {
        cases.push(Case::new(name, slice.request(), status, ""));
    }
    cases
}

fn ranges(job: &Job) -> Vec<Case> {
    let put = |range: String| request("PUT", &job.path, &[("Content-Range", range.as_str())], "x");
    let mut cases = Vec::new();
    for none in NONE.into_iter().chain([OVER]) {
        for range in [
            format!("bytes {none}-{none}/1000"),
            format!("bytes 0-{none}/1000"),
            format!("bytes 0-0/{none}"),
            format!("bytes={none}-0/1000"),
        ] {
            cases.push(Case::new(range.clone(), put(range), 400, "content-range"));
        }
    }
    for (range, status, words) in [
        ("bytes 0-0/01000", 200, "offset"),
        ("  bytes   0-0/1000  ", 200, "offset"),
        ("BYTES 0-0/*", 200, "offset"),
        ("bytes 0-0/9223372036854775808", 400, "length"),
        ("bytes 9223372036854775808-9223372036854775808/*", 416, "1000"),
        ("bytes 18446744073709551614-18446744073709551614/*", 416, "1000"),
        ("bytes 18446744073709551615-18446744073709551615/*", 400, "content-range"),
        ("bytes 0-1/1000", 400, "content-length"),
        ("bytes 1-0/1000", 400, "content-range"),
        ("bytes 0-0,2-2/1000", 400, "content-range"),
        ("bytes */1000", 400, "content-range"),
        ("bytes 0-0", 400, "content-range"),
        ("bytes", 400, "content-range"),
        ("", 400, "content-range"),
    ] {
        cases.push(Case::new(range, put(range.to_owned()), status, words));
    }
    let twice = [("Content-Range", "bytes 0-0/1000"), ("Content-Range", "bytes 1-1/1000")];
    cases.push(Case::new(
        "two ranges",
        request("PUT", &job.path, &twice, "x"),
        400,
        "content-range",
    ));
    cases
}

fn downloads(world: &World, image: &str) -> Vec<Case> {
    let get = |range: &str| {
        let headers = [("Authorization", world.authorization()), ("Range", range.to_owned())];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        request("GET", &format!("/images/{image}/content"), &headers, "")
    };
    let mut cases = Vec::new();
    for none in NONE.into_iter().filter(|none| !["", "-1"].contains(none)) {
        for range in [format!("bytes={none}-"), format!("bytes=0-{none}"), format!("bytes=-{none}")]
        {
            // What is no range asks for the whole (RFC 9110 14.2); what is no UTF-8 is no header.
            cases.push(Case::new(range.clone(), get(&range), 200, "0123456789"));
        }
    }
    for (range, status, words) in [
        ("bytes=1-1", 206, "bytes 1-1/10"),
        ("bytes=01-0000000000000000000001", 206, "bytes 1-1/10"),
        (&*format!("bytes=0-{OVER}"), 206, "bytes 0-9/10"),
        (&*format!("bytes={OVER}-"), 416, "bytes */10"),
        (&*format!("bytes={LARGE}-"), 416, "bytes */10"),
        (&*format!("bytes=-{OVER}"), 206, "bytes 0-9/10"),
        ("bytes=-0", 416, "bytes */10"),
        ("bytes=10-", 416, "bytes */10"),
        ("bytes=9-1", 200, "0123456789"),
        ("bytes=--1", 200, "0123456789"),
        (&*format!("bytes={}", "0-0,".repeat(2000)), 200, "0123456789"),
    ] {
        let name: String = range.chars().take(40).collect();
        cases.push(Case::new(name, get(range), status, words));
    }
    cases
}

/// Numbers of the control plane: in query strings, in tags, in fields, in headers.
fn control(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    for none in NONE.into_iter().chain([OVER, LARGE]) {
        for name in ["limit", "start"] {
            let path = format!("/zstack/v1/longjobs?{name}={}", encoded(none));
            let bytes = world.request("GET", &path, "");
            cases.push(Case::new(format!("{name}=[{none}]"), bytes, 400, format!("[{name}]")));
        }
        let headers =
            [("Authorization", world.authorization()), ("X-API-Timeout", none.to_owned())];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let bytes = request("GET", "/zstack/v1/longjobs?limit=1", &headers, "");
        // Only calls that are answered later have a time limit.
        cases.push(Case::new(format!("X-API-Timeout: [{none}]"), bytes, 200, "").or(400));
    }
    for (query, status, words) in [
        ("limit=01", 200, "inventories"),
        ("limit=%201%20", 200, "inventories"),
        ("limit=0", 200, "inventories"),
        ("limit=9223372036854775807&start=9223372036854775807", 200, "inventories"),
        ("limit=1&limit=1", 400, "more than one value"),
    ] {
        let bytes = world.request("GET", &format!("/zstack/v1/longjobs?{query}"), "");
        cases.push(Case::new(query, bytes, status, words));
    }
    cases
}

#[test]
fn numbers_that_are_none_are_refused_by_name() {
    let world = World::start(&[]);
    let job = world.submit("numbers", &["imageSize::1000".to_owned()]).unwrap();
    let mut cases = slice_headers(&job);
    cases.extend(ranges(&job));
    cases.extend(control(&world));
    walk(&world, cases);
    let state = world.state(&job);
    assert_eq!((state["length"].as_u64(), state["storedBytes"].as_u64()), (Some(1000), Some(2)));

    let put = world.request("PUT", "/uploads/ten", "0123456789");
    let answer = exchange(world.address(), &put, Then::Wait);
    let stored: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    walk(&world, downloads(&world, stored["imageUuid"].as_str().unwrap()));
    world.end();
}

#[test]
fn numbers_in_tags_are_digits() {
    let world = World::start(&[]);
    for none in NONE.into_iter().chain([OVER, " 1 "]) {
        let refused = world.submit("tagged", &[format!("imageSize::{none}")]).unwrap_err();
        assert!(refused.contains("imageSize") && refused.contains("SYS.1007"), "{none}: {refused}");
    }
    for (size, words) in [(LARGE, "SYS.1007"), ("18446744073709551615", "SYS.1007")] {
        let refused = world.submit("tagged", &[format!("imageSize::{size}")]).unwrap_err();
        assert!(refused.contains(words), "{size}: {refused}");
    }
    let both = ["imageSize::5".to_owned(), "imageSize::6".to_owned()];
    assert!(world.submit("tagged", &both).unwrap_err().contains("twice"));
    let job = world.submit("tagged", &["imageSize::01".to_owned()]).unwrap();
    assert_eq!(world.state(&job)["length"].as_u64(), Some(1));
    world.end();
}
