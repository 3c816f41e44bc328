//! The forms of the upload URL, and where uploads are made.

use super::{
    BYTES, GONE, HEAD, IMAGE_SIZE, NO_PROTOCOL, NO_UPLOAD, NO_UPLOAD_SLICE, OPEN, PROBLEM, Row,
    SENT, SLICE, SLICE_SIZE, TUS, row,
};
use crate::contract::world::Stage;

/// The upload URL by the client's own key. The native answers and the slices of the three forms are the same.
pub(super) fn keyed() -> Vec<Row> {
    let path = "/imagestore/upload/uploadImage::{image_id}";
    let row = |route, refusals| row(route, refusals).path(path);
    vec![
        row("GET /imagestore/upload/uploadImage::{image_id}", PROBLEM)
            .other(NO_UPLOAD)
            .own("200 upload Running at 100"),
        row("GET /imagestore/upload/uploadImage::{image_id}", PROBLEM)
            .when(Stage::Ready)
            .other(NO_UPLOAD)
            .own(NO_UPLOAD),
        row("HEAD /imagestore/upload/uploadImage::{image_id}", HEAD)
            .other("404 empty")
            .own("200 empty"),
        row("PUT /imagestore/upload/uploadImage::{image_id}", PROBLEM)
            .header(SENT.0, SENT.1)
            .body(BYTES)
            .other(NO_UPLOAD)
            .own("200 upload Running at 100"),
        row("POST /imagestore/upload/uploadImage::{image_id}", SLICE)
            .header(IMAGE_SIZE.0, IMAGE_SIZE.1)
            .header(SLICE_SIZE.0, SLICE_SIZE.1)
            .body(BYTES)
            .other(NO_UPLOAD_SLICE)
            .own("200 empty"),
        append(row("PATCH /imagestore/upload/uploadImage::{image_id}", PROBLEM))
            .other(NO_UPLOAD)
            .own("204 empty"),
        row("DELETE /imagestore/upload/uploadImage::{image_id}", PROBLEM)
            .other(NO_UPLOAD)
            .own("204 empty"),
        super::row("PUT /uploads/{image_id}", PROBLEM)
            .path("/uploads/{image_id}")
            .header(SENT.0, SENT.1)
            .body(BYTES)
            // One IMAGE_ID is another upload in each account: this begins one.
            .other("200 upload Running at 100")
            .own("200 upload Running at 100"),
    ]
}

/// The next bytes, as a tus client sends them.
fn append(row: Row) -> Row {
    row.header(TUS.0, TUS.1)
        .header("Upload-Offset", "100")
        .header("Content-Type", "application/offset+octet-stream")
        .body(BYTES)
}

/// Where tus and IETF clients make uploads.
pub(super) fn creation() -> Vec<Row> {
    let route = "POST /uploads";
    vec![
        row(route, PROBLEM)
            .header(TUS.0, TUS.1)
            .header("Upload-Length", "1000")
            .other("201 empty")
            .own("201 empty"),
        row(route, PROBLEM).header("Upload-Complete", "?0").other("201 empty").own("201 empty"),
    ]
}

/// The upload URL by `X-IMAGE-UUID`.
pub(super) fn by_header() -> Vec<Row> {
    let row = |route, refusals| row(route, refusals).header("X-IMAGE-UUID", "{image}");
    vec![
        row("GET /imagestore/upload", PROBLEM).other(NO_UPLOAD).own("200 upload Running at 100"),
        row("GET /imagestore/upload", PROBLEM)
            .when(Stage::Ready)
            .other(NO_UPLOAD)
            .own("200 upload Succeeded at 1000"),
        row("HEAD /imagestore/upload", HEAD).other("404 empty").own("200 empty"),
        row("PUT /imagestore/upload", PROBLEM)
            .header(SENT.0, SENT.1)
            .body(BYTES)
            .other(NO_UPLOAD)
            .own("200 upload Running at 100"),
        row("POST /imagestore/upload", SLICE)
            .header(IMAGE_SIZE.0, IMAGE_SIZE.1)
            .header(SLICE_SIZE.0, SLICE_SIZE.1)
            .body(BYTES)
            .other(NO_UPLOAD_SLICE)
            .own("200 empty"),
        append(row("PATCH /imagestore/upload", PROBLEM)).other(NO_UPLOAD).own("204 empty"),
        row("DELETE /imagestore/upload", PROBLEM).other(NO_UPLOAD).own("204 empty"),
        row("DELETE /imagestore/upload", PROBLEM)
            .when(Stage::Ready)
            .other(NO_UPLOAD)
            .own("204 empty"),
        super::row("GET /imagestore/upload", PROBLEM)
            .other("400 bad_header: header x-image-uuid: name the image, or use the upload URL of the job. Nothing was changed.")
            .own("400 bad_header: header x-image-uuid: name the image, or use the upload URL of the job. Nothing was changed."),
    ]
}

/// The upload URL as it is handed out. Who calls does not matter, save for the deletion of an image.
pub(super) fn capability() -> Vec<Row> {
    let why = "whoever has the URL has the upload";
    let row = |route| row(route, OPEN).path("/imagestore/upload/{capability}").may_show(why);
    vec![
        row("GET /imagestore/upload/{capability}").everybody("200 upload Running at 100"),
        row("GET /imagestore/upload/{capability}")
            .when(Stage::Ready)
            .everybody("200 upload Succeeded at 1000"),
        row("GET /imagestore/upload/{capability}").when(Stage::Canceled).everybody(GONE),
        row("HEAD /imagestore/upload/{capability}").everybody("200 empty"),
        row("PUT /imagestore/upload/{capability}")
            .header(SENT.0, SENT.1)
            .body(BYTES)
            .everybody("200 upload Running at 100"),
        row("POST /imagestore/upload/{capability}")
            .header(IMAGE_SIZE.0, IMAGE_SIZE.1)
            .header(SLICE_SIZE.0, SLICE_SIZE.1)
            .body(BYTES)
            .everybody("200 empty"),
        append(row("PATCH /imagestore/upload/{capability}")).everybody("204 empty"),
        row("PATCH /imagestore/upload/{capability}").everybody(NO_PROTOCOL),
        append(row("PATCH /imagestore/upload/{capability}")).when(Stage::Canceled).everybody(GONE),
        row("DELETE /imagestore/upload/{capability}").everybody("204 empty"),
        Row {
            refusals: [OWNER_ONLY, OWNER_ONLY, PROBLEM[2], PROBLEM[3], PROBLEM[4], PROBLEM[5]],
            ..row("DELETE /imagestore/upload/{capability}").when(Stage::Ready)
        }
        .other(OWNER_ONLY)
        .own("204 empty"),
    ]
}

const OWNER_ONLY: &str = "403 owner_only: The upload is complete and is an image now. Whoever has this URL may read its state, but only the owner may delete the image: send the header Authorization: OAuth <session>. Nothing was deleted.";
