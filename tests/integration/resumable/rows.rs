//! Rows of the protocols' tables that no other case shows.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Response;
use sha2::{Digest, Sha256};

use super::{
    creation, header, ietf_creation, ietf_patch, offset, patch,
    raw::{Raw, field, path},
    stands, tus,
};
use crate::data_plane::{Plane, content, sha256};

fn location(answer: &Response) -> String {
    assert_eq!(answer.status(), 201, "{answer:?}");
    header(answer, "location").unwrap().to_owned()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)))
}

/// creation-with-upload: a client that waits for 100 before it sends its bytes is told to go on, or is refused before it sends them.
#[tokio::test(flavor = "multi_thread")]
async fn a_tus_creation_that_expects_100() {
    let plane = Plane::start(&[]).await;
    let session = plane.with_session(plane.http.get("http://x")).build().unwrap();
    let session = session.headers()["authorization"].to_str().unwrap().to_owned();
    let head = |length: usize| {
        format!(
            "POST /uploads HTTP/1.1\r\nHost: {}\r\nAuthorization: {session}\r\nTus-Resumable: 1.0.0\r\nUpload-Length: {length}\r\n\
             Content-Type: application/offset+octet-stream\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
            plane.app.address
        )
    };
    let mut raw = Raw::connect(&plane);
    raw.send(head(5));
    assert!(raw.head().starts_with("HTTP/1.1 100"));
    raw.send("12345");
    let (answer, _) = raw.answer();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(field(&answer, "upload-offset"), Some("5"));
    let state = plane.state(field(&answer, "location").unwrap()).await;
    assert_eq!(state["sha256"], sha256(b"12345"), "{state}");
}

/// concatenation: "metadata is not inherited".
#[tokio::test(flavor = "multi_thread")]
async fn what_is_joined_has_no_metadata_of_its_parts() {
    let plane = Plane::start(&[]).await;
    let metadata = format!("filename {}", STANDARD.encode("part.img"));
    let part = creation(&plane).header("upload-concat", "partial").header("upload-length", 3);
    let part = location(&part.header("upload-metadata", &metadata).send().await.unwrap());
    assert_eq!(patch(&plane, &part, 0, b"123").send().await.unwrap().status(), 204);
    let told = tus(&plane, "HEAD", &part).send().await.unwrap();
    assert_eq!(header(&told, "upload-metadata"), Some(&*metadata), "negative control");
    let whole = creation(&plane).header("upload-concat", format!("final;{part}"));
    let whole = location(&whole.send().await.unwrap());
    let told = tus(&plane, "HEAD", &whole).send().await.unwrap();
    assert_eq!(header(&told, "upload-metadata"), None);
}

/// Core: what is unknown or gone has no offset, and another version is not processed.
#[tokio::test(flavor = "multi_thread")]
async fn refused_questions_and_versions() {
    let plane = Plane::start(&[]).await;
    let url = location(&creation(&plane).header("upload-length", 5).send().await.unwrap());
    let unknown = tus(&plane, "HEAD", &format!("{url}x")).send().await.unwrap();
    assert_eq!((unknown.status().as_u16(), header(&unknown, "upload-offset")), (404, None));
    let other = |method: reqwest::Method, url: &str| {
        let request = plane.with_session(plane.http.request(method, url));
        request
            .header("tus-resumable", "0.2.2")
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", 0)
            .header("upload-length", 5)
    };
    for (method, url, bytes) in [
        (reqwest::Method::PATCH, url.clone(), "12345"),
        (reqwest::Method::DELETE, url.clone(), ""),
        (reqwest::Method::HEAD, url.clone(), ""),
        (reqwest::Method::POST, plane.url("/uploads"), "12345"),
    ] {
        let answer = other(method.clone(), &url).body(bytes).send().await.unwrap();
        assert_eq!(answer.status(), 412, "{method}");
        assert_eq!(header(&answer, "tus-version"), Some("1.0.0"), "{method}");
        assert_eq!(header(&answer, "upload-offset"), None, "{method}");
    }
    assert_eq!(stands(&plane, &url).await, 0);
    assert_eq!(plane.app.app.uploads.all_live().len(), 1, "nothing else was made");
    assert_eq!(patch(&plane, &url, 0, b"12345").send().await.unwrap().status(), 204);
}

/// append: "progress 104 with Upload-Offset, never Location"; only to clients that named a version that is spoken.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_is_told_how_far_it_is() {
    let plane = Plane::start(&[
        ("LONGSHORE_STORAGE__CHECKPOINT_BYTES", "1MiB"),
        ("LONGSHORE_STORAGE__WRITEBACK_BYTES", "1MiB"),
    ])
    .await;
    let image = content(6 << 20);
    for version in ["6", "8", "9", "3", ""] {
        let url = location(&ietf_creation(&plane, "?0").send().await.unwrap());
        let named = if version.is_empty() {
            String::new()
        } else {
            format!("Upload-Draft-Interop-Version: {version}\r\n")
        };
        let mut raw = Raw::connect(&plane);
        raw.send(format!(
            "PATCH {} HTTP/1.1\r\nHost: x\r\n{named}Content-Type: application/partial-upload\r\nUpload-Offset: 0\r\n\
             Upload-Complete: ?1\r\nContent-Length: {}\r\n\r\n",
            path(&url),
            image.len()
        ));
        for part in image.chunks(2 << 20) {
            raw.send(part);
            std::thread::sleep(Duration::from_millis(700));
        }
        let mut told = Vec::new();
        let last = loop {
            let head = raw.head();
            if !head.starts_with("HTTP/1.1 104") {
                break head;
            }
            assert_eq!(field(&head, "location"), None, "{head}");
            told.push(field(&head, "upload-offset").unwrap().parse::<u64>().unwrap());
        };
        assert!(last.starts_with("HTTP/1.1 204"), "{version}: {last}");
        assert_eq!(field(&last, "upload-complete"), Some("?1"), "{version}: {last}");
        assert_eq!(told.is_empty(), matches!(version, "3" | ""), "{version}: {told:?}");
        assert!(told.is_sorted_by(|before, after| before < after), "{version}: {told:?}");
        assert!(told.iter().all(|told| (1..=6 << 20).contains(told)), "{version}: {told:?}");
    }
}

/// "Repr-Digest for the whole (mismatch: upload failed)": with ?1, "also when it is an error of the processing".
#[tokio::test(flavor = "multi_thread")]
async fn digests_of_the_whole_and_of_a_request() {
    let plane = Plane::start(&[]).await;
    let image = content(1000);
    let made = ietf_creation(&plane, "?0").header("repr-digest", digest(b"another"));
    let url = location(&made.send().await.unwrap());
    let first = ietf_patch(&plane, &url, 0, &image[..500], "?0").send().await.unwrap();
    assert_eq!(first.status(), 204);
    let last = ietf_patch(&plane, &url, 500, &image[500..], "?1").send().await.unwrap();
    assert_eq!((last.status().as_u16(), header(&last, "upload-complete")), (422, Some("?1")));
    let gone = plane.http.head(&url).header("upload-complete", "?0").send().await.unwrap();
    assert_eq!((gone.status().as_u16(), header(&gone, "upload-offset")), (410, None));
    // Of one request: nothing of it is appended, and a creation leaves nothing behind.
    let wrong = ietf_creation(&plane, "?1").header("content-digest", digest(b"another"));
    let wrong = wrong.body(image.clone()).send().await.unwrap();
    assert_eq!((wrong.status().as_u16(), header(&wrong, "location")), (400, None));
    assert!(plane.app.app.uploads.all_live().is_empty());
    // The digest that was wanted is told.
    let good = ietf_creation(&plane, "?1")
        .header("content-digest", digest(&image))
        .header("want-repr-digest", "sha-256=10")
        .body(image.clone());
    let good = good.send().await.unwrap();
    assert_eq!(good.status(), 201);
    assert!(header(&good, "repr-digest").unwrap().contains(&digest(&image)));
}

/// "max-size broken: 413 + Upload-Limit": also by an append, whether it says how long it is or not.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_is_too_large() {
    let plane = Plane::start(&[("LONGSHORE_UPLOADS__UPLOAD_BYTES_MAX", "1MiB")]).await;
    let image = content((1 << 20) + 1);
    for says_length in [true, false] {
        let url = location(&ietf_creation(&plane, "?0").send().await.unwrap());
        let first = ietf_patch(&plane, &url, 0, &image[..1000], "?0").send().await.unwrap();
        assert_eq!(first.status(), 204);
        let rest = ietf_patch(&plane, &url, 1000, &image[1000..], "?1");
        let rest = if says_length {
            rest
        } else {
            let pieces: Vec<_> =
                image[1000..].chunks(70_000).map(|b| Ok::<_, std::io::Error>(b.to_vec())).collect();
            rest.body(reqwest::Body::wrap_stream(futures::stream::iter(pieces)))
        };
        let answer = rest.send().await.unwrap();
        assert_eq!(answer.status(), 413, "says_length: {says_length}");
        assert_eq!(
            header(&answer, "upload-limit"),
            Some("max-size=1048576, min-size=0, max-age=604800")
        );
        let told = plane.http.head(&url).header("upload-complete", "?0").send().await.unwrap();
        assert_eq!(told.status(), 204, "it is not gone");
        assert!((1000..=1 << 20).contains(&offset(&told)), "{told:?}");
    }
}
