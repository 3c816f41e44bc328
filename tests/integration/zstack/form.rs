//! Recorded slices: a form of one file, with the headers as they were sent and bytes that fit.

use bytes::Bytes;
use futures::stream;
use longshore::domain::tag::hex;
use md5::{Digest, Md5};
use reqwest::Client;

use super::{
    golden::image_bytes,
    script::{Call, Names},
};
use crate::support::app::RunningApp;

/// A recorded form.
pub(super) struct Form {
    image: String,
    offset: usize,
    size: usize,
    total: usize,
    length_bytes: usize,
    boundary: String,
}

impl Form {
    /// The form of a call whose body is `<n bytes>`.
    pub(super) fn of(call: &Call) -> Option<Self> {
        let length_bytes = call.body.strip_prefix('<')?.strip_suffix(" bytes>")?.parse().unwrap();
        let header = |name: &str| {
            let header = call.headers.iter().find(|(there, _)| there.eq_ignore_ascii_case(name));
            header.map(|(_, value)| value.as_str())
        };
        let number = |name: &str| header(name).map(|text| text.parse::<usize>().unwrap());
        let total = number("X-IMAGE-SIZE").unwrap();
        Some(Self {
            image: header("X-IMAGE-UUID").unwrap().to_owned(),
            offset: number("X-SLICE-OFFSET").unwrap_or(0),
            size: number("X-SLICE-SIZE").unwrap_or(total),
            total,
            length_bytes,
            boundary: header("Content-Type").unwrap().split_once("boundary=").unwrap().1.to_owned(),
        })
    }

    /// As long as the recorded one, to the byte.
    fn body(&self, slice: &Bytes) -> Bytes {
        let head = |name: &str| {
            let boundary = &self.boundary;
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"\"; filename=\"{name}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            )
        };
        let tail = format!("\r\n--{}--\r\n", self.boundary);
        let without_name = head("").len() + slice.len() + tail.len();
        let name =
            "b".repeat(self.length_bytes.checked_sub(without_name).expect("room for a name"));
        let body = [head(&name).as_bytes(), slice, tail.as_bytes()].concat();
        assert_eq!(body.len(), self.length_bytes);
        Bytes::from(body)
    }

    /// Sends it to the upload URL that an answer named, without a session, as the recorded clients do.
    pub(super) async fn send(
        &self,
        client: &Client,
        service: &RunningApp,
        names: &mut Names,
        call: &Call,
    ) {
        let slice = image_bytes(self.offset, self.size, self.total);
        let md5 = hex(&Md5::digest(&slice));
        let image = names.translated(&self.image);
        let mut request = client.post(names.upload_url(&image));
        let mut is_chunked = false;
        for (name, value) in &call.headers {
            let is_hash = ["content-md5", "x-slice-md5", "x-slice-hash"]
                .contains(&name.to_ascii_lowercase().as_str());
            is_chunked |= name == "Transfer-Encoding";
            if is_hash && value.bytes().any(|digit| digit != b'0') {
                request = request.header(name, &md5);
            } else if name != "Transfer-Encoding" {
                request = request.header(name, names.translated(value));
            }
        }
        let body = self.body(&slice);
        let request = if is_chunked {
            let pieces: Vec<_> = body
                .chunks(32 * 1024)
                .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
                .collect();
            request.body(reqwest::Body::wrap_stream(stream::iter(pieces)))
        } else {
            request.body(body)
        };
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert_eq!(status, call.status, "line {}: {text}", call.line);
        if call.answer.is_null() {
            assert_eq!(text, "", "line {}", call.line);
        } else {
            names.compare("", &call.answer, &serde_json::from_str(&text).unwrap());
        }
        // Progress is written down every few seconds; here at once.
        service.app.uploads.write_down().await.unwrap();
    }
}
