//! The one file of a `multipart/form-data` body, as a stream.
//!
//! Parts before it that have no file name are skipped. Of the file exactly the announced number of bytes is read, without
//! looking for the boundary: a scan costs CPU on every byte, and images may hold anything.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};

use super::headers::params;
use crate::uploads::BodyError;

/// Everything that may stand before the first byte of the file: preamble, other fields and all part headers.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest boundary that is taken; RFC 2046 allows 70 characters.
const BOUNDARY_BYTES_MAX: usize = 200;
/// What is held back of a file whose end is not certain: room for the closing boundary and a short epilogue.
const TAIL_BYTES: usize = 512;

/// The boundary that a `Content-Type` names, if that is `multipart/form-data` with a usable one.
pub fn boundary_of(content_type: &[u8]) -> Option<Vec<u8>> {
    let (value, found) = params::parse(content_type)?;
    let boundary = params::get(&found, "boundary")?;
    let usable = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len())
        && !boundary.iter().any(u8::is_ascii_control);
    (value.eq_ignore_ascii_case(b"multipart/form-data") && usable).then(|| boundary.to_vec())
}

/// Where the head of the body has been read up to.
enum Stage {
    /// Before a delimiter.
    Seeking,
    /// After a delimiter, before the empty line that ends the part's headers; they begin here.
    Headers(usize),
}

/// Reads a body up to the first byte of its file.
struct Head {
    /// CRLF, two dashes and the boundary.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    /// Nothing of interest begins before this position.
    at: usize,
    stage: Stage,
}

/// A line end that the body does not have: so the first delimiter looks like all others.
const VIRTUAL: &[u8] = b"\r\n";

impl Head {
    fn new(boundary: &[u8]) -> Self {
        let delimiter = [b"\r\n--", boundary].concat();
        Self { delimiter, buffer: BytesMut::from(VIRTUAL), at: 0, stage: Stage::Seeking }
    }

    /// Takes the next bytes; once the file has begun, answers its first bytes and how many came before them.
    fn feed(&mut self, bytes: &[u8]) -> Result<Option<(Bytes, u64)>, BodyError> {
        self.buffer.extend_from_slice(bytes);
        while let Some(is_file) = self.step()? {
            if is_file {
                let before = self.at - VIRTUAL.len();
                if before > HEAD_BYTES_MAX {
                    break;
                }
                let file = self.buffer.split_off(self.at).freeze();
                return Ok(Some((file, before as u64)));
            }
        }
        if self.buffer.len() - VIRTUAL.len() > HEAD_BYTES_MAX {
            return Err(BodyError::Malformed("more than 16 KiB stand before the file"));
        }
        Ok(None)
    }

    /// One step on: `Some(true)` when the file begins at `at`, `None` when more bytes are needed.
    fn step(&mut self) -> Result<Option<bool>, BodyError> {
        match self.stage {
            Stage::Seeking => {
                let Some(found) = find(&self.buffer[self.at..], &self.delimiter) else {
                    self.at = self.at.max(self.buffer.len().saturating_sub(self.delimiter.len()));
                    return Ok(None);
                };
                self.at += found;
                self.delimiter_line()
            }
            Stage::Headers(from) => {
                let Some(found) = find(&self.buffer[self.at..], b"\r\n\r\n") else {
                    self.at = self.at.max(self.buffer.len().saturating_sub(3));
                    return Ok(None);
                };
                let end = self.at + found;
                self.stage = Stage::Seeking;
                if is_file(&self.buffer[from..end.max(from)])? {
                    self.at = end + 4;
                    return Ok(Some(true));
                }
                // An empty part: its delimiter begins with the line end that also ends its headers.
                self.at = end + 2;
                Ok(Some(false))
            }
        }
    }

    /// Looks at what follows the delimiter at `at`: blanks and a line end, two dashes, or it is none.
    fn delimiter_line(&mut self) -> Result<Option<bool>, BodyError> {
        let after = self.at + self.delimiter.len();
        let rest = &self.buffer[after..];
        let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        match &rest[blanks..] {
            [b'\r', b'\n', ..] => {
                // The headers may be none at all: then the empty line begins with this line end.
                self.at = after + blanks;
                self.stage = Stage::Headers(after + blanks + 2);
                Ok(Some(false))
            }
            [] | [b'\r'] => Ok(None),
            _ => match rest {
                [b'-', b'-', ..] => Err(BodyError::Malformed("no part of it has a file name")),
                [b'-'] => Ok(None),
                _ => {
                    self.at = after;
                    Ok(Some(false))
                }
            },
        }
    }
}

/// Whether a part with these headers is the file.
fn is_file(headers: &[u8]) -> Result<bool, BodyError> {
    let mut is_file = false;
    for line in headers.split(|&b| b == b'\n') {
        let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-disposition") {
            let unreadable =
                BodyError::Malformed("the Content-Disposition of a part cannot be read");
            let (_, found) = params::parse(value).ok_or(unreadable)?;
            is_file =
                ["filename", "filename*"].iter().any(|name| params::get(&found, name).is_some());
        } else if name.eq_ignore_ascii_case(b"content-transfer-encoding")
            && !["binary", "8bit", "7bit"]
                .iter()
                .any(|as_is| value.eq_ignore_ascii_case(as_is.as_bytes()))
        {
            return Err(BodyError::Malformed("a part is encoded; send the bytes as they are"));
        }
    }
    Ok(is_file)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The file: a stream of exactly the announced bytes, or fewer if the body has fewer.
pub struct FilePart<S> {
    inner: S,
    delimiter: Vec<u8>,
    /// Announced bytes that have not arrived.
    left: u64,
    ready: VecDeque<Bytes>,
    /// Last bytes that arrived, while they may be the closing boundary of a file that is shorter than announced.
    held: Bytes,
    holds_back: bool,
    ended: Option<Result<(), BodyError>>,
}

/// Reads up to the file. `body_bytes` is the length of the body where it is known: a body that cannot hold `size` bytes of file is
/// refused here, before any byte of it is taken for a part of the image.
pub async fn file_part<S>(
    mut inner: S,
    boundary: &[u8],
    size: u64,
    body_bytes: Option<u64>,
) -> Result<Option<FilePart<S>>, BodyError>
where
    S: Stream<Item = Result<Bytes, BodyError>> + Unpin,
{
    let mut head = Head::new(boundary);
    let (first, before) = loop {
        let Some(bytes) = inner.next().await else {
            return Err(BodyError::Malformed("it ends before a file begins"));
        };
        if let Some(found) = head.feed(&bytes?)? {
            break found;
        }
    };
    if body_bytes.is_some_and(|all| all.saturating_sub(before) < size) {
        return Ok(None);
    }
    let mut part = FilePart {
        inner,
        delimiter: head.delimiter,
        left: size,
        ready: VecDeque::with_capacity(2),
        held: Bytes::new(),
        holds_back: body_bytes.is_none(),
        ended: None,
    };
    part.arrived(first);
    Ok(Some(part))
}

impl<S> FilePart<S> {
    /// The rest of the body, to be read away.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn arrived(&mut self, mut bytes: Bytes) {
        let size = usize::try_from(self.left).unwrap_or(usize::MAX);
        bytes.truncate(size);
        self.left -= bytes.len() as u64;
        if self.left == 0 {
            self.ended = Some(Ok(()));
        }
        if !self.holds_back {
            return self.hand_on(bytes);
        }
        let tail = if self.left == 0 { 0 } else { TAIL_BYTES + self.delimiter.len() };
        if bytes.len() < tail {
            let mut joined = BytesMut::with_capacity(self.held.len() + bytes.len());
            joined.extend_from_slice(&self.held);
            joined.extend_from_slice(&bytes);
            bytes = joined.freeze();
        } else {
            let held = std::mem::take(&mut self.held);
            self.hand_on(held);
        }
        self.held = bytes.split_off(bytes.len().saturating_sub(tail));
        self.hand_on(bytes);
    }

    fn hand_on(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.ready.push_back(bytes);
        }
    }

    /// The body ended before its time: what is held back counts up to the closing boundary, or to what may be the begin of one.
    fn cut_short(&mut self, how: Result<(), BodyError>) {
        let mut held = std::mem::take(&mut self.held);
        let end = find(&held, &self.delimiter).unwrap_or_else(|| {
            let partial = (1..self.delimiter.len().min(held.len() + 1))
                .rev()
                .find(|&len| held.ends_with(&self.delimiter[..len]));
            held.len() - partial.unwrap_or(0)
        });
        held.truncate(end);
        self.hand_on(held);
        self.ended = Some(how);
    }
}

impl<S> Stream for FilePart<S>
where
    S: Stream<Item = Result<Bytes, BodyError>> + Unpin,
{
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            match self.ended {
                Some(Ok(())) => return Poll::Ready(None),
                Some(Err(error)) => {
                    self.ended = Some(Ok(()));
                    return Poll::Ready(Some(Err(error)));
                }
                None => {}
            }
            match std::task::ready!(self.inner.poll_next_unpin(cx)) {
                Some(Ok(bytes)) => self.arrived(bytes),
                Some(Err(error)) => self.cut_short(Err(error)),
                None => self.cut_short(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests;
