//! tus 1.0.0 and the IETF draft over the wire: every row of the tables in `src/http/tus` and `src/http/ietf`.

#![expect(
    clippy::cast_possible_truncation,
    reason = "offsets of some KiB, and times of this century"
)]

mod browsers;
mod concat;
mod faults;
mod ietf;
mod overlong;
mod raw;
mod rows;
mod takeover;
mod tus;
mod tus_refusals;

use reqwest::{Method, RequestBuilder, Response};

use crate::data_plane::Plane;

/// A header of an answer, if it is there.
fn header<'r>(answer: &'r Response, name: &str) -> Option<&'r str> {
    answer.headers().get(name).map(|value| value.to_str().unwrap())
}

fn offset(answer: &Response) -> u64 {
    header(answer, "upload-offset").expect("an offset").parse().unwrap()
}

/// A tus request.
fn tus(plane: &Plane, method: &str, url: &str) -> RequestBuilder {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    plane.http.request(method, url).header("tus-resumable", "1.0.0")
}

/// A creation with the session.
fn creation(plane: &Plane) -> RequestBuilder {
    plane.with_session(tus(plane, "POST", &plane.url("/uploads")))
}

/// Makes an upload of this length; its URL.
async fn created(plane: &Plane, length: usize) -> String {
    let answer = creation(plane).header("upload-length", length).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    header(&answer, "location").expect("a location").to_owned()
}

fn patch(plane: &Plane, url: &str, at: usize, bytes: &[u8]) -> RequestBuilder {
    tus(plane, "PATCH", url)
        .header("content-type", "application/offset+octet-stream")
        .header("upload-offset", at)
        .body(bytes.to_vec())
}

/// A creation of the IETF draft with the session.
fn ietf_creation(plane: &Plane, complete: &str) -> RequestBuilder {
    plane.with_session(plane.http.post(plane.url("/uploads"))).header("upload-complete", complete)
}

/// An append of the IETF draft.
fn ietf_patch(plane: &Plane, url: &str, at: usize, bytes: &[u8], complete: &str) -> RequestBuilder {
    plane
        .http
        .patch(url)
        .header("content-type", "application/partial-upload")
        .header("upload-offset", at)
        .header("upload-complete", complete)
        .body(bytes.to_vec())
}

/// Where the upload stands, as HEAD tells it.
async fn stands(plane: &Plane, url: &str) -> u64 {
    let answer = tus(plane, "HEAD", url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    offset(&answer)
}
