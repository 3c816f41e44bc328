//! ZStack's slices.

use futures::{StreamExt, future::join_all, stream};
use longshore::domain::tag::hex;
use md5::{Digest, Md5};
use reqwest::RequestBuilder;
use serde_json::json;

use super::{Job, Plane, content, sent, sha256};

const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";

fn form(bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; \
         name=\"\"; filename=\"blob\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    [head.as_bytes(), bytes, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat()
}

/// A slice as the web UI sends it.
pub(super) fn slice(
    plane: &Plane,
    url: &str,
    at: usize,
    bytes: &[u8],
    total: usize,
) -> RequestBuilder {
    let range = format!("bytes {at}-{}/{total}", (at + bytes.len()).saturating_sub(1));
    plane
        .http
        .post(url)
        .header("content-type", format!("multipart/form-data; boundary=\"{BOUNDARY}\""))
        .header("x-image-size", total)
        .header("x-slice-offset", at)
        .header("x-slice-size", bytes.len())
        .header("x-slice-index", 7)
        .header("x-slice-hash", hex(&Md5::digest(bytes)))
        .header("x-hash-algorithm", "MD5")
        .header("content-md5", hex(&Md5::digest(bytes)))
        .header("content-range", range)
        .body(form(bytes))
}

#[tokio::test(flavor = "multi_thread")]
async fn four_slices_at_once_in_any_order() {
    let plane = Plane::start(&[]).await;
    let image = content(1_000_000);
    let job = plane.submit("four", &[]).await;
    let mut places: Vec<usize> = (0..image.len()).step_by(70_000).collect();
    places.rotate_left(5);
    for four in places.chunks(4) {
        let sends = four.iter().map(|&at| {
            let bytes = &image[at..image.len().min(at + 70_000)];
            sent(slice(&plane, &job.url, at, bytes, image.len()))
        });
        for (status, body) in join_all(sends).await {
            assert_eq!((status, body), (200, json!("")), "200 with an empty body");
        }
    }
    let state = plane.state(&job.url).await;
    assert_eq!((&state["state"], &state["sha256"]), (&json!("Succeeded"), &json!(sha256(&image))));
    // A slice of a finished upload is answered as stored; one of another image is not.
    let again = slice(&plane, &job.url, 0, &image[..70_000], image.len());
    assert_eq!(sent(again).await.0, 200);
    let (status, body) = sent(slice(&plane, &job.url, 0, &image[..70_000], 70_000)).await;
    // 409 would send the web UI to details, which does not show a job that has ended.
    assert_eq!((status, &body["code"]), (410, &json!("gone")), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_shot_without_content_length() {
    let plane = Plane::start(&[]).await;
    let image = content(400_000);
    let job = plane.submit("one-shot", &[]).await;
    let blocks: Vec<_> = form(&image).chunks(8191).map(<[u8]>::to_vec).collect();
    let body = stream::iter(blocks).map(Ok::<_, std::io::Error>);
    let request = plane
        .http
        .post(&job.url)
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
        .header("x-image-uuid", &job.image)
        .header("x-image-size", image.len())
        .body(reqwest::Body::wrap_stream(body));
    assert_eq!(sent(request).await, (200, json!("")));
    assert_eq!(plane.state(&job.url).await["sha256"], sha256(&image));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_upload_by_its_key_and_by_its_image() {
    let plane = Plane::start(&[]).await;
    let image = content(3000);
    let job = plane.submit("key/1 ü", &[]).await;
    let keyed = plane.url("/imagestore/upload/uploadImage::key%2F1%20%C3%BC");
    let bare = plane.url("/imagestore/upload");
    let first = slice(&plane, &keyed, 0, &image[..1000], 3000);
    assert_eq!(sent(plane.with_session(first)).await.0, 200);
    let second = slice(&plane, &bare, 1000, &image[1000..2000], 3000);
    let second = second.header("x-image-uuid", &job.image);
    assert_eq!(sent(plane.with_session(second)).await.0, 200);
    assert_eq!(plane.state(&job.url).await["offset"], 2000);

    // Neither form lets a stranger in, and neither makes anything.
    for request in [
        slice(&plane, &keyed, 0, &image[..1000], 3000),
        slice(&plane, &bare, 0, &image[..1000], 3000).header("x-image-uuid", &job.image),
    ] {
        assert_eq!(sent(request).await.0, 401);
    }
    let unknown = plane.url("/imagestore/upload/uploadImage::unknown");
    let request = slice(&plane, &unknown, 0, &image[..1000], 3000);
    assert_eq!(sent(plane.with_session(request)).await.0, 404);
    let request = slice(&plane, &bare, 0, &image[..1000], 3000);
    let (status, body) = sent(plane.with_session(request)).await;
    assert!(status == 400 && body["message"].as_str().unwrap().contains("x-image-uuid"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_slices_make_the_web_ui_do_the_right_thing() {
    let plane = Plane::start(&[]).await;
    let image = content(10_000);
    let job = plane.submit("refused", &[]).await;
    let at = |at: usize, end: usize| slice(&plane, &job.url, at, &image[at..end], 10_000);
    assert_eq!(sent(at(0, 1000)).await.0, 200);
    assert_eq!(sent(at(0, 1000)).await.0, 200, "a duplicate");

    let damaged = at(1000, 2000).body(form(&image[1001..2001]));
    let short = at(1000, 2000).body(form(&image[1000..1900]));
    for request in [damaged, short] {
        let (status, body) = sent(request).await;
        assert_eq!((status, &body["retryable"]), (500, &json!(true)), "{body}");
        assert!(body["message"].as_str().is_some_and(|words| !words.is_empty()), "{body}");
    }
    assert_eq!(plane.state(&job.url).await["storedBytes"], 1000, "nothing of them counts");

    let (status, body) = sent(slice(&plane, &job.url, 1000, &image[1000..2000], 20_000)).await;
    assert_eq!((status, &body["serverOffset"]), (409, &json!(1000)), "size changed: {body}");
    let (status, body) = sent(slice(&plane, &job.url, 9500, &image[..1000], 10_000)).await;
    assert!(status == 400 || status == 416 && body["serverOffset"] == 1000, "{status} {body}");
    let no_size = plane.http.post(&job.url).body(image.clone());
    let (status, body) = sent(no_size).await;
    assert!(status == 400 && body["message"].as_str().unwrap().contains("x-image-size"), "{body}");

    plane.act(&job, "suspendLongJob").await;
    let (status, body) = sent(at(1000, 2000)).await;
    assert_eq!((status, &body["code"]), (423, &json!("suspended")), "{body}");
    plane.act(&job, "resumeLongJob").await;
    assert_eq!(sent(at(1000, 2000)).await.0, 200);
    plane.act(&job, "cancelLongJob").await;
    assert_eq!(sent(at(2000, 3000)).await.0, 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_body_is_taken_and_a_wrong_image_is_refused_for_good() {
    let plane = Plane::start(&[]).await;
    let image = content(5000);
    let raw = |job: &Job, bytes: &[u8]| {
        let request = plane.http.post(&job.url).header("content-type", "application/octet-stream");
        request.header("x-image-size", bytes.len()).body(bytes.to_vec())
    };
    let job = plane.submit("raw", &[]).await;
    assert_eq!(sent(raw(&job, &image)).await, (200, json!("")));

    let other = plane.submit("wrong", &[format!("imageSha256::{}", sha256(b"other"))]).await;
    let (status, body) = sent(raw(&other, &image)).await;
    assert_eq!((status, &body["retryable"]), (422, &json!(false)), "{body}");
    assert_eq!(sent(raw(&other, &image)).await.0, 410);
}
