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
    // References that are relative to the URL that was asked.
    let folder = &url[..=url.rfind('/').unwrap()];
    let listed = concat.strip_prefix("final;").unwrap().split(' ');
    let listed: Vec<_> = listed.map(|part| path(&format!("{folder}{part}"))).collect();
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

/// Parts are tus's alone. Whoever asks after one is told where it stands; the other dialects cannot continue it, and say who can.
#[tokio::test(flavor = "multi_thread")]
async fn other_dialects_ask_after_a_partial_upload_and_do_not_continue_it() {
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
    let slice = slice.header("x-image-size", 10);
    for (name, request) in [
        ("native PUT", plane.put(&url, 0, b"0123456789", 10)),
        ("IETF PATCH", ietf),
        ("ZStack", slice.body("0123456789")),
    ] {
        let (status, words) = told(request.send().await.unwrap()).await;
        assert_eq!((status, words["code"].as_str()), (403, Some("partial")), "{name}: {words}");
        let words = words.get("detail").or(words.get("message")).and_then(Value::as_str);
        assert!(words.is_some_and(|words| words.contains("only tus can continue it")), "{words:?}");
    }
    assert_eq!(offset(&head(&plane, &url).await), 0, "nothing of it was stored");
    assert_told(&plane, &url, 0, false).await;
    let options = plane.http.request(Method::OPTIONS, &url).send().await.unwrap();
    assert!(
        header(&options, "tus-extension").unwrap().split(',').any(|name| name == "concatenation")
    );
    let sent = patch(&plane, &url, 0, b"0123").send().await.unwrap();
    assert_eq!(sent.status(), 204);
    assert_told(&plane, &url, 4, false).await;
    let sent = patch(&plane, &url, 4, b"456789").send().await.unwrap();
    assert_eq!(sent.status(), 204);
    assert_told(&plane, &url, 10, false).await;
    // Also when it is in an image and not stored apart any more; not when it was removed.
    let joined = join(&plane, &[&url]).send().await.unwrap();
    becomes(&plane, header(&joined, "location").unwrap(), b"0123456789").await;
    assert_told(&plane, &url, 10, true).await;
    let removed = part_of(&plane, b"abc").await;
    assert_eq!(tus(&plane, "DELETE", &removed).send().await.unwrap().status(), 204);
    for request in [
        plane.http.get(&removed),
        plane.http.head(&removed),
        plane.http.head(&removed).header("upload-complete", "?0"),
    ] {
        assert_eq!(request.send().await.unwrap().status(), 410);
    }
    // Its length may not be known yet.
    let deferred = creation(&plane).header("upload-concat", "partial");
    let deferred = deferred.header("upload-defer-length", "1").send().await.unwrap();
    let deferred = plane.http.head(header(&deferred, "location").unwrap()).send().await.unwrap();
    assert_eq!((deferred.status().as_u16(), offset(&deferred)), (200, 0));
    assert_eq!(header(&deferred, "upload-defer-length"), Some("1"));
    assert_eq!(header(&deferred, "upload-complete"), Some("?0"));
}

/// What a partial upload of ten bytes answers to questions in all dialects but its own.
async fn assert_told(plane: &Plane, url: &str, at: u64, is_joined: bool) {
    let complete = if at == 10 { "?1" } else { "?0" };
    let union = plane.http.head(url).send().await.unwrap();
    assert_eq!((union.status().as_u16(), offset(&union)), (200, at));
    for (name, value) in [
        ("upload-length", "10"),
        ("upload-complete", complete),
        ("upload-concat", "partial"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(header(&union, name), Some(value), "{name}");
    }
    for method in [Method::HEAD, Method::GET] {
        let ietf = plane.http.request(method, url).header("upload-draft-interop-version", "8");
        let ietf = ietf.send().await.unwrap();
        assert_eq!((ietf.status().as_u16(), offset(&ietf)), (204, at));
        assert_eq!(header(&ietf, "upload-complete"), Some(complete));
        assert_eq!(header(&ietf, "upload-length"), Some("10"));
        assert!(header(&ietf, "upload-limit").is_some());
    }
    let state = plane.state(url).await;
    assert_eq!((&state["kind"], &state["offset"]), (&"partial".into(), &at.into()), "{state}");
    assert_eq!((&state["length"], &state["isJoined"]), (&10.into(), &is_joined.into()), "{state}");
}

/// Proxies refuse answers with headers of a few KiB: what HEAD tells has a bound, however many parts there are.
#[tokio::test(flavor = "multi_thread")]
async fn the_header_of_many_parts_has_a_bound() {
    let plane = Plane::start(&[]).await;
    let image = content(30);
    for (count, is_listed) in [(20, true), (30, false)] {
        let mut parts = Vec::new();
        for byte in &image[..count] {
            parts.push(part_of(&plane, &[*byte]).await);
        }
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let joined = join(&plane, &parts).send().await.unwrap();
        let url = header(&joined, "location").unwrap().to_owned();
        becomes(&plane, &url, &image[..count]).await;
        let told = head(&plane, &url).await;
        assert_eq!((told.status().as_u16(), offset(&told)), (200, count as u64));
        let concat = header(&told, "upload-concat").unwrap();
        assert!(concat.len() <= 2048, "{} bytes for {count} parts", concat.len());
        let listed = concat.strip_prefix("final;").map_or(0, |parts| parts.split(' ').count());
        assert_eq!(listed, if is_listed { count } else { 0 }, "{concat}");
        assert!(is_listed || concat == "final", "{concat}");
    }
}
