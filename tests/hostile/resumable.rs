//! tus and IETF requests as no client writes them: every one is refused with its status and words, and no offset moves.

use crate::{
    case::{Case, walk},
    wire::{Then, exchange, request},
    world::{Job, World},
};

/// Texts that are no number of bytes.
const NO_NUMBERS: [&str; 11] =
    ["", "+5", "-1", "5e0", "0x5", "5_0", "5.0", "5 5", "\u{665}", "18446744073709551616", "5, 5"];

fn tus<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut headers =
        vec![("Tus-Resumable", "1.0.0"), ("Content-Type", "application/offset+octet-stream")];
    headers.extend_from_slice(more);
    headers
}

fn ietf<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut headers = vec![("Content-Type", "application/partial-upload")];
    headers.extend_from_slice(more);
    headers
}

/// Numbers that are none, in every header that holds one.
fn numbers(job: &Job) -> Vec<Case> {
    let patch = |headers: &[(&str, &str)]| request("PATCH", &job.path, headers, "678");
    let mut cases = Vec::new();
    for none in NO_NUMBERS {
        let mut case = |name: &str, bytes: Vec<u8>, word: &str| {
            cases.push(Case::new(format!("{name} [{none}]"), bytes, 400, word.to_owned()));
        };
        case("tus offset", patch(&tus(&[("Upload-Offset", none)])), "upload-offset");
        let length = [("Upload-Offset", "5"), ("Upload-Length", none)];
        case("tus length", patch(&tus(&length)), "upload-length");
        let offset = [("Upload-Complete", "?0"), ("Upload-Offset", none)];
        case("ietf offset", patch(&ietf(&offset)), "upload-offset");
        let length = [("Upload-Complete", "?0"), ("Upload-Offset", "5"), ("Upload-Length", none)];
        case("ietf length", patch(&ietf(&length)), "upload-length");
        let version = [
            ("Upload-Complete", "?0"),
            ("Upload-Offset", "5"),
            ("Upload-Draft-Interop-Version", none),
        ];
        case("ietf version", patch(&ietf(&version)), "upload-draft-interop-version");
        let length = [("Upload-Offset", "5"), ("Content-Length", none)];
        case("length of the body", patch(&tus(&length)), "");
    }
    for (name, headers) in [
        ("two offsets", tus(&[("Upload-Offset", "5"), ("Upload-Offset", "6")])),
        (
            "two lengths",
            tus(&[("Upload-Offset", "5"), ("Upload-Length", "10"), ("Upload-Length", "11")]),
        ),
        ("two types", {
            let mut two = tus(&[("Upload-Offset", "5")]);
            two.push(("Content-Type", "application/octet-stream"));
            two
        }),
        ("two methods", {
            tus(&[
                ("Upload-Offset", "5"),
                ("X-HTTP-Method-Override", "PATCH"),
                ("X-HTTP-Method-Override", "DELETE"),
            ])
        }),
        (
            "two checksums",
            tus(&[
                ("Upload-Offset", "5"),
                ("Upload-Checksum", "sha1 AA=="),
                ("Upload-Checksum", "md5 AA=="),
            ]),
        ),
    ] {
        cases.push(Case::new(name, patch(&headers), 400, "twice"));
    }
    let versions = [("Tus-Resumable", "1.0.0"), ("Tus-Resumable", "0.9")];
    cases.push(Case::new("two versions", patch(&versions), 412, "protocol_version"));
    cases
}

/// Bodies whose length is said twice, wrongly, or in pieces that are none.
fn framing(job: &Job) -> Vec<Case> {
    let head = |more: &str| {
        format!(
            "PATCH {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 5\r\n\
             Content-Type: application/offset+octet-stream\r\n{more}\r\n\r\n",
            job.path
        )
    };
    let case = |name: &str, more: &str, body: &str| {
        Case::new(name, format!("{}{body}", head(more)).into_bytes(), 400, "")
    };
    let mut cases = vec![
        case("both", "Content-Length: 1\r\nTransfer-Encoding: chunked", "1\r\nx\r\n0\r\n\r\n"),
        case("two", "Content-Length: 1\r\nContent-Length: 2", "xy"),
        case("the same twice", "Content-Length: 1\r\nContent-Length: 1", "x"),
        case("an unknown encoding", "Transfer-Encoding: gzip", "x"),
        case("chunked, then gzip", "Transfer-Encoding: chunked, gzip", "x"),
    ];
    for (name, body) in [
        ("no hex", "zz\r\nx"),
        ("negative", "-1\r\nx\r\n0\r\n\r\n"),
        ("beyond 64 bits", "FFFFFFFFFFFFFFFFF\r\nx"),
    ] {
        let case = case(name, "Transfer-Encoding: chunked", body);
        cases.push(case.or(0).then(Then::HalfClose));
    }
    let checked =
        "Upload-Checksum: sha1 qUqP5cyxm6YcTAhz05Hph5gvu9M=\r\nTransfer-Encoding: chunked";
    let unknown_length = format!("{}1\r\nx\r\n0\r\n\r\n", head(checked)).into_bytes();
    cases.push(Case::new("a checksum of a body without a length", unknown_length, 411, ""));
    cases
}

#[test]
fn what_no_client_sends_moves_no_offset() {
    let world = World::start(&[]);
    let job = world.submit("resumable", &["imageSize::10".to_owned()]).unwrap();
    let first = request("PATCH", &job.path, &tus(&[("Upload-Offset", "0")]), "12345");
    assert_eq!(exchange(world.address(), &first, Then::Wait).status, 204);
    walk(&world, numbers(&job));
    walk(&world, framing(&job));
    assert_eq!(world.state(&job)["storedBytes"].as_u64(), Some(5));
    // Negative control: the same request without the mistake is taken; what stands behind its announced length is not.
    let head = tus(&[("Upload-Offset", "5"), ("Content-Length", "5")]);
    let longer = request("PATCH", &job.path, &head, "67890and more");
    let answer = exchange(world.address(), &longer, Then::Wait);
    assert_eq!(answer.status, 204, "{}", answer.body);
    let state = world.state(&job);
    assert_eq!(
        (state["storedBytes"].as_u64(), state["state"].as_str()),
        (Some(10), Some("Succeeded"))
    );
    world.end();
}

type Headers<'a> = [(&'a str, &'a str)];

/// A tus creation with the session.
fn creation(world: &World, more: &Headers, body: &str) -> Vec<u8> {
    let authorization = world.authorization();
    let mut headers = vec![("Authorization", &*authorization), ("Tus-Resumable", "1.0.0")];
    headers.extend_from_slice(more);
    request("POST", "/uploads", &headers, body)
}

/// Creations that make nothing, by what they say of their file.
fn creations(world: &World) -> Vec<Case> {
    let keys = |count: usize| (0..count).map(|n| format!("k{n}")).collect::<Vec<_>>().join(",");
    let mut cases = Vec::new();
    for (name, metadata, words) in [
        ("bad base64", "filename Zm9", "upload-metadata"),
        ("no base64", "filename *", "upload-metadata"),
        ("65 keys", &*keys(65), "64 keys"),
        ("10,000 keys", &*keys(10_000), "upload-metadata"),
        ("a key twice", "a Zm9v,a Zm9v", "twice"),
    ] {
        let headers = [("Upload-Length", "10"), ("Upload-Metadata", metadata)];
        cases.push(Case::new(name, creation(world, &headers, ""), 400, words));
    }
    let bytes = ("Content-Type", "application/offset+octet-stream");
    let part = ("Upload-Concat", "partial");
    let two_metadata = [("Upload-Length", "1"), ("Upload-Metadata", "a"), ("Upload-Metadata", "b")];
    for (name, headers, body, status, words) in [
        ("two metadata", &two_metadata[..], "", 400, "twice"),
        ("two lengths", &[("Upload-Length", "1"), ("Upload-Length", "2")], "", 400, "twice"),
        ("a longer body", &[("Upload-Length", "2"), bytes], "123", 400, "bad_range"),
        ("a longer part", &[("Upload-Length", "2"), part, bytes], "123", 400, "bad_range"),
        ("no type", &[("Upload-Length", "3")], "123", 415, "body_type"),
    ] {
        cases.push(Case::new(name, creation(world, headers, body), status, words));
    }
    for none in NO_NUMBERS {
        let length = [("Upload-Length", none)];
        cases.push(Case::new(format!("length [{none}]"), creation(world, &length, ""), 400, ""));
        let name = format!("length of a part [{none}]");
        let length = [("Upload-Length", none), part];
        cases.push(Case::new(name, creation(world, &length, ""), 400, ""));
    }
    cases
}

/// The same, by the parts that they are to be made of.
fn concatenations(world: &World) -> Vec<Case> {
    let part = [("Upload-Length", "3"), ("Upload-Concat", "partial")];
    let part = exchange(world.address(), &creation(world, &part, ""), Then::Wait);
    assert_eq!(part.status, 201, "{}", part.body);
    let line = part.head.lines().find(|line| line.to_ascii_lowercase().starts_with("location:"));
    let unfinished = line.and_then(|line| line.split_once(": ")).expect("a location").1;
    let two = [("Upload-Concat", "partial"), ("Upload-Concat", "final;/a"), ("Upload-Length", "1")];
    let sized = [("Upload-Length", "10"), ("Upload-Concat", "all")];
    let concat = |urls: &str| creation(world, &[("Upload-Concat", &format!("final;{urls}"))], "");
    vec![
        Case::new("two concats", creation(world, &two, ""), 400, "twice"),
        Case::new("no concat", creation(world, &sized, ""), 400, "upload-concat"),
        Case::new("nothing to join", concat(""), 400, "upload-concat"),
        Case::new("an unfinished part", concat(unfinished), 400, "not finished"),
        Case::new("a part that is none", concat("/imagestore/upload/v1.x.y"), 404, "not_found"),
        Case::new("a part elsewhere", concat("http://example.com/a"), 404, "not_found"),
        Case::new("no URL at all", concat("%ff \u{1}"), 400, "").or(404),
        Case::new("10,000 parts", concat(&"/a ".repeat(10_000)), 400, "").or(431),
    ]
}

#[test]
fn what_no_client_makes_is_not_made() {
    let world = World::start_idle(&[]);
    let before = world.app.app.uploads.all_live().len();
    let cases = creations(&world);
    walk(&world, cases);
    assert_eq!(world.app.app.uploads.all_live().len(), before, "an upload is left of one");
    let cases = concatenations(&world);
    walk(&world, cases);
    // The one part that was made to be refused.
    assert_eq!(world.app.app.uploads.all_live().len(), before + 1, "an upload is left of one");
    world.end();
}
