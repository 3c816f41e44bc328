//! One HTTP/1.1 connection with nothing between a buffer and the socket: the tester has to cost less than what it measures.
//!
//! Public, since comparisons with other servers send their load through it too.

use std::{io, sync::Arc, time::Duration};

use reqwest::Url;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A server that neither takes nor sends a byte for so long is given up.
pub const SILENCE_MAX: Duration = Duration::from_mins(1);
const HEAD_BYTES_MAX: usize = 64 << 10;
const BODY_BYTES_MAX: usize = 32 << 20;
const READ_BYTES: usize = 16 << 10;

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection. One request at a time; after an error it is of no more use.
pub struct Connection {
    stream: Stream,
    /// Read and not used yet.
    read: Vec<u8>,
}

/// An answer with its whole body.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether another request may follow on this connection.
    pub keeps_alive: bool,
}

impl Answer {
    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The seconds of `Retry-After`, if it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
    }

    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Connection {
    /// Connects to the host of `url`, which is `http` or `https`.
    pub async fn open(url: &Url) -> io::Result<Self> {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no host in the address"));
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let tcp = in_time(TcpStream::connect((bare, port))).await?;
        tcp.set_nodelay(true)?;
        let stream = if url.scheme() == "https" {
            let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
            let connector = TlsConnector::from(trust()?);
            Stream::Tls(Box::new(in_time(connector.connect(name, tcp)).await?))
        } else {
            Stream::Plain(tcp)
        };
        Ok(Self { stream, read: Vec::new() })
    }

    /// Sends all of `bytes`.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut at = 0;
        while at < bytes.len() {
            at += self.write(&bytes[at..]).await?;
        }
        Ok(())
    }

    /// Sends some of `bytes`, as many as fit; at least one unless there are none.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.stream {
            Stream::Plain(stream) => in_time(stream.write(bytes)).await?,
            Stream::Tls(stream) => {
                let written = in_time(stream.write(bytes)).await?;
                // What is sealed has to leave before somebody waits for its answer.
                in_time(stream.flush()).await?;
                written
            }
        };
        if written == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(written)
    }

    /// Reads the answer to the request that was sent. Answers of 100 to 199 are passed over.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        loop {
            let end = loop {
                if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                    break at + 4;
                }
                if self.read.len() > HEAD_BYTES_MAX {
                    return Err(malformed("the head of an answer is longer than 64 KiB"));
                }
                self.fill().await?;
            };
            let head = parse_head(&self.read[..end])?;
            self.read.drain(..end);
            if (100..200).contains(&head.status) {
                continue;
            }
            return self.body_of(head).await;
        }
    }

    async fn body_of(&mut self, mut head: Answer) -> io::Result<Answer> {
        let chunked = head.header("transfer-encoding").is_some_and(|how| how.contains("chunked"));
        let length = head.header("content-length").map(str::parse::<usize>);
        if chunked {
            loop {
                let line = self.line().await?;
                let digits = line.split(';').next().unwrap_or_default().trim();
                let size = usize::from_str_radix(digits, 16);
                let size = size.map_err(|_| malformed("a chunk without a size"))?;
                let part = self.exactly(size).await?;
                if head.body.len() + part.len() > BODY_BYTES_MAX {
                    return Err(malformed("an answer of more than 32 MiB"));
                }
                head.body.extend(part);
                self.line().await?;
                if size == 0 {
                    return Ok(head);
                }
            }
        }
        match length {
            Some(Ok(length)) => head.body = self.exactly(length).await?,
            Some(Err(_)) => return Err(malformed("a Content-Length that is no number")),
            None if matches!(head.status, 204 | 304) => {}
            None => {
                head.keeps_alive = false;
                while self.fill().await.is_ok() && self.read.len() <= BODY_BYTES_MAX {}
                head.body = std::mem::take(&mut self.read);
            }
        }
        Ok(head)
    }

    async fn exactly(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        if bytes > BODY_BYTES_MAX {
            return Err(malformed("an answer of more than 32 MiB"));
        }
        while self.read.len() < bytes {
            self.fill().await?;
        }
        let rest = self.read.split_off(bytes);
        Ok(std::mem::replace(&mut self.read, rest))
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.read[..end]).into_owned();
                self.read.drain(..end + 2);
                return Ok(line);
            }
            if self.read.len() > HEAD_BYTES_MAX {
                return Err(malformed("a line of an answer is longer than 64 KiB"));
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.read.reserve(READ_BYTES);
        let read = match &mut self.stream {
            Stream::Plain(stream) => in_time(stream.read_buf(&mut self.read)).await?,
            Stream::Tls(stream) => in_time(stream.read_buf(&mut self.read)).await?,
        };
        if read == 0 {
            let words = "the server closed the connection";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, words));
        }
        Ok(())
    }
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let silent = || io::Error::new(io::ErrorKind::TimedOut, "nothing moved for 60 s");
    timeout(SILENCE_MAX, work).await.map_err(|_| silent())?
}

/// What certificates are checked with: that of the system, as everywhere else in the client.
fn trust() -> io::Result<Arc<rustls::ClientConfig>> {
    use rustls_platform_verifier::ConfigVerifierExt;
    let _ = rustls::crypto::ring::default_provider().install_default();
    rustls::ClientConfig::with_platform_verifier().map(Arc::new).map_err(io::Error::other)
}

fn malformed(words: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

/// Status line and headers; the body is empty yet.
fn parse_head(head: &[u8]) -> io::Result<Answer> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    let status = status.and_then(|digits| digits.parse().ok());
    let status = status.ok_or_else(|| malformed("the answer is not HTTP/1.1"))?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer { status, headers, body: Vec::new(), keeps_alive: true };
    let connection = answer.header("connection").unwrap_or_default().to_ascii_lowercase();
    answer.keeps_alive = if first.starts_with("HTTP/1.0") {
        connection.contains("keep-alive")
    } else {
        !connection.contains("close")
    };
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What a server that says `said` in pieces of `grain` bytes and then closes is understood as.
    async fn heard(said: &'static str, grain: usize, answers: usize) -> Vec<io::Result<Answer>> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for piece in said.as_bytes().chunks(grain) {
                stream.write_all(piece).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let url = format!("http://{address}/").parse().unwrap();
        let mut connection = Connection::open(&url).await.unwrap();
        let mut heard = Vec::new();
        for _ in 0..answers {
            heard.push(connection.answer().await);
        }
        server.await.unwrap();
        heard
    }

    #[tokio::test]
    async fn two_answers_on_one_connection_in_any_pieces() {
        const SAID: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\
            Upload-Offset: 7\r\n\r\nhiHTTP/1.1 503 Busy\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\
            Connection: close\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        for grain in [1, 7, 4096] {
            let answers = heard(SAID, grain, 2).await;
            let [Ok(first), Ok(second)] = &answers[..] else { panic!("{answers:?}") };
            assert_eq!((first.status, first.text().as_str(), first.keeps_alive), (200, "hi", true));
            assert_eq!(first.header("upload-offset"), Some("7"));
            assert_eq!((second.status, second.text().as_str()), (503, "abcd"));
            assert_eq!(second.retry_after(), Some(Duration::from_secs(3)));
            assert!(!second.keeps_alive);
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let kind =
            |answers: Vec<io::Result<Answer>>| answers[0].as_ref().map_err(io::Error::kind).err();
        assert_eq!(kind(heard("", 9, 1).await), Some(io::ErrorKind::UnexpectedEof));
        let short = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
        assert_eq!(kind(heard(short, 9, 1).await), Some(io::ErrorKind::UnexpectedEof));
        for bad in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert_eq!(kind(heard(bad, 99, 1).await), Some(io::ErrorKind::InvalidData), "{bad}");
        }
    }

    #[tokio::test]
    async fn without_a_length_the_end_of_the_connection_ends_the_answer() {
        let answers = heard("HTTP/1.0 200 OK\r\n\r\nall of it", 4, 1).await;
        let answer = answers[0].as_ref().unwrap();
        assert_eq!((answer.text().as_str(), answer.keeps_alive), ("all of it", false));
    }
}
