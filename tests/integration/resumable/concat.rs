//! tus concatenation over the wire.

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use super::{created, creation, header, offset, patch, raw::path, tus};
use crate::data_plane::{Plane, content, sha256, told};

fn partial(plane: &Plane, length: usize) -> RequestBuilder {
    creation(plane).header("upload-concat", "partial").header("upload-length", length)
}

/// A finished partial upload of these bytes; its URL.
async fn part_of(plane: &Plane, bytes: &[u8]) -> String {
    let answer = partial(plane, bytes.len()).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{answer:?}");
    let url = header(&answer, "location").unwrap().to_owned();
    let sent = patch(plane, &url, 0, bytes).send().await.unwrap();
    assert_eq!((sent.status().as_u16(), offset(&sent)), (204, bytes.len() as u64));
    url
}

fn join(plane: &Plane, urls: &[&str]) -> RequestBuilder {
    creation(plane).header("upload-concat", format!("final;{}", urls.join(" ")))
}

async fn head(plane: &Plane, url: &str) -> Response {
    tus(plane, "HEAD", url).send().await.unwrap()
}

async fn becomes(plane: &Plane, url: &str, image: &[u8]) {
    let begun = std::time::Instant::now();
    let mut state = plane.state(url).await;
    while state["state"] == "Running" && begun.elapsed().as_secs() < 20 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        state = plane.state(url).await;
    }
    assert_eq!(state["state"], "Succeeded", "{state}");
    assert_eq!((&state["sha256"], &state["length"]), (&sha256(image).into(), &image.len().into()));
}

async fn jobs(plane: &Plane) -> usize {
    let list = plane.with_session(plane.http.get(plane.url("/zstack/v1/longjobs")));
    let list: Value = list.send().await.unwrap().json().await.unwrap();
    list["inventories"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_sent_apart_and_joined_in_the_order_of_the_final_one() {
    let plane = Plane::start(&[]).await;
    let image = content(200_000);
    let metadata = format!("filename {},x", STANDARD.encode("joined.img"));
    // With its first bytes, in two requests, and empty.
    let with = partial(&plane, 50_000)
        .header("upload-metadata", &metadata)
        .header("content-type", "application/offset+octet-stream")
        .body(image[..20_000].to_vec());
    let answer = with.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), offset(&answer)), (201, 20_000));
    assert!(header(&answer, "upload-expires").is_some());
    let first = header(&answer, "location").unwrap().to_owned();
    let told = head(&plane, &first).await;
    assert_eq!((told.status().as_u16(), offset(&told)), (200, 20_000));
    for (name, value) in
        [("upload-concat", "partial"), ("upload-length", "50000"), ("upload-metadata", &metadata)]
    {
        assert_eq!(header(&told, name), Some(value));
    }
    let wrong = patch(&plane, &first, 0, &image[..10]).send().await.unwrap();
    assert_eq!((wrong.status().as_u16(), offset(&wrong)), (409, 20_000));
    let rest = patch(&plane, &first, 20_000, &image[20_000..50_000]).send().await.unwrap();
    assert_eq!((rest.status().as_u16(), offset(&rest)), (204, 50_000));
    let nothing = part_of(&plane, b"").await;
    let last = part_of(&plane, &image[50_000..]).await;
    assert_eq!(jobs(&plane).await, 0, "a partial upload is no job");

    // One URL absolute, the others paths.
    let (nothing, last_path) = (path(&nothing), path(&last));
    let asked = join(&plane, &[&first, &nothing, &last_path]).header("upload-metadata", &metadata);
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(header(&answer, "upload-offset"), None);
    let url = header(&answer, "location").unwrap().to_owned();
    let told = head(&plane, &url).await;
    assert_eq!(header(&told, "upload-length"), Some("200000"));
    assert!(offset(&told) <= 200_000);
    let concat = header(&told, "upload-concat").unwrap().to_owned();
    let listed: Vec<_> = concat.strip_prefix("final;").unwrap().split(' ').map(path).collect();
    assert_eq!(listed, [path(&first), nothing.clone(), last_path.clone()]);
    becomes(&plane, &url, &image).await;
    let told = head(&plane, &url).await;
    assert_eq!((offset(&told), header(&told, "upload-length")), (200_000, Some("200000")));
    assert_eq!(header(&told, "upload-concat"), Some(&*concat));
    let state = plane.state(&url).await;
    let image_uuid = state["imageUuid"].as_str().unwrap();
    let named =
        plane.with_session(plane.http.get(plane.url(&format!("/zstack/v1/images/{image_uuid}"))));
    let named: Value = named.send().await.unwrap().json().await.unwrap();
    assert_eq!(named["inventories"][0]["name"], "joined.img");
    assert_eq!(jobs(&plane).await, 1);
    // The answer was lost, and it is asked for again: as tus-js-client does, which asks for every part first, and sends all of
    // them anew if one of them is not there.
    for (part, length) in [(&first, 50_000), (&last, 150_000)] {
        let told = head(&plane, part).await;
        assert_eq!((told.status().as_u16(), offset(&told)), (200, length));
        assert_eq!(header(&told, "upload-length"), Some(&*length.to_string()));
        let more = patch(&plane, part, 0, b"abc").send().await.unwrap();
        assert_eq!((more.status().as_u16(), offset(&more)), (409, length));
        assert_eq!(tus(&plane, "DELETE", part).send().await.unwrap().status(), 403);
    }
    let again = join(&plane, &[&first, &nothing, &last_path]).header("upload-metadata", &metadata);
    let again = again.send().await.unwrap();
    assert_eq!((again.status().as_u16(), header(&again, "location")), (201, Some(&*url)));
    assert_eq!(jobs(&plane).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_final_upload_takes_no_bytes() {
    let plane = Plane::start(&[]).await;
    let image = content(1000);
    let part = part_of(&plane, &image).await;
    let answer = join(&plane, &[&part]).send().await.unwrap();
    let url = header(&answer, "location").unwrap().to_owned();
    for _ in 0..2 {
        for (at, bytes) in [(0, &image[..]), (1000, b""), (500, &image[500..])] {
            let refused = patch(&plane, &url, at, bytes).send().await.unwrap();
            assert_eq!(refused.status(), 403);
            let words: Value = refused.json().await.unwrap();
            assert_eq!(words["code"], "joined", "{words}");
        }
        becomes(&plane, &url, &image).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_joined_is_refused_in_words() {
    let plane = Plane::start(&[("LONGSHORE_UPLOADS__UPLOAD_BYTES_MAX", "1048576")]).await;
    let image = content(600_000);
    let good = part_of(&plane, &image).await;
    let unfinished = partial(&plane, 10).send().await.unwrap();
    let unfinished = header(&unfinished, "location").unwrap().to_owned();
    let canceled = part_of(&plane, b"abc").await;
    let removed = tus(&plane, "DELETE", &canceled).send().await.unwrap();
    assert_eq!(removed.status(), 204);
    assert_eq!(head(&plane, &canceled).await.status(), 410);
    let whole = created(&plane, 5).await;
    let other = part_of(&plane, &image).await;
    let tampered = format!("{good}x");
    let many = vec!["/a"; 257];
    let with_body = join(&plane, &[&good])
        .header("content-type", "application/offset+octet-stream")
        .body("abc");
    for (name, request, status, code) in [
        ("unfinished", join(&plane, &[&good, &unfinished]), 400, "bad_part"),
        ("canceled", join(&plane, &[&good, &canceled]), 410, "gone"),
        ("an upload of its own", join(&plane, &[&good, &whole]), 400, "bad_part"),
        ("unknown", join(&plane, &[&good, &tampered]), 404, "not_found"),
        ("no URL of ours", join(&plane, &[&good, "https://example.com/"]), 404, "not_found"),
        ("twice", join(&plane, &[&good, &good]), 400, "bad_part"),
        ("too many", join(&plane, &many), 400, "bad_part"),
        ("too large together", join(&plane, &[&good, &other]), 413, "too_large"),
        ("a body", with_body, 400, "bad_header"),
        (
            "without a session",
            tus(&plane, "POST", &plane.url("/uploads"))
                .header("upload-concat", format!("final;{good}")),
            401,
            "unauthenticated",
        ),
    ] {
        let (got, words) = told(request.send().await.unwrap()).await;
        assert_eq!((got, words["code"].as_str()), (status, Some(code)), "{name}: {words}");
        assert!(
            words["detail"].as_str().is_some_and(|detail| detail.ends_with('.')),
            "{name}: {words}"
        );
    }
    // None of that has used it up; once used, it is no other's.
    let answer = join(&plane, &[&good]).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    becomes(&plane, header(&answer, "location").unwrap(), &image).await;
    let (status, words) = told(join(&plane, &[&good, &other]).send().await.unwrap()).await;
    assert_eq!((status, words["code"].as_str()), (400, Some("bad_part")), "{words}");
}

/// Parts are tus's alone: to the other dialects there is no such upload.
#[tokio::test(flavor = "multi_thread")]
async fn other_dialects_find_no_partial_upload() {
    let plane = Plane::start(&[]).await;
    let answer = partial(&plane, 10).send().await.unwrap();
    let url = header(&answer, "location").unwrap().to_owned();
    let ietf = plane
        .http
        .patch(&url)
        .header("content-type", "application/partial-upload")
        .header("upload-offset", 0)
        .header("upload-complete", "?1")
        .body("0123456789");
    let slice = plane.http.post(&url).header("x-slice-offset", 0).header("x-slice-size", 10);
    for (name, request) in [
        ("native GET", plane.http.get(&url)),
        ("native PUT", plane.put(&url, 0, b"0123456789", 10)),
        ("IETF PATCH", ietf),
        ("IETF HEAD", plane.http.head(&url).header("upload-complete", "?0")),
        ("ZStack", slice.body("0123456789")),
    ] {
        let status = request.send().await.unwrap().status();
        assert!(status.is_client_error(), "{name}: {status}");
    }
    assert_eq!(offset(&head(&plane, &url).await), 0, "nothing of it was stored");
    let options = plane.http.request(Method::OPTIONS, &url).send().await.unwrap();
    assert!(
        header(&options, "tus-extension").unwrap().split(',').any(|name| name == "concatenation")
    );
    let sent = patch(&plane, &url, 0, b"0123456789").send().await.unwrap();
    assert_eq!(sent.status(), 204);
}
