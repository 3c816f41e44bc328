//! Connections by hand: half sent, dripping, cut.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::data_plane::Plane;

/// A connection to the service.
pub(super) struct Raw(pub(super) TcpStream);

/// Path of a URL of ours.
pub(super) fn path(url: &str) -> String {
    format!("/{}", url.splitn(4, '/').nth(3).expect("a path"))
}

/// The head of a tus PATCH that announces `length` bytes.
pub(super) fn tus_patch(url: &str, at: usize, length: usize) -> String {
    format!(
        "PATCH {} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n\
         Upload-Offset: {at}\r\nContent-Length: {length}\r\n\r\n",
        path(url)
    )
}

impl Raw {
    pub(super) fn connect(plane: &Plane) -> Self {
        let stream = TcpStream::connect(plane.app.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// A request of which only these bytes of the body come; they have come when this returns.
    pub(super) fn half(plane: &Plane, head: impl AsRef<[u8]>, bytes: &[u8]) -> Self {
        let received = || plane.app.app.uploads.received_bytes();
        let before = received();
        let mut raw = Self::connect(plane);
        raw.send(head);
        raw.send(bytes);
        let begun = Instant::now();
        while received() < before + bytes.len() as u64 {
            assert!(begun.elapsed() < Duration::from_secs(10), "{} bytes do not come", bytes.len());
            std::thread::sleep(Duration::from_millis(2));
        }
        raw
    }

    /// What cannot be sent any more is not: the answer counts.
    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref());
    }

    /// The next head, up to its empty line; what there was of one if the connection is closed.
    pub(super) fn head(&mut self) -> String {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                Ok(_) => break,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("no head: {error}"),
            }
        }
        String::from_utf8_lossy(&head).into_owned()
    }

    /// The next answer that is no interim one: its head, and its body as JSON.
    pub(super) fn answer(&mut self) -> (String, serde_json::Value) {
        let mut head = self.head();
        while head.starts_with("HTTP/1.1 10") {
            head = self.head();
        }
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (head, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Ends the connection without a word: the other side is told by RST.
    pub(super) fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.0, Some(Duration::ZERO)).unwrap();
    }
}

/// A header of a head by hand.
pub(super) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// A client that sends a byte every `every` until it is answered or has sent everything; its answer.
pub(super) fn drip(
    mut raw: Raw,
    bytes: Vec<u8>,
    every: Duration,
) -> std::thread::JoinHandle<(String, Duration)> {
    std::thread::spawn(move || {
        let begun = Instant::now();
        raw.0.set_nonblocking(true).unwrap();
        let mut peeked = [0];
        for byte in bytes {
            if !matches!(raw.0.peek(&mut peeked), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
            {
                break;
            }
            raw.send([byte]);
            std::thread::sleep(every);
        }
        raw.0.set_nonblocking(false).unwrap();
        (raw.head(), begun.elapsed())
    })
}
