//! Our own dialect.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Plane, content, sent, sha256};

#[tokio::test(flavor = "multi_thread")]
async fn pieces_in_any_order_become_an_image() {
    let plane = Plane::start(&[]).await;
    let image = content(300_000);
    let job = plane.submit("pieces", &[]).await;
    let (at, end) = (200_000, 250_000);
    let (status, state) = sent(plane.put(&job.url, at, &image[at..end], image.len())).await;
    assert_eq!(status, 200, "{state}");
    assert_eq!((&state["offset"], &state["storedBytes"]), (&json!(0), &json!(50_000)));
    assert_eq!(state["missing"], json!([{"start": 0, "end": at}, {"start": end, "end": 300_000}]));
    assert_eq!((&state["state"], &state["imageUuid"]), (&json!("Running"), &json!(job.image)));

    let answer = plane.put(&job.url, 0, &image[..100_000], image.len()).send().await.unwrap();
    assert_eq!(answer.headers()["upload-offset"], "100000");
    let head = plane.http.head(&job.url).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["upload-offset"], "100000");
    assert_eq!(head.headers()["upload-length"], "300000");
    assert_eq!(head.headers()["cache-control"], "no-store");

    // The whole again: what is stored is skipped, and the image is Ready when the answer comes.
    let answer = plane.http.put(&job.url).body(image.clone()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&image)));
    assert!(answer.headers()["repr-digest"].to_str().unwrap().starts_with(&digest));
    let state: serde_json::Value = answer.json().await.unwrap();
    assert_eq!((&state["state"], &state["sha256"]), (&json!("Succeeded"), &json!(sha256(&image))));

    // A client that lost that answer sends the last piece again, and asks.
    let (status, _) = sent(plane.put(&job.url, at, &image[at..end], image.len())).await;
    assert_eq!(status, 200);
    assert_eq!(plane.state(&job.url).await["state"], "Succeeded");
    // Nobody is told that other bytes are stored, whose digest they name.
    let other = vec![7; image.len()];
    let other_digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&other)));
    for header in ["content-digest", "repr-digest"] {
        for (digest, code) in [(&other_digest, 400), (&digest, 200)] {
            let whole = plane.put(&job.url, 0, &other, image.len()).header(header, digest);
            assert_eq!(sent(whole).await.0, code, "{header}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checksum_that_differs_counts_nothing() {
    let plane = Plane::start(&[]).await;
    let image = content(100_000);
    let job = plane.submit("checksum", &[]).await;
    let right = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&image[..50_000])));
    let wrong = image[1..50_001].to_vec();
    let request = plane.put(&job.url, 0, &wrong, image.len()).header("content-digest", &right);
    let (status, problem) = sent(request).await;
    assert_eq!((status, &problem["code"]), (400, &json!("checksum_mismatch")), "{problem}");
    assert!(problem["requestId"].as_str().is_some_and(|id| id.len() > 8), "{problem}");
    assert_eq!(plane.state(&job.url).await["storedBytes"], 0);

    let request = plane.put(&job.url, 0, &image[..50_000], image.len());
    let (status, state) = sent(request.header("content-digest", &right)).await;
    assert_eq!((status, &state["offset"]), (200, &json!(50_000)), "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_is_enough() {
    let plane = Plane::start(&[]).await;
    let image = content(70_000);
    let url = plane.url("/uploads/my%20file%2F1.raw?name=First");
    let request = plane.http.put(&url).body(image.clone());
    let answer = plane.with_session(request).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let state: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(state["sha256"], sha256(&image));
    let download = plane.with_session(plane.http.get(plane.url(&location))).send().await.unwrap();
    let name = download.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(name.contains("filename=\"First.raw\""), "{name}");
    assert_eq!(download.bytes().await.unwrap(), image);

    // A part of another one, then the rest by the same URL, without knowing anything else.
    let url = plane.url("/uploads/second");
    let part = plane.with_session(plane.put(&url, 0, &image[..30_000], image.len()));
    let (status, state) = sent(part).await;
    assert_eq!((status, &state["offset"]), (200, &json!(30_000)), "{state}");
    let rest = plane.with_session(plane.http.put(&url).body(image.clone()));
    assert_eq!(sent(rest).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_what_was_declared_is_refused() {
    let plane = Plane::start(&[]).await;
    let image = content(70_000);
    let wrong = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(b"other")));
    let request = plane.http.put(plane.url("/uploads/wrong")).header("repr-digest", wrong);
    let (status, problem) = sent(plane.with_session(request.body(image.clone()))).await;
    assert_eq!(status, 422, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(&sha256(&image)), "{problem}");

    let right = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&image)));
    let request = plane.http.put(plane.url("/uploads/right")).header("repr-digest", right);
    assert_eq!(sent(plane.with_session(request.body(image))).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_to_do() {
    let plane = Plane::start(&[]).await;
    let image = content(1000);
    let job = plane.submit("refusals", &[]).await;
    let (status, _) = sent(plane.put(&job.url, 0, &image[..100], 1000)).await;
    assert_eq!(status, 200);

    let tampered = format!("{}x", job.url);
    let other = "0123456789ab4def8123456789abcdef";
    let put = || plane.put(&job.url, 100, &image[100..200], 1000);
    for (request, status, code) in [
        (plane.http.get(&tampered), 404, "not_found"),
        (
            plane.http.get(plane.url("/imagestore/upload/uploadImage::refusals")),
            401,
            "unauthenticated",
        ),
        (plane.http.put(plane.url("/uploads/x")).body("x"), 401, "unauthenticated"),
        (put().header("x-image-uuid", other), 400, "bad_header"),
        (plane.put(&job.url, 100, &image[100..], 999), 400, "bad_header"),
        (plane.put(&job.url, 0, &image, 2000), 400, "bad_range"),
        (put().header("content-digest", "md5=x"), 400, "bad_header"),
        (put().header("content-encoding", "gzip"), 415, "body_type"),
        (plane.http.patch(&job.url).header("tus-resumable", "1.0.0"), 415, "body_type"),
        (plane.http.patch(&job.url), 412, "protocol_version"),
        (plane.http.put(&job.url).header("content-length", "0"), 400, "bad_range"),
    ] {
        let (actual, problem) = sent(request).await;
        assert_eq!((actual, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
    }
    let (status, problem) = sent(
        plane.http.put(&job.url).header("content-range", "bytes 990-1009/*").body(vec![0; 20]),
    )
    .await;
    assert_eq!((status, &problem["code"]), (416, &json!("bad_range")), "{problem}");
    assert_eq!(plane.state(&job.url).await["storedBytes"], 100, "nothing of it was stored");

    plane.act(&job, "suspendLongJob").await;
    let (status, problem) = sent(put()).await;
    assert_eq!((status, &problem["code"]), (409, &json!("suspended")), "{problem}");
    assert_eq!(plane.state(&job.url).await["offset"], 100, "asking works while it is suspended");
    plane.act(&job, "resumeLongJob").await;
    assert_eq!(sent(put()).await.0, 200);

    assert_eq!(plane.http.delete(&job.url).send().await.unwrap().status(), 204);
    for request in [put(), plane.http.get(&job.url), plane.http.delete(&job.url)] {
        let (status, problem) = sent(request).await;
        assert_eq!((status, &problem["code"]), (410, &json!("gone")), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_upload_is_deleted_by_its_owner_alone() {
    let plane = Plane::start(&[]).await;
    let image = content(1000);
    let job = plane.submit("owner", &[]).await;
    assert_eq!(sent(plane.put(&job.url, 0, &image, 1000)).await.0, 200);
    let (status, problem) = sent(plane.http.delete(&job.url)).await;
    assert_eq!((status, &problem["code"]), (403, &json!("owner_only")), "{problem}");
    let content = plane.url(&format!("/images/{}/content", job.image));
    let download = || plane.with_session(plane.http.get(&content)).send();
    assert_eq!(download().await.unwrap().status(), 200);
    let deleted = plane.with_session(plane.http.delete(&job.url)).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    assert_eq!(download().await.unwrap().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_digest_is_compared_also_where_it_is_not_configured() {
    let plane = Plane::start(&[("LONGSHORE_DIGESTS__MD5", "false")]).await;
    let image = content(5000);
    let (wrong, right) = (md5::Md5::digest(b"other"), md5::Md5::digest(&image));
    for (name, digest, expected) in [("wrong", wrong, 422), ("right", right, 201)] {
        let digest = format!("md5=:{}:", STANDARD.encode(digest));
        let request = plane.http.put(plane.url(&format!("/uploads/{name}")));
        let request = request.header("repr-digest", digest).body(image.clone());
        let (status, told) = sent(plane.with_session(request)).await;
        assert_eq!(status, expected, "{name}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_unknown_length_ends_where_an_image_may_not_go_on() {
    let plane = Plane::start(&[("LONGSHORE_UPLOADS__UPLOAD_BYTES_MAX", "1MiB")]).await;
    let chunked = |blocks: usize| {
        let blocks = (0..blocks).map(|_| Ok::<_, std::io::Error>(vec![7_u8; 64 << 10]));
        reqwest::Body::wrap_stream(futures::stream::iter(blocks))
    };
    let url = plane.url("/uploads/endless");
    let endless = plane.with_session(plane.http.put(&url).body(chunked(64)));
    let (status, problem) = sent(endless).await;
    assert_eq!((status, &problem["code"]), (413, &json!("too_large")), "{problem}");
    let keyed = plane.url("/imagestore/upload/uploadImage::endless");
    let (_, state) = sent(plane.with_session(plane.http.get(keyed))).await;
    assert!(state["storedBytes"].as_u64().is_some_and(|bytes| bytes <= 1 << 20), "{state}");

    let fits = plane.http.put(plane.url("/uploads/fits")).body(chunked(16));
    assert_eq!(sent(plane.with_session(fits)).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_answers_in_words() {
    let plane = Plane::start(&[]).await;
    for path in ["/", "/healthz", "/readyz", "/metrics"] {
        let head = plane.http.head(plane.url(path)).send().await.unwrap();
        assert_eq!(head.status(), 200, "HEAD {path}");
        let (status, problem) = sent(plane.http.post(plane.url(path))).await;
        assert_eq!((status, &problem["code"]), (405, &json!("method")), "POST {path}");
    }
    let (status, problem) = sent(plane.http.get(plane.url("/nowhere"))).await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")), "{problem}");
    assert!(problem["requestId"].as_str().is_some_and(|id| id.len() > 8), "{problem}");
}

/// Four times the same file at the same moment: one job, and nobody is told that it failed.
#[tokio::test(flavor = "multi_thread")]
async fn one_request_uploads_of_one_file_share_a_job() {
    let plane = Plane::start(&[]).await;
    let image = content(200_000);
    let put = || {
        let request = plane.http.put(plane.url("/uploads/shared")).body(image.clone());
        sent(plane.with_session(request))
    };
    let answers = futures::join!(put(), put(), put(), put());
    let answers = [answers.0, answers.1, answers.2, answers.3];
    assert!(answers.iter().any(|(status, _)| *status == 201), "{answers:?}");
    let images: std::collections::HashSet<_> = answers
        .iter()
        .filter(|(status, _)| (200..300).contains(status))
        .map(|(_, state)| state["imageUuid"].as_str().unwrap().to_owned())
        .collect();
    let jobs = plane.url("/zstack/v1/longjobs?count=true");
    let (_, counted) = sent(plane.with_session(plane.http.get(jobs))).await;
    // Who came when the image was Ready already has made another.
    let told = counted["total"].to_string().parse::<usize>().unwrap();
    assert_eq!(told, images.len(), "{counted} {answers:?}");
    for (status, answer) in &answers {
        assert!(matches!(status, 200..=202 | 409 | 503), "{status} {answer}");
    }
    plane.app.stop().await;
}
