//! Every cut and every chunk boundary of the framing.

use futures::{FutureExt, stream};
use proptest::prelude::*;

use super::*;

type Chunks = Vec<Result<Bytes, BodyError>>;

/// The file's bytes, how they ended, and what is left of the body.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    file: Vec<u8>,
    error: Option<BodyError>,
    rest: Vec<u8>,
}

fn read(chunks: Chunks, size: u64, body_bytes: Option<u64>) -> Result<Option<Read>, BodyError> {
    async {
        let Some(mut part) = file_part(stream::iter(chunks), b"XX", size, body_bytes).await? else {
            return Ok(None);
        };
        let (mut file, mut error) = (Vec::new(), None);
        while let Some(item) = part.next().await {
            assert_eq!(error, None, "nothing comes after an error");
            match item {
                Ok(bytes) => file.extend_from_slice(&bytes),
                Err(broken) => error = Some(broken),
            }
        }
        let rest: Vec<_> = part.into_inner().collect().await;
        let rest = rest.into_iter().flatten().flat_map(|bytes| bytes.to_vec()).collect();
        Ok(Some(Read { file, error, rest }))
    }
    .now_or_never()
    .expect("the stream never waits")
}

fn split(body: &[u8], at: &[usize]) -> Chunks {
    let mut chunks = Vec::new();
    let mut from = 0;
    for &at in at {
        chunks.push(Ok(Bytes::copy_from_slice(&body[from..at])));
        from = at;
    }
    chunks.push(Ok(Bytes::copy_from_slice(&body[from..])));
    chunks
}

const HEAD: &str = "preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"size; filename=no\"\r\n\r\n42\r\n--XXno\r\n\
    \r\n--XX \t\r\n\r\n--XX\r\nContent-Type: application/octet-stream\r\nCONTENT-disposition: form-data; name=\"\"; filename=\"blob\"\r\n\r\n";
const TAIL: &str = "\r\n--XX--\r\n";

fn body(head: &str, file: &[u8]) -> Vec<u8> {
    [head.as_bytes(), file, TAIL.as_bytes()].concat()
}

/// A file that holds whatever looks like framing.
fn nasty() -> Vec<u8> {
    let mut file = b"\r\n--XX--\r\n\r\n\r\n--X\r\r\r\r\n--".to_vec();
    file.extend((0..600_u32).map(|n| n.to_le_bytes()[0]));
    file.extend_from_slice(b"\r\n--X");
    file
}

#[test]
fn any_two_chunk_boundaries_in_the_head_give_the_same_file() {
    let file = nasty();
    let body = body(HEAD, &file);
    let size = file.len() as u64;
    for known in [None, Some(body.len() as u64)] {
        for first in 0..=HEAD.len() + 3 {
            for second in (first..=HEAD.len() + 3).step_by(61) {
                let read = read(split(&body, &[first, second]), size, known).unwrap().unwrap();
                assert!(read.file == file && read.error.is_none(), "cut at {first} and {second}");
                assert!(read.rest.len() < body.len());
            }
        }
        let single: Vec<usize> = (1..body.len()).collect();
        assert_eq!(read(split(&body, &single), size, known).unwrap().unwrap().file, file);
    }
}

#[test]
fn a_connection_that_breaks_anywhere_never_passes_framing_on_as_image() {
    let file = nasty();
    let body = body(HEAD, &file);
    for cut in 0..body.len() {
        let broken = vec![Ok(Bytes::copy_from_slice(&body[..cut])), Err(BodyError::Broken)];
        let result = read(broken, file.len() as u64, Some(body.len() as u64));
        if cut < HEAD.len() {
            assert_eq!(result, Err(BodyError::Broken), "cut at {cut}");
            continue;
        }
        let read = result.unwrap().unwrap();
        let sent = (cut - HEAD.len()).min(file.len());
        assert_eq!(read.file, file[..sent], "cut at {cut}");
        assert_eq!(read.error.is_some(), sent < file.len(), "cut at {cut}");
    }
}

#[test]
fn a_file_shorter_than_announced_ends_at_its_boundary() {
    let file: Vec<u8> = (0..3000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let body = body("--XX\r\nContent-Disposition: form-data; filename=x\r\n\r\n", &file);
    let size = file.len() as u64 + 50;
    // The length of the body is known: refused before a byte counts.
    assert_eq!(read(split(&body, &[]), size, Some(body.len() as u64)), Ok(None));
    for step in [1, 5, 100, 700, 5000] {
        let cuts: Vec<usize> = (step..body.len()).step_by(step).collect();
        let read = read(split(&body, &cuts), size, None).unwrap().unwrap();
        assert_eq!(read.file, file, "chunks of {step}");
    }
    // Broken off inside the closing boundary: at most those bytes are sent again.
    for missing in 0..=TAIL.len() {
        let cut = body.len() - missing;
        let broken = vec![Ok(Bytes::copy_from_slice(&body[..cut])), Err(BodyError::Broken)];
        let read = read(broken, size, None).unwrap().unwrap();
        assert_eq!((read.file.as_slice(), read.error), (file.as_slice(), Some(BodyError::Broken)));
    }
}

#[test]
fn exactly_the_announced_bytes_are_read() {
    let body = body("--XX\r\nContent-Disposition: form-data; filename=\"\"\r\n\r\n", b"0123456789");
    for known in [None, Some(body.len() as u64)] {
        let read = read(split(&body, &[]), 4, known).unwrap().unwrap();
        assert_eq!((read.file.as_slice(), read.error), (b"0123".as_slice(), None));
    }
}

#[test]
fn bodies_without_a_file_are_refused_in_words() {
    let field = "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nfilename\r\n--XX--\r\n";
    let encoded = "--XX\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: f; filename=a\r\n\r\nAA==";
    let open = "--XX\r\nContent-Disposition: f; filename=\"a\r\n\r\n";
    let padded = format!(
        "{}--XX\r\nContent-Disposition: f; filename=a\r\n\r\nAA",
        "p".repeat(HEAD_BYTES_MAX)
    );
    for (text, words) in [
        (field, "no part of it has a file name"),
        ("--XX--", "no part of it has a file name"),
        ("", "ends before a file begins"),
        ("--XX\r\nContent-Disposition: f; filename=a\r\n", "ends before a file begins"),
        (encoded, "encoded"),
        (open, "cannot be read"),
        (&padded, "16 KiB"),
        (&"p".repeat(HEAD_BYTES_MAX + 1), "16 KiB"),
        (&format!("\r\n{padded}"), "16 KiB"),
    ] {
        let error = read(split(text.as_bytes(), &[]), 2, None).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        let single: Vec<usize> = (1..text.len()).collect();
        let error = read(split(text.as_bytes(), &single), 2, None).unwrap_err().to_string();
        assert!(error.contains(words), "byte by byte: {error}");
    }
}

#[test]
fn boundaries_are_taken_from_the_content_type() {
    for (content_type, boundary) in [
        ("multipart/form-data; boundary=abc", Some("abc")),
        ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b:c\"", Some("a b:c")),
        ("multipart/form-data;boundary=----WebKitFormBoundaryX1", Some("----WebKitFormBoundaryX1")),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        ("multipart/form-data; boundary=\"open", None),
        ("multipart/mixed; boundary=abc", None),
        ("application/octet-stream", None),
    ] {
        let found = boundary_of(content_type.as_bytes());
        assert_eq!(found.as_deref(), boundary.map(str::as_bytes), "{content_type}");
    }
    assert_eq!(
        boundary_of(format!("multipart/form-data; boundary={}", "x".repeat(201)).as_bytes()),
        None
    );
}

proptest! {
    #[test]
    fn any_file_in_any_chunks_comes_out_whole(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just(b"\r\n--XX--\r\n".to_vec()),
                Just(b"\r\r\n--X".to_vec()),
                (any::<u8>(), 1_usize..300).prop_map(|(byte, times)| vec![byte; times]),
            ],
            1..30,
        ),
        mut cuts in proptest::collection::vec(0_usize..3300, 0..20),
        known: bool,
    ) {
        let file = pieces.concat();
        let body = body(HEAD, &file);
        cuts.retain(|&cut| cut <= body.len());
        cuts.sort_unstable();
        let known = known.then_some(body.len() as u64);
        let read = read(split(&body, &cuts), file.len() as u64, known).unwrap().unwrap();
        prop_assert_eq!(read.file, file);
        prop_assert_eq!(read.error, None);
    }

    #[test]
    fn no_body_breaks_it(
        pieces in proptest::collection::vec(prop_oneof![
            Just(b"\r\n".to_vec()), Just(b"--XX".to_vec()), Just(b"--".to_vec()),
            Just(b"Content-Disposition: f; filename=a".to_vec()), proptest::collection::vec(any::<u8>(), 0..40),
        ], 0..30),
        size in 0_u64..100,
    ) {
        let chunks = pieces.iter().map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        if let Ok(Some(read)) = read(chunks, size, None) {
            prop_assert!(read.file.len() as u64 <= size);
        }
    }
}
