//! What tus requests are refused with: the status and the code of each, and that nothing has changed.

use reqwest::RequestBuilder;
use serde_json::Value;

use super::{created, creation, header, patch, stands, tus};
use crate::data_plane::{Job, Plane};

/// Status, code and words of a refusal; it has to be tus's.
async fn refused(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    assert_eq!(header(&answer, "tus-resumable"), Some("1.0.0"), "{answer:?}");
    let text = answer.text().await.unwrap();
    let problem: Value = serde_json::from_str(&text).unwrap_or_default();
    (status, problem["code"].as_str().unwrap_or_default().to_owned())
}

async fn walk(cases: Vec<(&str, RequestBuilder, u16, &str)>) {
    let mut wrong = Vec::new();
    for (name, request, status, code) in cases {
        let told = refused(request).await;
        if told != (status, code.to_owned()) {
            wrong.push(format!("{name}: {told:?} and not {status} {code}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn creations() {
    let plane = Plane::start(&[("LONGSHORE_UPLOADS__UPLOAD_BYTES_MAX", "1048576")]).await;
    let new = || creation(&plane).header("upload-length", 10);
    let bare = |name: &str, value: &str| creation(&plane).header(name, value);
    let metadata = |value: &str| new().header("upload-metadata", value);
    let with = |bytes: &str| {
        new().header("content-type", "application/offset+octet-stream").body(bytes.to_owned())
    };
    let version = |value: &str| {
        let request = plane.http.post(plane.url("/uploads")).header("tus-resumable", value);
        plane.with_session(request).header("upload-length", 10)
    };
    let plain = plane.with_session(plane.http.post(plane.url("/uploads")));
    let many: Vec<_> = (0..10_000).map(|n| format!("k{n}")).collect();
    walk(vec![
        ("another version", version("0.2.2"), 412, "protocol_version"),
        ("an empty version", version(""), 412, "protocol_version"),
        ("no protocol", plain.header("upload-length", 10), 412, "protocol_version"),
        (
            "no session",
            tus(&plane, "POST", &plane.url("/uploads")).header("upload-length", 10),
            401,
            "unauthenticated",
        ),
        ("no length", creation(&plane), 400, "bad_header"),
        ("two lengths", new().header("upload-defer-length", "1"), 400, "bad_header"),
        ("defer 0", bare("upload-defer-length", "0"), 400, "bad_header"),
        ("defer true", bare("upload-defer-length", "true"), 400, "bad_header"),
        ("negative", bare("upload-length", "-1"), 400, "bad_header"),
        ("signed", bare("upload-length", "+1"), 400, "bad_header"),
        ("2^64", bare("upload-length", "18446744073709551616"), 400, "bad_header"),
        ("empty length", bare("upload-length", ""), 400, "bad_header"),
        ("twice", new().header("upload-length", 11), 400, "bad_header"),
        ("too large", bare("upload-length", "1048577"), 413, "too_large"),
        ("2^63", bare("upload-length", "9223372036854775808"), 413, "too_large"),
        ("bad base64", metadata("filename Zm9"), 400, "bad_header"),
        ("a key twice", metadata("a Zm9v,a Zm9v"), 400, "bad_header"),
        ("an empty key", metadata("a Zm9v,,b Zm9v"), 400, "bad_header"),
        ("10,000 keys", metadata(&many.join(",")), 400, "bad_header"),
        ("a bad imageId", metadata("imageId"), 400, "bad_image_id"),
        ("a bad digest", metadata("md5 Zm9v"), 400, "bad_header"),
        ("an unknown format", metadata("format Zm9v"), 400, "bad_field"),
        ("a longer body", with("12345678901"), 400, "bad_range"),
        ("a body of another type", new().body("12345"), 415, "body_type"),
        ("a compressed body", with("1").header("content-encoding", "gzip"), 415, "body_type"),
        ("a checksum of nothing", with("1").header("upload-checksum", "sha1"), 400, "bad_header"),
        (
            "an unknown checksum",
            with("1").header("upload-checksum", "sha9 AA=="),
            400,
            "bad_header",
        ),
        ("no concatenation", new().header("upload-concat", "whole"), 400, "bad_header"),
        ("nothing to join", bare("upload-concat", "final;"), 400, "bad_header"),
        ("a length to join", new().header("upload-concat", "final;/a"), 400, "bad_header"),
        ("unknown parts", bare("upload-concat", "final;/a /b"), 404, "not_found"),
        (
            "a partial one of no length",
            creation(&plane).header("upload-concat", "partial"),
            400,
            "bad_header",
        ),
    ])
    .await;
    assert!(plane.app.app.uploads.all_live().is_empty(), "no upload is left of any of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_on_an_upload() {
    let plane = Plane::start(&[]).await;
    let url = created(&plane, 10).await;
    assert_eq!(patch(&plane, &url, 0, b"12345").send().await.unwrap().status(), 204);
    let at = |offset: &str| {
        let request = tus(&plane, "PATCH", &url).header("upload-offset", offset);
        request.header("content-type", "application/offset+octet-stream").body("678")
    };
    let typed = |media: &str| {
        let request = tus(&plane, "PATCH", &url).header("upload-offset", 5);
        request.header("content-type", media).body("678")
    };
    let good = || patch(&plane, &url, 5, b"678");
    let version = |method: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        plane.http.request(method, &url).header("tus-resumable", "2.0.0")
    };
    let tampered = format!("{url}x");
    walk(vec![
        ("HEAD of another version", version("HEAD"), 412, ""),
        ("PATCH of another version", version("PATCH"), 412, "protocol_version"),
        ("DELETE of another version", version("DELETE"), 412, "protocol_version"),
        ("PATCH without a version", plane.http.patch(&url), 412, "protocol_version"),
        ("PATCH of an unknown upload", patch(&plane, &tampered, 5, b"678"), 404, "not_found"),
        ("HEAD of an unknown upload", tus(&plane, "HEAD", &tampered), 404, ""),
        ("POST", tus(&plane, "POST", &url), 405, "method"),
        ("PUT", tus(&plane, "PUT", &url), 405, "method"),
        ("no offset", tus(&plane, "PATCH", &url).body("678"), 415, "body_type"),
        ("behind", at("4"), 409, "wrong_offset"),
        ("ahead", at("6"), 409, "wrong_offset"),
        ("far ahead", at("18446744073709551615"), 409, "wrong_offset"),
        ("negative", at("-1"), 400, "bad_header"),
        ("signed", at("+5"), 400, "bad_header"),
        ("2^64", at("18446744073709551616"), 400, "bad_header"),
        ("no number", at("5.0"), 400, "bad_header"),
        ("twice", at("5").header("upload-offset", "6"), 400, "bad_header"),
        ("another type", typed("application/octet-stream"), 415, "body_type"),
        ("IETF's type", typed("application/partial-upload"), 415, "body_type"),
        ("compressed", good().header("content-encoding", "gzip"), 415, "body_type"),
        ("beyond the end", patch(&plane, &url, 5, b"678901"), 400, "bad_range"),
        ("another length", good().header("upload-length", 11), 400, "bad_range"),
        ("no checksum", good().header("upload-checksum", "sha1 "), 400, "bad_header"),
        ("unknown checksum", good().header("upload-checksum", "crc32 AAAAAA=="), 400, "bad_header"),
    ])
    .await;
    assert_eq!(stands(&plane, &url).await, 5, "nothing of it was stored");
    let wrong = at("4").send().await.unwrap();
    assert_eq!(header(&wrong, "upload-offset"), Some("5"));
    let told = version("PATCH").send().await.unwrap();
    assert_eq!(header(&told, "tus-version"), Some("1.0.0"));
    assert_eq!(good().send().await.unwrap().status(), 204, "and it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_user_suspended_takes_no_bytes_and_is_told_of() {
    let plane = Plane::start(&[]).await;
    let job: Job = plane.submit("tus", &["imageSize::10".to_owned()]).await;
    assert_eq!(patch(&plane, &job.url, 0, b"12345").send().await.unwrap().status(), 204);
    plane.act(&job, "suspendLongJob").await;
    let refused = refused(patch(&plane, &job.url, 5, b"678")).await;
    assert_eq!(refused, (403, "suspended".to_owned()));
    assert_eq!(stands(&plane, &job.url).await, 5);
    plane.act(&job, "resumeLongJob").await;
    assert_eq!(patch(&plane, &job.url, 5, b"67890").send().await.unwrap().status(), 204);
}

/// What would make a client start again from the first byte is no answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_cannot_be_answered_now_is_not_answered() {
    let plane = Plane::start(&[]).await;
    let url = created(&plane, 10).await;
    assert_eq!(patch(&plane, &url, 0, b"12345").send().await.unwrap().status(), 204);
    let database = plane.app.data_dir().join("longshore.db");
    let sabotage = sqlx::SqlitePool::connect(&format!("sqlite:{}", database.display())).await;
    let sabotage = sabotage.unwrap();
    sqlx::query("ALTER TABLE long_job RENAME TO away").execute(&sabotage).await.unwrap();
    let error = tus(&plane, "HEAD", &url).send().await.expect_err("no status at all");
    assert!(error.is_request(), "{error:?}");
    // Negative control: it is the database that keeps it from answering, and a PATCH is told so.
    sqlx::query("ALTER TABLE away RENAME TO long_job").execute(&sabotage).await.unwrap();
    assert_eq!(stands(&plane, &url).await, 5);
}
