//! Bodies that go beyond the end of their upload: each is told what is kept, and where to go on.

use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use super::{
    created, creation, header, ietf_patch, offset, patch,
    raw::{Raw, field, path},
    stands, tus,
};
use crate::data_plane::{Plane, content, sha256};

const LENGTH_PROBLEM: &str =
    "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";

async fn part(plane: &Plane, length: usize) -> String {
    let made = creation(plane).header("upload-concat", "partial").header("upload-length", length);
    header(&made.send().await.unwrap(), "location").unwrap().to_owned()
}

/// What a refusal says: its status, its offset, and its problem.
async fn refused(request: RequestBuilder) -> (u16, Option<u64>, Value) {
    let answer = request.send().await.unwrap();
    let at = header(&answer, "upload-offset").map(|at| at.parse().unwrap());
    (answer.status().as_u16(), at, answer.json().await.unwrap())
}

/// A PATCH whose body does not say how long it is, in two pieces; the second is sent when the service has the first.
fn in_pieces(plane: &Plane, head: &str, pieces: [&str; 2]) -> (String, Value) {
    let received = || plane.app.app.uploads.received_bytes();
    let until = received() + pieces[0].len() as u64;
    let mut raw = Raw::connect(plane);
    raw.send(format!("{head}Host: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
    raw.send(format!("{:x}\r\n{}\r\n", pieces[0].len(), pieces[0]));
    let begun = Instant::now();
    while received() < until {
        assert!(begun.elapsed() < Duration::from_secs(10), "the first piece does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
    raw.send(format!("{:x}\r\n{}\r\n0\r\n\r\n", pieces[1].len(), pieces[1]));
    raw.answer()
}

fn tus_head(url: &str, at: u64) -> String {
    format!(
        "PATCH {} HTTP/1.1\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: {at}\r\n",
        path(url)
    )
}

fn ietf_head(url: &str, at: u64) -> String {
    format!(
        "PATCH {} HTTP/1.1\r\nUpload-Complete: ?0\r\nContent-Type: application/partial-upload\r\nUpload-Offset: {at}\r\n",
        path(url)
    )
}

/// A refusal of an upload that goes on says how much of it is kept, and that is true.
fn goes_on(problem: &Value, kept: u64) {
    let words = problem["detail"].as_str().unwrap();
    let told = format!("which has 10 bytes. {kept} bytes from the start on are stored and kept");
    assert!(words.contains(&told), "{words}");
    assert_eq!((&problem["code"], &problem["offset"]), (&"bad_range".into(), &kept.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_tus_the_upload_goes_on_where_it_says() {
    let plane = Plane::start(&[]).await;
    let image = b"1234567890";
    for is_part in [false, true] {
        let url = if is_part { part(&plane, 10).await } else { created(&plane, 10).await };
        let first = patch(&plane, &url, 0, &image[..3]).send().await.unwrap();
        assert_eq!(first.status(), 204);
        // One that says so is refused before its first byte.
        let (status, at, problem) = refused(patch(&plane, &url, 3, b"45678901")).await;
        assert_eq!((status, at), (400, Some(3)), "{problem}");
        goes_on(&problem, 3);
        assert_eq!(stands(&plane, &url).await, 3);
        // Of one that does not, what came before is kept.
        let (head, problem) = in_pieces(&plane, &tus_head(&url, 3), ["4567", "8901"]);
        assert!(head.starts_with("HTTP/1.1 400"), "{head}");
        assert_eq!(field(&head, "upload-offset"), Some("7"), "{head}");
        goes_on(&problem, 7);
        assert_eq!(stands(&plane, &url).await, 7);
        let last = patch(&plane, &url, 7, &image[7..]).send().await.unwrap();
        assert_eq!((last.status().as_u16(), offset(&last)), (204, 10));
        // What has all its bytes takes no more, also as an image.
        for _ in 0..2 {
            let (status, at, problem) = refused(patch(&plane, &url, 10, b"x")).await;
            assert_eq!((status, at), (400, Some(10)), "{problem}");
            let words = problem["detail"].as_str().unwrap();
            assert!(words.contains("has all its 10 bytes"), "{words}");
        }
        if !is_part {
            assert_eq!(plane.state(&url).await["sha256"], sha256(image));
        }
    }
}

/// Of an upload that was just made there is nothing to go on with: it is not left behind, and is not told of.
#[tokio::test(flavor = "multi_thread")]
async fn a_creation_whose_body_goes_beyond_its_length_makes_nothing() {
    let plane = Plane::start(&[]).await;
    let pieces = || {
        let pieces = ["12", "3456"].map(|piece| Ok::<_, std::io::Error>(piece.to_owned()));
        reqwest::Body::wrap_stream(futures::stream::iter(pieces))
    };
    let tus = || {
        creation(&plane)
            .header("content-type", "application/offset+octet-stream")
            .header("upload-length", 5)
    };
    let ietf = plane.with_session(plane.http.post(plane.url("/uploads")));
    let ietf = ietf.header("upload-complete", "?0").header("upload-length", 5);
    for (name, request, kind) in [
        ("tus", tus(), "about:blank"),
        ("a partial one", tus().header("upload-concat", "partial"), "about:blank"),
        ("IETF", ietf, LENGTH_PROBLEM),
    ] {
        let (status, at, problem) = refused(request.body(pieces())).await;
        assert_eq!((status, at), (400, None), "{name}: {problem}");
        assert_eq!(problem["type"], kind, "{name}: {problem}");
        let words = problem["detail"].as_str().unwrap();
        assert!(words.contains("Nothing of it was kept"), "{name}: {words}");
        let left = plane.app.app.uploads.all_live();
        assert!(left.is_empty(), "{name}: {left:?}");
    }
}

async fn ietf(plane: &Plane, length: usize) -> String {
    let made = plane.with_session(plane.http.post(plane.url("/uploads")));
    let made = made.header("upload-complete", "?0").header("upload-length", length);
    header(&made.send().await.unwrap(), "location").unwrap().to_owned()
}

async fn ietf_ask(plane: &Plane, url: &str) -> Response {
    plane.http.head(url).header("upload-complete", "?0").send().await.unwrap()
}

/// The draft has the upload deactivated: it says that it has ended, that its bytes are gone, and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_ietf_draft_the_upload_has_ended_and_says_so() {
    let plane = Plane::start(&[]).await;
    for (complete, says_length) in [("?0", true), ("?1", true), ("?0", false)] {
        let url = ietf(&plane, 10).await;
        let first = ietf_patch(&plane, &url, 0, b"123", "?0").send().await.unwrap();
        assert_eq!(first.status(), 204);
        let job = plane.state(&url).await["jobUuid"].as_str().unwrap().to_owned();
        let (kept, problem) = if says_length {
            let refused = refused(ietf_patch(&plane, &url, 3, b"45678901", complete)).await;
            assert_eq!((refused.0, refused.1), (400, None), "{}", refused.2);
            (3, refused.2)
        } else {
            let (head, problem) = in_pieces(&plane, &ietf_head(&url, 3), ["4567", "8901"]);
            assert!(head.starts_with("HTTP/1.1 400"), "{head}");
            assert_eq!(field(&head, "upload-offset"), None, "{head}");
            (7, problem)
        };
        assert_eq!(
            (&problem["type"], &problem["code"]),
            (&LENGTH_PROBLEM.into(), &"outgrown".into())
        );
        let words = problem["detail"].as_str().unwrap();
        let told =
            format!("has ended and the {kept} bytes that were stored were removed. Start a new");
        assert!(words.contains(&told) && words.contains("announced to have 10"), "{words}");
        assert_eq!(ietf_ask(&plane, &url).await.status(), 410);
        let left = plane.app.app.uploads.all_live();
        assert!(left.is_empty(), "{left:?}");
        let list = plane.with_session(plane.http.get(plane.url("/zstack/v1/longjobs")));
        let list: Value = list.send().await.unwrap().json().await.unwrap();
        let is_it = |one: &&Value| one["uuid"] == job.as_str();
        let job = list["inventories"].as_array().unwrap().iter().find(is_it).unwrap();
        assert_eq!(job["state"], "Failed", "{list}");
        let result = job["jobResult"].as_str().unwrap();
        assert!(
            result.contains("more than the 10 bytes") && result.contains("start a new upload"),
            "{result}"
        );
    }
    // Not so one that has all it can have: nothing of it has changed.
    let image = content(10);
    let url = ietf(&plane, 10).await;
    let last = ietf_patch(&plane, &url, 0, &image, "?1").send().await.unwrap();
    assert_eq!((last.status().as_u16(), offset(&last)), (204, 10));
    let (status, at, problem) = refused(ietf_patch(&plane, &url, 10, b"x", "?1")).await;
    assert_eq!((status, at), (400, Some(10)), "{problem}");
    assert_eq!(problem["type"], LENGTH_PROBLEM, "{problem}");
    let told = ietf_ask(&plane, &url).await;
    assert_eq!((told.status().as_u16(), offset(&told)), (204, 10));
    assert_eq!(tus(&plane, "HEAD", &url).send().await.unwrap().status(), 200);
    assert_eq!(plane.state(&url).await["sha256"], sha256(&image));
}
