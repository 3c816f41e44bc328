//! Connections that end badly and requests that cross, in tus and in the IETF draft.

use std::{
    io::Write,
    net::Shutdown,
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder};

use super::{
    created, header, offset, patch,
    raw::{Raw, drip, field, path},
    tus,
};
use crate::data_plane::{Plane, content, sha256};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tus,
    Ietf,
}

impl Protocol {
    const BOTH: [Self; 2] = [Self::Tus, Self::Ietf];

    async fn create(self, plane: &Plane, length: usize) -> String {
        match self {
            Self::Tus => created(plane, length).await,
            Self::Ietf => {
                let made = plane.with_session(plane.http.post(plane.url("/uploads")));
                let made = made.header("upload-complete", "?0").header("upload-length", length);
                header(&made.send().await.unwrap(), "location").unwrap().to_owned()
            }
        }
    }

    /// The head of a PATCH that announces everything from `at` on.
    fn head(self, url: &str, at: usize, length: usize) -> String {
        let own = match self {
            Self::Tus => "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream",
            Self::Ietf => "Upload-Complete: ?1\r\nContent-Type: application/partial-upload",
        };
        format!(
            "PATCH {} HTTP/1.1\r\nHost: x\r\n{own}\r\nUpload-Offset: {at}\r\nContent-Length: {length}\r\n\r\n",
            path(url)
        )
    }

    fn patch(
        self,
        plane: &Plane,
        url: &str,
        at: usize,
        bytes: &[u8],
        last: bool,
    ) -> RequestBuilder {
        match self {
            Self::Tus => patch(plane, url, at, bytes),
            Self::Ietf => plane
                .http
                .patch(url)
                .header("content-type", "application/partial-upload")
                .header("upload-offset", at)
                .header("upload-complete", if last { "?1" } else { "?0" })
                .body(bytes.to_vec()),
        }
    }

    fn ask(self, plane: &Plane, method: &str, url: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        match self {
            Self::Tus => tus(plane, method.as_str(), url),
            Self::Ietf => {
                plane.http.request(method, url).header("upload-draft-interop-version", "8")
            }
        }
    }

    async fn stands(self, plane: &Plane, url: &str) -> usize {
        let answer = self.ask(plane, "HEAD", url).send().await.unwrap();
        assert!(matches!(answer.status().as_u16(), 200 | 204), "{answer:?}");
        usize::try_from(offset(&answer)).unwrap()
    }

    async fn finish(self, plane: &Plane, url: &str, image: &[u8]) {
        let at = self.stands(plane, url).await;
        let last = self.patch(plane, url, at, &image[at..], true).send().await.unwrap();
        assert_eq!((last.status().as_u16(), offset(&last)), (204, image.len() as u64), "{self:?}");
        let state = plane.state(url).await;
        assert_eq!(state["state"], "Succeeded", "{self:?}: {state}");
        assert_eq!(state["sha256"], sha256(image), "{self:?}: {state}");
    }

    /// A PATCH of all the rest of which only `sent` bytes come; they have come when this returns.
    fn half(self, plane: &Plane, url: &str, image: &[u8], at: usize, sent: usize) -> Raw {
        Raw::half(plane, self.head(url, at, image.len() - at), &image[at..at + sent])
    }
}

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Close,
    HalfClose,
    Reset,
    Stall,
}

async fn ends_at_every_sixteenth(protocol: Protocol) {
    let plane = Plane::start(&[]).await;
    for end in [End::Close, End::HalfClose, End::Reset, End::Stall] {
        let image = content(16 * 16_000 * 2);
        let url = protocol.create(&plane, image.len()).await;
        let mut stalled = Vec::new();
        let mut at = 0;
        for sixteenth in 0..16 {
            let sent = sixteenth * 1000;
            let raw = protocol.half(&plane, &url, &image, at, sent);
            match end {
                End::Close => drop(raw),
                End::HalfClose => {
                    raw.0.shutdown(Shutdown::Write).unwrap();
                    stalled.push(raw);
                }
                End::Reset => {
                    raw.reset();
                }
                End::Stall => stalled.push(raw),
            }
            let begun = Instant::now();
            loop {
                let now = protocol.stands(&plane, &url).await;
                assert!((at..=at + sent).contains(&now), "{end:?}: {now} after {at} and {sent}");
                if now == at + sent {
                    at = now;
                    break;
                }
                assert!(
                    begun.elapsed() < Duration::from_secs(5),
                    "{end:?}: {now} of {}",
                    at + sent
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        protocol.finish(&plane, &url, &image).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tus_connection_that_ends_at_every_sixteenth_of_a_chunk() {
    ends_at_every_sixteenth(Protocol::Tus).await;
}

/// Although each of these bodies was said to be the last one.
#[tokio::test(flavor = "multi_thread")]
async fn an_ietf_connection_that_ends_at_every_sixteenth_of_a_chunk() {
    ends_at_every_sixteenth(Protocol::Ietf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_ends_a_request_that_is_sending() {
    let plane = Plane::start(&[]).await;
    for protocol in Protocol::BOTH {
        let image = content(2000);
        let url = protocol.create(&plane, image.len()).await;
        let mut raw = Raw::connect(&plane);
        raw.send(protocol.head(&url, 0, image.len()));
        let sending = drip(raw, image, Duration::from_millis(10));
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begun = Instant::now();
        let removed = protocol.ask(&plane, "DELETE", &url).send().await.unwrap();
        assert_eq!(removed.status(), 204, "{protocol:?}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let (answer, took) = sending.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 410"), "{protocol:?}: {answer}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        for method in ["HEAD", "DELETE"] {
            let gone = protocol.ask(&plane, method, &url).send().await.unwrap();
            assert_eq!(gone.status(), 410, "{protocol:?} {method}");
        }
        let more = protocol.patch(&plane, &url, 0, b"x", false).send().await.unwrap();
        assert_eq!(more.status(), 410, "{protocol:?}");
    }
}

/// Each sends the same file, in pieces, from where it is told that the upload stands; both at once.
#[tokio::test(flavor = "multi_thread")]
async fn two_live_clients_of_one_upload_bring_it_to_its_end() {
    let plane = Plane::start(&[]).await;
    for protocol in Protocol::BOTH {
        let image = content(400_000);
        let url = protocol.create(&plane, image.len()).await;
        let client = async || {
            let (mut at, mut taken, mut refused) = (0, 0, 0);
            let begun = Instant::now();
            while at < image.len() {
                assert!(begun.elapsed() < Duration::from_mins(1), "{protocol:?}: {at} in a minute");
                let end = image.len().min(at + 10_000);
                let sent = protocol.patch(&plane, &url, at, &image[at..end], end == image.len());
                let answer = sent.send().await.unwrap();
                match answer.status().as_u16() {
                    204 => taken += 1,
                    409 => refused += 1,
                    status => panic!("{protocol:?}: {status} {answer:?}"),
                }
                let now = usize::try_from(offset(&answer)).unwrap();
                assert!((at..=image.len()).contains(&now), "{protocol:?}: {now} after {at}");
                at = now;
            }
            (taken, refused)
        };
        let (one, other) = tokio::join!(client(), client());
        // Each piece was taken at most once, and who lost it was told so.
        let (taken, refused): (usize, usize) = (one.0 + other.0, one.1 + other.1);
        assert!(taken <= image.len() / 10_000 + refused, "{protocol:?}: {taken}, {refused}");
        assert!(refused > 0, "{protocol:?}: they never met");
        let state = plane.state(&url).await;
        assert_eq!(state["state"], "Succeeded", "{protocol:?}: {state}");
        assert_eq!(state["sha256"], sha256(&image), "{protocol:?}: {state}");
    }
}

/// It takes a byte of its answer now and then, interim ones too: its upload does not wait for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_its_answer_delays_nobody() {
    let plane = Plane::start(&[]).await;
    for protocol in Protocol::BOTH {
        let image = content(3_000_000);
        let url = protocol.create(&plane, image.len()).await;
        let mut raw = Raw::connect(&plane);
        rustix::net::sockopt::set_socket_recv_buffer_size(&raw.0, 1024).unwrap();
        let head = protocol.head(&url, 0, image.len());
        let head = match protocol {
            Protocol::Tus => head,
            Protocol::Ietf => head.replacen("\r\n", "\r\nUpload-Draft-Interop-Version: 8\r\n", 1),
        };
        raw.send(head);
        for piece in image.chunks(1_000_000) {
            raw.send(piece);
            std::thread::sleep(Duration::from_millis(600));
        }
        let begun = Instant::now();
        while plane.state(&url).await["state"] != "Succeeded" {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{protocol:?}: it waits for a reader"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // A byte at a time.
        let (head, _) = raw.answer();
        assert!(head.starts_with("HTTP/1.1 204"), "{protocol:?}: {head}");
        assert_eq!(field(&head, "upload-offset"), Some("3000000"), "{protocol:?}: {head}");
        assert_eq!(plane.state(&url).await["sha256"], sha256(&image));
    }
}

/// It asks and asks and never takes an answer: it is cut, and an upload goes on beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_no_answer_is_cut() {
    let plane = Plane::start(&[("LONGSHORE_HTTP__WRITE_IDLE_SECS", "1")]).await;
    for protocol in Protocol::BOTH {
        let image = content(100_000);
        let url = protocol.create(&plane, image.len()).await;
        let mut raw = Raw::connect(&plane);
        rustix::net::sockopt::set_socket_recv_buffer_size(&raw.0, 1024).unwrap();
        let mark = match protocol {
            Protocol::Tus => "Tus-Resumable: 1.0.0",
            Protocol::Ietf => "Upload-Complete: ?0",
        };
        let question = format!("HEAD {} HTTP/1.1\r\nHost: x\r\n{mark}\r\n\r\n", path(&url));
        raw.0.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let questions = question.repeat(1000);
        let begun = Instant::now();
        // Until nothing is taken any more, and then until the connection is over.
        let is_cut = loop {
            match raw.0.write(questions.as_bytes()) {
                Ok(1..) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => break true,
            }
            if begun.elapsed() > Duration::from_secs(15) {
                break false;
            }
        };
        assert!(is_cut, "{protocol:?}: it is held");
        protocol.finish(&plane, &url, &image).await;
    }
}
