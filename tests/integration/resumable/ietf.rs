//! Resumable uploads of the IETF draft.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    header, ietf_creation as creation, ietf_patch as patch, offset,
    raw::{Raw, drip, path},
};
use crate::data_plane::{Plane, content, sha256};

async fn head(plane: &Plane, url: &str) -> Response {
    let request = plane.http.head(url).header("upload-draft-interop-version", "8");
    request.send().await.unwrap()
}

/// Status, offset and whether it is complete.
fn told(answer: &Response) -> (u16, u64, &str) {
    assert_eq!(header(answer, "cache-control"), Some("no-store"));
    (answer.status().as_u16(), offset(answer), header(answer, "upload-complete").unwrap())
}

async fn ready(plane: &Plane, url: &str, image: &[u8]) {
    let state = plane.state(url).await;
    assert_eq!(state["state"], "Succeeded", "{state}");
    assert_eq!(state["sha256"], sha256(image), "{state}");
}

fn digest(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)))
}

const LIMIT: &str = "max-size=17592186044416, min-size=0, max-age=604800";

#[tokio::test(flavor = "multi_thread")]
async fn careful_creation_and_appends() {
    let plane = Plane::start(&[]).await;
    let image = content(300_000);
    let made = creation(&plane, "?0")
        .header("content-disposition", "inline; filename=\"a b.img\"")
        .send()
        .await
        .unwrap();
    assert_eq!(told(&made), (201, 0, "?0"));
    assert_eq!(header(&made, "upload-limit"), Some(LIMIT));
    let url = header(&made, "location").unwrap().to_owned();
    let first = patch(&plane, &url, 0, &image[..100_000], "?0").send().await.unwrap();
    assert_eq!(told(&first), (204, 100_000, "?0"));
    let stands = head(&plane, &url).await;
    assert_eq!(told(&stands), (204, 100_000, "?0"));
    assert_eq!(header(&stands, "upload-limit"), Some(LIMIT));
    assert_eq!(header(&stands, "upload-length"), None, "nobody has said");
    let with_length = patch(&plane, &url, 100_000, &image[100_000..200_000], "?0");
    let second = with_length.header("upload-length", 300_000).send().await.unwrap();
    assert_eq!(told(&second), (204, 200_000, "?0"));
    assert_eq!(header(&head(&plane, &url).await, "upload-length"), Some("300000"));
    let last = patch(&plane, &url, 200_000, &image[200_000..], "?1").send().await.unwrap();
    assert_eq!(told(&last), (204, 300_000, "?1"));
    assert!(header(&last, "repr-digest").unwrap().contains(&digest(&image)));
    ready(&plane, &url, &image).await;
    let images = plane.with_session(plane.http.get(plane.url("/zstack/v1/images")));
    let images: Value = images.send().await.unwrap().json().await.unwrap();
    assert_eq!(images["inventories"][0]["name"], "a b.img");

    // It stays answerable; GET answers as HEAD does.
    let get = plane.http.get(&url).header("upload-draft-interop-version", "9");
    assert_eq!(told(&get.send().await.unwrap()), (204, 300_000, "?1"));
    let nothing = patch(&plane, &url, 300_000, b"", "?1").send().await.unwrap();
    assert_eq!(told(&nothing), (204, 300_000, "?1"));
    let again = patch(&plane, &url, 200_000, &image[200_000..], "?1").send().await.unwrap();
    assert_eq!((again.status().as_u16(), offset(&again)), (409, 300_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn having_all_bytes_completes_nothing() {
    let plane = Plane::start(&[]).await;
    let image = content(1000);
    let made = creation(&plane, "?0").header("upload-length", 1000).body(image.clone());
    let made = made.send().await.unwrap();
    assert_eq!(told(&made), (201, 1000, "?0"));
    let url = header(&made, "location").unwrap().to_owned();
    // Longer than the supervisor waits before it looks whether a last byte was missed.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(plane.state(&url).await["state"], "Running");
    let jobs = &plane.app.app.jobs;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now_ms = now.as_millis() as i64;
    jobs.suspend_silent(now_ms + 60_000).await.unwrap();
    jobs.expire(now_ms).await.unwrap();
    assert_eq!(plane.state(&url).await["state"], "Suspended", "it is not led on");
    assert_eq!(told(&head(&plane, &url).await), (204, 1000, "?0"));
    let said = patch(&plane, &url, 1000, b"", "?1").send().await.unwrap();
    assert_eq!(told(&said), (204, 1000, "?1"));
    ready(&plane, &url, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_file_in_one_request() {
    // An empty file is no image; here it stands for the empty body.
    let plane = Plane::start(&[("LONGSHORE_INSPECT__POLICY", "off")]).await;
    let image = content(100_000);
    for version in [None, Some("6"), Some("3")] {
        let request = creation(&plane, "?1").header("repr-digest", digest(&image));
        let request = match version {
            Some(version) => request.header("upload-draft-interop-version", version),
            None => request,
        };
        let made = request.body(image.clone()).send().await.unwrap();
        assert_eq!(told(&made), (201, 100_000, "?1"));
        assert!(header(&made, "repr-digest").unwrap().contains(&digest(&image)));
        ready(&plane, header(&made, "location").unwrap(), &image).await;
    }
    let pieces: Vec<_> = image.chunks(999).map(|b| Ok::<_, std::io::Error>(b.to_vec())).collect();
    let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    let made = creation(&plane, "?1").body(body).send().await.unwrap();
    assert_eq!(told(&made), (201, 100_000, "?1"));
    ready(&plane, header(&made, "location").unwrap(), &image).await;
    let empty = creation(&plane, "?1").send().await.unwrap();
    assert_eq!(told(&empty), (201, 0, "?1"));
    ready(&plane, header(&empty, "location").unwrap(), b"").await;
    // Not what was declared: the job failed, and the client is told that there is nothing to go on with.
    let wrong = creation(&plane, "?1").header("repr-digest", digest(b"x")).body(image.clone());
    let wrong = wrong.send().await.unwrap();
    assert_eq!((wrong.status().as_u16(), header(&wrong, "upload-complete")), (422, Some("?1")));
}

fn creation_head(plane: &Plane, version: &str, length: usize) -> String {
    let session = plane.with_session(plane.http.get("http://x")).build().unwrap();
    let session = session.headers()["authorization"].to_str().unwrap().to_owned();
    format!(
        "POST /uploads HTTP/1.1\r\nHost: {}\r\nAuthorization: {session}\r\nUpload-Complete: ?1\r\n\
         Upload-Draft-Interop-Version: {version}\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n",
        plane.app.address
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_tell_the_url_first_and_then_how_far_it_is() {
    let plane = Plane::start(&[
        ("LONGSHORE_STORAGE__CHECKPOINT_BYTES", "1MiB"),
        ("LONGSHORE_STORAGE__WRITEBACK_BYTES", "1MiB"),
    ])
    .await;
    let image = content(8 << 20);
    for version in ["6", "8", "9"] {
        let mut raw = Raw::connect(&plane);
        raw.send(creation_head(&plane, version, image.len()));
        let mut url = None;
        let mut go_on = false;
        // Before a byte of the body is sent, in whatever order.
        while url.is_none() || !go_on {
            let head = raw.head();
            go_on |= head.starts_with("HTTP/1.1 100");
            if head.starts_with("HTTP/1.1 104") {
                assert!(head.contains(&format!("Upload-Draft-Interop-Version: {version}\r\n")));
                assert!(head.to_lowercase().contains("upload-limit: max-size="), "{head}");
                let line = head.lines().find_map(|line| line.strip_prefix("Location: "));
                url = line.map(str::to_owned);
            }
            assert!(head.starts_with("HTTP/1.1 10"), "{head}");
        }
        let url = url.unwrap();
        // Not by HEAD: that would take the request for one that has gone silent.
        assert_eq!(plane.state(&url).await["offset"], 0, "it is there already");
        let mut last = 0;
        for part in image.chunks(2 << 20) {
            raw.send(part);
            std::thread::sleep(Duration::from_millis(700));
        }
        let answer = loop {
            let head = raw.head();
            if !head.starts_with("HTTP/1.1 104") {
                break head;
            }
            assert!(!head.contains("Location"), "{head}");
            let line = head.lines().find_map(|line| line.strip_prefix("Upload-Offset: "));
            let offset: u64 = line.unwrap().parse().unwrap();
            assert!(offset > last && offset <= image.len() as u64, "{offset} after {last}");
            last = offset;
        };
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        assert!(last > 0, "it was told how far it is");
        ready(&plane, &url, &image).await;
    }
    // Nobody who did not name a version that is spoken expects them.
    for version in ["3", "99"] {
        let mut raw = Raw::connect(&plane);
        raw.send(creation_head(&plane, version, 5));
        assert!(raw.head().starts_with("HTTP/1.1 100"));
        raw.send("12345");
        assert!(raw.head().starts_with("HTTP/1.1 201"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_its_url_goes_on_after_a_cut() {
    let plane = Plane::start(&[]).await;
    let image = content(100_000);
    let mut raw = Raw::connect(&plane);
    raw.send(creation_head(&plane, "8", image.len()));
    let url = loop {
        let head = raw.head();
        if let Some(url) = head.lines().find_map(|line| line.strip_prefix("Location: ")) {
            break url.to_owned();
        }
    };
    raw.send(&image[..40_000]);
    drop(raw);
    let begun = std::time::Instant::now();
    while offset(&head(&plane, &url).await) < 40_000 {
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    let stands = head(&plane, &url).await;
    assert_eq!(told(&stands), (204, 40_000, "?0"));
    assert_eq!(header(&stands, "upload-length"), Some("100000"), "as its Content-Length said");
    let rest = patch(&plane, &url, 40_000, &image[40_000..], "?1").send().await.unwrap();
    assert_eq!(told(&rest), (204, 100_000, "?1"));
    ready(&plane, &url, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_request_wins() {
    let plane = Plane::start(&[]).await;
    let image = content(3000);
    let made = creation(&plane, "?0").send().await.unwrap();
    let url = header(&made, "location").unwrap().to_owned();
    let mut raw = Raw::connect(&plane);
    raw.send(format!(
        "PATCH {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/partial-upload\r\nUpload-Offset: 0\r\n\
         Upload-Complete: ?1\r\nContent-Length: 3000\r\n\r\n",
        path(&url)
    ));
    let older = drip(raw, image.clone(), Duration::from_millis(10));
    tokio::time::sleep(Duration::from_millis(300)).await;
    // It ends the other one, and is told where to go on from.
    let newer = patch(&plane, &url, 0, &image, "?1").send().await.unwrap();
    assert_eq!(newer.status(), 409);
    let at = offset(&newer) as usize;
    assert!(at > 0 && at < 3000, "{at}");
    let (answer, _) = older.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    assert_eq!(offset(&head(&plane, &url).await) as usize, at, "nothing of it came after that");
    let rest = patch(&plane, &url, at, &image[at..], "?1").send().await.unwrap();
    assert_eq!(told(&rest), (204, 3000, "?1"));
    ready(&plane, &url, &image).await;
}

async fn refused(request: RequestBuilder) -> (u16, Value, Option<String>) {
    let answer = request.send().await.unwrap();
    assert_eq!(header(&answer, "content-type"), Some("application/problem+json"), "{answer:?}");
    let complete = header(&answer, "upload-complete").map(str::to_owned);
    (answer.status().as_u16(), answer.json().await.unwrap(), complete)
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals() {
    let plane = Plane::start(&[("LONGSHORE_UPLOADS__UPLOAD_BYTES_MAX", "1MiB")]).await;
    let made = creation(&plane, "?0").header("upload-length", 10).body("12345").send().await;
    let made = made.unwrap();
    assert_eq!(told(&made), (201, 5, "?0"));
    let url = header(&made, "location").unwrap().to_owned();
    let at = |at, bytes: &str| patch(&plane, &url, at, bytes.as_bytes(), "?0");
    let typed = |media: &str| {
        let request =
            plane.http.patch(&url).header("upload-offset", 5).header("upload-complete", "?0");
        request.header("content-type", media).body("6")
    };
    let part = || plane.http.patch(&url).header("content-type", "application/partial-upload");
    let length = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";
    let position = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset";
    let none = "about:blank";
    for (name, request, status, kind) in [
        ("behind", at(4, "6"), 409, position),
        ("ahead", at(6, "6"), 409, position),
        ("another length", at(5, "6").header("upload-length", 11), 400, length),
        ("the last one, and too short", patch(&plane, &url, 5, b"6", "?1"), 400, length),
        ("another type", typed("application/octet-stream"), 415, none),
        ("tus's type", typed("application/offset+octet-stream"), 415, none),
        ("no offset", part().header("upload-complete", "?0").body("6"), 400, none),
        ("no Upload-Complete", part().header("upload-offset", 5).body("6"), 400, none),
        ("a bad flag", at(5, "6").header("upload-complete", "1"), 400, none),
        ("a bad digest", at(5, "6").header("content-digest", digest(b"7")), 400, none),
        ("an unreadable digest", at(5, "6").header("content-digest", "sha-256=x"), 400, none),
        ("compressed", at(5, "6").header("content-encoding", "gzip"), 415, none),
        ("POST", plane.http.post(&url).header("upload-complete", "?0"), 405, none),
        (
            "creation without a session",
            plane.http.post(plane.url("/uploads")).header("upload-complete", "?0"),
            401,
            none,
        ),
        (
            "creation without Upload-Complete",
            plane
                .with_session(plane.http.post(plane.url("/uploads")))
                .header("upload-draft-interop-version", "6"),
            400,
            none,
        ),
        ("two lengths", creation(&plane, "?1").header("upload-length", 4).body("123"), 400, length),
        (
            "a short length",
            creation(&plane, "?0").header("upload-length", 2).body("123"),
            400,
            length,
        ),
        ("a bad Repr-Digest", creation(&plane, "?0").header("repr-digest", "md5=x"), 400, none),
    ] {
        let (actual, problem, complete) = refused(request).await;
        assert_eq!((actual, problem["type"].as_str()), (status, Some(kind)), "{name}: {problem}");
        if status == 409 {
            assert_eq!(complete.as_deref(), Some("?0"), "{name}");
            assert_eq!(problem["expected-offset"], 5, "{name}");
            assert!(problem["provided-offset"].is_number(), "{name}");
        }
    }
    assert_eq!(told(&head(&plane, &url).await), (204, 5, "?0"), "nothing of it was stored");
    let large = creation(&plane, "?0").header("upload-length", "1048577").send().await.unwrap();
    assert_eq!(large.status(), 413);
    assert_eq!(
        header(&large, "upload-limit"),
        Some("max-size=1048576, min-size=0, max-age=604800")
    );
    let good = patch(&plane, &url, 5, b"67890", "?1").header("content-digest", digest(b"67890"));
    assert_eq!(told(&good.send().await.unwrap()), (204, 10, "?1"));
}

/// The draft has an upload deactivated whose client sends more than it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_outgrows_the_announced_length_ends_the_upload() {
    let plane = Plane::start(&[]).await;
    for says_length in [true, false] {
        let made = creation(&plane, "?0").header("upload-length", 10).send().await.unwrap();
        let url = header(&made, "location").unwrap().to_owned();
        let first = patch(&plane, &url, 0, b"123", "?0").send().await.unwrap();
        assert_eq!(told(&first), (204, 3, "?0"));
        let long = if says_length {
            patch(&plane, &url, 3, b"45678901", "?0")
        } else {
            let pieces = ["4567", "8901"].map(|piece| Ok::<_, std::io::Error>(piece.to_owned()));
            let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
            patch(&plane, &url, 3, b"", "?0").body(body)
        };
        let (status, problem, _) = refused(long).await;
        let kind = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";
        assert_eq!((status, problem["type"].as_str()), (400, Some(kind)), "{problem}");
        assert_eq!(head(&plane, &url).await.status(), 410, "says_length: {says_length}");
        let again = patch(&plane, &url, 3, b"4567890", "?1").send().await.unwrap();
        assert_eq!(again.status(), 410);
        let list = plane.with_session(plane.http.get(plane.url("/zstack/v1/longjobs")));
        let list: Value = list.send().await.unwrap().json().await.unwrap();
        let jobs = list["inventories"].as_array().unwrap();
        assert!(jobs.iter().all(|job| job["state"] == "Failed"), "{list}");
    }
    // Not so an image, which has all it can have.
    let done = creation(&plane, "?1").header("upload-length", 3).body("123").send().await.unwrap();
    let url = header(&done, "location").unwrap().to_owned();
    assert!(patch(&plane, &url, 3, b"4", "?1").send().await.unwrap().status().is_client_error());
    assert_eq!(told(&head(&plane, &url).await), (204, 3, "?1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling() {
    let plane = Plane::start(&[]).await;
    let made = creation(&plane, "?0").header("upload-length", 10).send().await.unwrap();
    let url = header(&made, "location").unwrap().to_owned();
    let gone = plane.http.request(Method::DELETE, &url).header("upload-draft-interop-version", "8");
    assert_eq!(gone.send().await.unwrap().status(), 204);
    assert_eq!(head(&plane, &url).await.status(), 410);
}

/// Slices of another dialect lie ahead: a length that would cut them off is fixed neither in the records nor in the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_length_below_bytes_that_another_dialect_has_stored_is_refused() {
    let plane = Plane::start(&[]).await;
    let image = content(100);
    let made = creation(&plane, "?0").send().await.unwrap();
    let url = header(&made, "location").unwrap().to_owned();
    let ahead = plane.http.put(&url).header("content-range", "bytes 60-79/*");
    let ahead = ahead.body(image[60..80].to_vec()).send().await.unwrap();
    assert!(ahead.status().is_success(), "{ahead:?}");
    for (at, complete) in [(40, "?0"), (40, "?1"), (79, "?0")] {
        let short = patch(&plane, &url, 0, &image[..40], complete).header("upload-length", at);
        assert_eq!(short.send().await.unwrap().status(), 400, "{at} {complete}");
    }
    assert_eq!(told(&head(&plane, &url).await), (204, 0, "?0"));
    let good = patch(&plane, &url, 0, &image, "?1").send().await.unwrap();
    assert_eq!(told(&good), (204, 100, "?1"));
    ready(&plane, &url, &image).await;
}
