//! What a tus client that does everything right is answered.

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Response;
use serde_json::Value;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::{created, creation, header, offset, patch, stands, tus};
use crate::data_plane::{Plane, content, sha256};

fn of_tus(answer: &Response) {
    assert_eq!(header(answer, "tus-resumable"), Some("1.0.0"), "{answer:?}");
    assert_eq!(header(answer, "cache-control"), Some("no-store"), "{answer:?}");
}

async fn ready(plane: &Plane, url: &str, image: &[u8]) {
    let state = plane.state(url).await;
    assert_eq!(state["state"], "Succeeded", "{state}");
    assert_eq!(state["sha256"], sha256(image), "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_chunks() {
    let plane = Plane::start(&[]).await;
    let image = content(300_000);
    let answer = creation(&plane).header("upload-length", 300_000).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    of_tus(&answer);
    assert!(header(&answer, "upload-expires").is_some());
    assert_eq!(header(&answer, "upload-offset"), None, "there was no body");
    let url = header(&answer, "location").unwrap().to_owned();
    for (at, end) in [(0, 100_000), (100_000, 100_001), (100_001, 300_000)] {
        let head = tus(&plane, "HEAD", &url).send().await.unwrap();
        of_tus(&head);
        assert_eq!((head.status().as_u16(), offset(&head)), (200, at as u64));
        assert_eq!(header(&head, "upload-length"), Some("300000"));
        assert_eq!(header(&head, "upload-defer-length"), None);
        let answer = patch(&plane, &url, at, &image[at..end]).send().await.unwrap();
        of_tus(&answer);
        assert_eq!((answer.status().as_u16(), offset(&answer)), (204, end as u64));
        let expires = header(&answer, "upload-expires");
        assert_eq!(expires.is_some(), end < 300_000, "only unfinished uploads expire");
    }
    ready(&plane, &url, &image).await;
    // It is a long job like any other.
    let list = plane.with_session(plane.http.get(plane.url("/zstack/v1/longjobs")));
    let list: Value = list.send().await.unwrap().json().await.unwrap();
    assert_eq!(list["inventories"][0]["state"], "Succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_with_all_some_or_none_of_the_bytes() {
    // An empty file is no image; here it stands for the empty body.
    let plane = Plane::start(&[("LONGSHORE_INSPECT__POLICY", "off")]).await;
    let image = content(50_000);
    for first in [50_000, 20_000, 0] {
        let request = creation(&plane)
            .header("upload-length", 50_000)
            .header("content-type", "application/offset+octet-stream")
            .body(image[..first].to_vec());
        let answer = request.send().await.unwrap();
        of_tus(&answer);
        assert_eq!(answer.status(), 201);
        let url = header(&answer, "location").unwrap().to_owned();
        if first > 0 {
            assert_eq!(offset(&answer), first as u64);
        }
        assert_eq!(stands(&plane, &url).await, first as u64);
        let rest = patch(&plane, &url, first, &image[first..]).send().await.unwrap();
        assert_eq!((rest.status().as_u16(), offset(&rest)), (204, 50_000), "also if it is empty");
        ready(&plane, &url, &image).await;
    }
    // Nothing at all is complete at once.
    let url = created(&plane, 0).await;
    assert_eq!(stands(&plane, &url).await, 0);
    ready(&plane, &url, b"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_comes_later() {
    let plane = Plane::start(&[]).await;
    let image = content(1000);
    let deferred = || async {
        let answer = creation(&plane).header("upload-defer-length", "1").send().await.unwrap();
        assert_eq!(answer.status(), 201);
        header(&answer, "location").unwrap().to_owned()
    };
    let url = deferred().await;
    let head = tus(&plane, "HEAD", &url).send().await.unwrap();
    assert_eq!(header(&head, "upload-defer-length"), Some("1"));
    assert_eq!(header(&head, "upload-length"), None);
    let first = patch(&plane, &url, 0, &image[..400]).send().await.unwrap();
    assert_eq!((first.status().as_u16(), offset(&first)), (204, 400));
    let with_length = patch(&plane, &url, 400, &image[400..700]).header("upload-length", 1000);
    assert_eq!(with_length.send().await.unwrap().status(), 204);
    let head = tus(&plane, "HEAD", &url).send().await.unwrap();
    assert_eq!((header(&head, "upload-length"), offset(&head)), (Some("1000"), 700));
    let other = patch(&plane, &url, 700, &image[700..]).header("upload-length", 1001);
    assert_eq!(other.send().await.unwrap().status(), 400, "once set it never changes");
    let last = patch(&plane, &url, 700, &image[700..]).send().await.unwrap();
    assert_eq!((last.status().as_u16(), offset(&last)), (204, 1000));
    ready(&plane, &url, &image).await;

    // The length comes after the last byte, with an empty body; and one below what is stored is none.
    let url = deferred().await;
    assert_eq!(patch(&plane, &url, 0, &image).send().await.unwrap().status(), 204);
    let short = patch(&plane, &url, 1000, b"").header("upload-length", 999);
    assert_eq!(short.send().await.unwrap().status(), 400);
    let end = patch(&plane, &url, 1000, b"").header("upload-length", 1000);
    assert_eq!(end.send().await.unwrap().status(), 204);
    ready(&plane, &url, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_names_the_image_and_is_told_again() {
    let plane = Plane::start(&[]).await;
    let image = content(1000);
    let pair = |key: &str, value: &str| format!("{key} {}", STANDARD.encode(value));
    let metadata = [
        pair("filename", "debian 12.img"),
        pair("filetype", "application/octet-stream"),
        pair("imageId", "my/image"),
        pair("sha256", &sha256(&image)),
        "flag".to_owned(),
    ];
    // Blanks and order as they are.
    let metadata = metadata.join(", ");
    let request = creation(&plane).header("upload-length", 1000);
    let answer = request.header("upload-metadata", &metadata).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let url = header(&answer, "location").unwrap().to_owned();
    let head = tus(&plane, "HEAD", &url).send().await.unwrap();
    assert_eq!(header(&head, "upload-metadata"), Some(metadata.as_str()));
    let details = plane.url("/zstack/v1/images/upload-job/details/my%2Fimage");
    let details = plane.with_session(plane.http.get(details)).send().await.unwrap();
    let details: Value = details.json().await.unwrap();
    assert_eq!(details["existingJobDetails"].as_array().map(Vec::len), Some(1), "{details}");
    assert_eq!(patch(&plane, &url, 0, &image).send().await.unwrap().status(), 204);
    let head = tus(&plane, "HEAD", &url).send().await.unwrap();
    assert_eq!(header(&head, "upload-metadata"), Some(metadata.as_str()), "also of an image");
    let images = plane.url("/zstack/v1/images?q=name%3Ddebian%2012.img");
    let images = plane.with_session(plane.http.get(images)).send().await.unwrap();
    let images: Value = images.json().await.unwrap();
    assert_eq!(images["inventories"][0]["status"], "Ready", "{images}");

    // Some clients send the header empty.
    let request = creation(&plane).header("upload-length", 1).header("upload-metadata", "");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let url = header(&answer, "location").unwrap().to_owned();
    let head = tus(&plane, "HEAD", &url).send().await.unwrap();
    assert_eq!(header(&head, "upload-metadata"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_digest_that_is_not_the_files_is_told_with_the_last_byte() {
    let plane = Plane::start(&[]).await;
    let metadata = format!("sha256 {}", STANDARD.encode("0".repeat(64)));
    let request = creation(&plane).header("upload-length", 5);
    let answer = request.header("upload-metadata", metadata).send().await.unwrap();
    let url = header(&answer, "location").unwrap().to_owned();
    let last = patch(&plane, &url, 0, b"12345").send().await.unwrap();
    of_tus(&last);
    assert_eq!(last.status(), 422);
    assert!(last.text().await.unwrap().contains("SHA-256"));
    assert_eq!(tus(&plane, "HEAD", &url).send().await.unwrap().status(), 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_of_chunks() {
    let plane = Plane::start(&[]).await;
    let image = content(4000);
    let url = created(&plane, 4000).await;
    let sum = |algorithm: &str, bytes: &[u8]| {
        let sum = match algorithm {
            "sha1" => STANDARD.encode(Sha1::digest(bytes)),
            "sha256" => STANDARD.encode(Sha256::digest(bytes)),
            "md5" => STANDARD.encode(md5::Md5::digest(bytes)),
            _ => STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes()),
        };
        format!("{algorithm} {sum}")
    };
    for (at, algorithm) in ["sha1", "sha256", "md5", "crc32c"].into_iter().enumerate() {
        let (at, chunk) = (at * 1000, &image[at * 1000..(at + 1) * 1000]);
        let mut wrong = chunk.to_vec();
        wrong[999] ^= 1;
        let checksum = sum(algorithm, chunk);
        let refused = patch(&plane, &url, at, &wrong).header("upload-checksum", &checksum);
        let refused = refused.send().await.unwrap();
        of_tus(&refused);
        assert_eq!(refused.status(), 460, "{algorithm}");
        assert_eq!(stands(&plane, &url).await, at as u64, "the chunk counts for nothing");
        let taken = patch(&plane, &url, at, chunk).header("upload-checksum", checksum);
        assert_eq!(taken.send().await.unwrap().status(), 204, "{algorithm}");
    }
    ready(&plane, &url, &image).await;

    // With the creation: what does not match leaves no upload behind.
    let request = |bytes: &[u8]| {
        creation(&plane)
            .header("upload-length", 4000)
            .header("content-type", "application/offset+octet-stream")
            .header("upload-checksum", sum("sha1", &image))
            .body(bytes.to_vec())
    };
    assert_eq!(request(&image).send().await.unwrap().status(), 201);
    let wrong = content(4001);
    assert_eq!(request(&wrong[1..]).send().await.unwrap().status(), 460);
    let open = plane.app.app.uploads.all_live();
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_complete_stays_answerable() {
    let plane = Plane::start(&[]).await;
    let image = content(1000);
    let url = created(&plane, 1000).await;
    assert_eq!(patch(&plane, &url, 0, &image).send().await.unwrap().status(), 204);
    for _ in 0..2 {
        let head = tus(&plane, "HEAD", &url).send().await.unwrap();
        assert_eq!((head.status().as_u16(), offset(&head)), (200, 1000));
        assert_eq!(header(&head, "upload-length"), Some("1000"));
        // The last PATCH again, as a client sends it that lost the answer: it is told where the upload stands.
        let again = patch(&plane, &url, 0, &image).send().await.unwrap();
        assert_eq!((again.status().as_u16(), offset(&again)), (409, 1000));
        let nothing = patch(&plane, &url, 1000, b"").send().await.unwrap();
        assert_eq!((nothing.status().as_u16(), offset(&nothing)), (204, 1000));
        let more = patch(&plane, &url, 1000, b"x").send().await.unwrap();
        assert_eq!(more.status(), 400);
    }
    ready(&plane, &url, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn termination() {
    let plane = Plane::start(&[]).await;
    let url = created(&plane, 10).await;
    assert_eq!(patch(&plane, &url, 0, b"12345").send().await.unwrap().status(), 204);
    let gone = tus(&plane, "DELETE", &url).send().await.unwrap();
    of_tus(&gone);
    assert_eq!(gone.status(), 204);
    for method in ["HEAD", "DELETE"] {
        let answer = tus(&plane, method, &url).send().await.unwrap();
        assert_eq!(answer.status(), 410, "{method}");
        assert_eq!(header(&answer, "upload-offset"), None);
    }
    assert_eq!(patch(&plane, &url, 5, b"67890").send().await.unwrap().status(), 410);

    // An image is more than an upload: its owner has to say so.
    let url = created(&plane, 5).await;
    assert_eq!(patch(&plane, &url, 0, b"12345").send().await.unwrap().status(), 204);
    assert_eq!(tus(&plane, "DELETE", &url).send().await.unwrap().status(), 403);
    let by_owner = plane.with_session(tus(&plane, "DELETE", &url)).send().await.unwrap();
    assert_eq!(by_owner.status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_can_only_post() {
    let plane = Plane::start(&[]).await;
    let url = created(&plane, 5).await;
    let post = |meant: &str| tus(&plane, "POST", &url).header("x-http-method-override", meant);
    let taken = post("PATCH")
        .header("content-type", "application/offset+octet-stream")
        .header("upload-offset", 0)
        .body("123");
    assert_eq!(taken.send().await.unwrap().status(), 204);
    let head = post("HEAD").send().await.unwrap();
    assert_eq!((head.status().as_u16(), offset(&head)), (200, 3));
    // The real method says nothing.
    let get = tus(&plane, "GET", &url).header("x-http-method-override", "HEAD");
    assert_eq!(offset(&get.send().await.unwrap()), 3);
    assert_eq!(post("PUT").send().await.unwrap().status(), 405);
    assert_eq!(post("no method").send().await.unwrap().status(), 400);
    assert_eq!(post("DELETE").send().await.unwrap().status(), 204);
    assert_eq!(post("HEAD").send().await.unwrap().status(), 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_unknown_length() {
    let plane = Plane::start(&[]).await;
    let image = content(200_000);
    let url = created(&plane, 200_000).await;
    let chunked = |bytes: &[u8]| {
        let pieces: Vec<_> =
            bytes.chunks(7_001).map(|b| Ok::<_, std::io::Error>(b.to_vec())).collect();
        reqwest::Body::wrap_stream(futures::stream::iter(pieces))
    };
    let request = patch(&plane, &url, 0, b"").body(chunked(&image[..150_000]));
    let answer = request.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), offset(&answer)), (204, 150_000));
    let mut long = image[150_000..].to_vec();
    long.push(7);
    let beyond = patch(&plane, &url, 150_000, b"").body(chunked(&long)).send().await;
    if let Ok(answer) = beyond {
        assert_eq!(answer.status(), 400);
    }
    let at = stands(&plane, &url).await as usize;
    assert!((150_000..=200_000).contains(&at), "{at}");
    let last = patch(&plane, &url, at, b"").body(chunked(&image[at..])).send().await.unwrap();
    assert_eq!((last.status().as_u16(), offset(&last)), (204, 200_000));
    ready(&plane, &url, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_tell_what_there_is_to_everybody() {
    let plane = Plane::start(&[("LONGSHORE_UPLOADS__UPLOAD_BYTES_MAX", "1048576")]).await;
    let url = created(&plane, 5).await;
    for url in [plane.url("/uploads"), url, plane.url("/imagestore/upload/unknown")] {
        // The version of the request is not looked at.
        for version in [None, Some("0.2.2")] {
            let request = plane.http.request(reqwest::Method::OPTIONS, &url);
            let request = match version {
                Some(version) => request.header("tus-resumable", version),
                None => request,
            };
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 204, "{url}");
            for (name, value) in [
                ("tus-resumable", "1.0.0"),
                ("tus-version", "1.0.0"),
                ("tus-max-size", "1048576"),
                ("tus-checksum-algorithm", "sha1,sha256,md5,crc32c"),
                (
                    "tus-extension",
                    "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination,concatenation",
                ),
                ("upload-limit", "max-size=1048576, min-size=0, max-age=604800"),
            ] {
                assert_eq!(header(&answer, name), Some(value), "{url} {name}");
            }
        }
    }
}
