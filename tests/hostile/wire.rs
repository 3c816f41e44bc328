//! HTTP by hand: what is sent is what stands in the test, byte for byte.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Longest that any answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// What the client does once everything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Waits for the answer.
    Wait,
    /// Ends its side, as if the rest were lost, and waits for the answer.
    HalfClose,
    /// Waits until the server closes, and counts everything that came.
    WaitForClose,
}

/// An answer, or that there was none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// 0 if the connection was closed without one.
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: String,
    /// Everything behind them.
    pub(crate) body: String,
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    stream.set_write_timeout(Some(ANSWER_MAX)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends what is given and reads what is answered.
pub(crate) fn exchange(address: SocketAddr, request: &[u8], then: Then) -> Answer {
    let mut stream = connect(address);
    // A server that refuses early may have closed already: its answer is what counts.
    let _ = stream.write_all(request);
    if then == Then::HalfClose {
        let _ = stream.shutdown(Shutdown::Write);
    }
    read_answer(&mut stream, then == Then::WaitForClose)
}

/// Reads one answer, or everything until the server closes.
pub(crate) fn read_answer(stream: &mut TcpStream, to_the_end: bool) -> Answer {
    let begun = Instant::now();
    let (mut read, mut block) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        if !to_the_end && let Some(answer) = whole(&read) {
            return answer;
        }
        match stream.read(&mut block) {
            Ok(0) => break,
            Ok(bytes) => read.extend_from_slice(&block[..bytes]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("no answer within {:?}: {error}", begun.elapsed()),
        }
        assert!(begun.elapsed() < ANSWER_MAX, "the answer does not end");
    }
    parsed(&read).map_or_else(Answer::default, |(answer, _)| answer)
}

/// The answer, if all of it is there; interim ones are skipped.
fn whole(read: &[u8]) -> Option<Answer> {
    let (answer, length) = parsed(read)?;
    if (100..200).contains(&answer.status) {
        let text = "\r\n\r\n";
        let end = answer.head.len() + text.len();
        return whole(&read[end..]);
    }
    let has_no_body = matches!(answer.status, 204 | 304);
    let has_come = match length {
        Some(length) => answer.body.len() >= length,
        None => has_no_body || answer.body.ends_with("\r\n0\r\n\r\n"),
    };
    has_come.then_some(answer)
}

/// Head and what came of the body, and the length that the head announces.
fn parsed(read: &[u8]) -> Option<(Answer, Option<usize>)> {
    let end = read.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let body = String::from_utf8_lossy(&read[end + 4..]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok())?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some((Answer { status, head, body }, length))
}

/// A well-formed request whose connection is closed after the answer.
pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    let has_length = headers.iter().any(|(name, _)| {
        ["content-length", "transfer-encoding"].iter().any(|known| name.eq_ignore_ascii_case(known))
    });
    let may_go_without = body.is_empty() && method == "GET";
    if !has_length && !may_go_without {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}
