//! Interim answers (1xx), which the HTTP server has no way to send: they go out through a second handle of the connection's socket.
//!
//! *Guarantees.* An interim answer is on the wire whole, or not at all, or the connection is closed. None is sent over anything
//! but plain HTTP/1.1. Sending never waits: a client that reads too slowly misses one, and nothing else.
//!
//! It must come before the first byte of the final answer, and the requests of a connection must not be pipelined: both hold for
//! a handler that has not answered yet, and for every client that waits for an answer before it asks again. One that does not
//! spoils its own connection only.

use std::os::fd::{AsFd, OwnedFd};

use actix_web::{HttpRequest, http::Version};
use rustix::{
    io::Errno,
    net::{SendFlags, Shutdown, send, shutdown},
};

/// A second handle of the socket of one connection.
#[derive(Debug)]
pub struct Interim(OwnedFd);

impl Interim {
    /// Of a connection that was just made; `None` if there is no descriptor left for it. Whoever has it cannot be told interim
    /// answers then, and misses nothing else.
    pub fn of(connection: &impl AsFd) -> Option<Self> {
        match connection.as_fd().try_clone_to_owned() {
            Ok(socket) => Some(Self(socket)),
            Err(error) => {
                tracing::warn!(%error, "a connection gets no interim answers");
                None
            }
        }
    }

    /// Of the connection that a request came on, if it can take interim answers.
    pub fn of_request(request: &HttpRequest) -> Option<&Self> {
        let can = request.version() == Version::HTTP_11;
        request.conn_data::<Self>().filter(|_| can)
    }

    /// Sends `104 Upload Resumption Supported` with these headers; answers whether it is on its way.
    pub fn upload_resumption_supported(&self, headers: &[(&str, String)]) -> bool {
        let mut head = String::from("HTTP/1.1 104 Upload Resumption Supported\r\n");
        for (name, value) in headers {
            head.push_str(name);
            head.push_str(": ");
            // Made by this service, and still: nothing in a value may end the line.
            head.extend(value.chars().filter(|c| !c.is_control()));
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match send(&self.0, head.as_bytes(), flags) {
            Ok(sent) if sent == head.len() => true,
            Ok(0) | Err(Errno::AGAIN) => false,
            // Half of an answer cannot be taken back.
            Ok(_) | Err(_) => {
                let _ = shutdown(&self.0, Shutdown::Both);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    #[test]
    fn it_is_written_as_a_head() {
        let (server, mut client) = connected();
        let interim = Interim::of(&server).unwrap();
        let headers = [("Upload-Offset", "7".to_owned()), ("Location", "/a\r\nb".to_owned())];
        assert!(interim.upload_resumption_supported(&headers));
        drop((server, interim));
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        let expected =
            "HTTP/1.1 104 Upload Resumption Supported\r\nUpload-Offset: 7\r\nLocation: /ab\r\n\r\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_client_that_does_not_read_gets_whole_ones_or_a_closed_connection() {
        let (server, mut client) = connected();
        let interim = Interim::of(&server).unwrap();
        let headers = [("Upload-Offset", "7".repeat(10_000))];
        let mut sent = 0;
        while interim.upload_resumption_supported(&headers) {
            sent += 1;
            assert!(sent < 100_000, "the client's buffer has an end");
        }
        drop((server, interim));
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let whole = text.matches("\r\n\r\n").count();
        assert!(whole == sent, "{whole} of {sent}");
    }
}
