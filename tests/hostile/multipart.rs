//! Multipart forms: cut at every byte of their framing, and in shapes that no form library makes.

use std::fmt::Write;

use longshore::domain::tag::hex;
use sha2::{Digest, Sha256};

use crate::{
    case::{Case, walk},
    wire::{Then, exchange, request},
    world::{Job, World},
};

/// Bytes of the file in every form here.
const FILE_BYTES: usize = 64;
const PART: &str = "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\nContent-Type: application/octet-stream\r\n\r\n";
const CLOSE: &str = "\r\n--B--\r\n";

/// Content that never looks like framing, different at every position.
fn file_at(offset: usize) -> Vec<u8> {
    let letters = b"abcdefghijklmnopqrstuvwxyz";
    (offset..offset + FILE_BYTES).map(|at| letters[(at * 7 + at / 26) % 26]).collect()
}

/// How the end of a form that is cut short looks to the server.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// The announced length is longer than what comes.
    Connection,
    /// The announced length is what comes.
    Length,
    /// No length is announced, and the body ends well.
    Chunked,
}

fn cut_form(job: &Job, slot: usize, image_bytes: usize, at: usize, cut: Cut) -> Case {
    let offset = slot * FILE_BYTES;
    let form = [PART.as_bytes(), &file_at(offset), CLOSE.as_bytes()].concat();
    let sent = &form[..at];
    let (image, offset) = (image_bytes.to_string(), offset.to_string());
    let file = FILE_BYTES.to_string();
    let length = match cut {
        Cut::Connection => ("Content-Length", form.len().to_string()),
        Cut::Length => ("Content-Length", at.to_string()),
        Cut::Chunked => ("Transfer-Encoding", "chunked".to_owned()),
    };
    let headers = [
        ("Content-Type", "multipart/form-data; boundary=B"),
        ("X-IMAGE-SIZE", image.as_str()),
        ("X-SLICE-OFFSET", offset.as_str()),
        ("X-SLICE-SIZE", file.as_str()),
        (length.0, length.1.as_str()),
    ];
    let mut body = sent.to_vec();
    if matches!(cut, Cut::Chunked) {
        let size = if at == 0 { String::new() } else { format!("{at:x}\r\n") };
        let end = if at == 0 { "0\r\n\r\n" } else { "\r\n0\r\n\r\n" };
        body = [size.as_bytes(), sent, end.as_bytes()].concat();
    }
    let bytes = request("POST", &job.path, &headers, body);
    let name = format!("{cut:?} at {at}");
    let file_is_whole = at >= PART.len() + FILE_BYTES;
    match cut {
        _ if file_is_whole => {
            let case = Case::new(name, bytes, 200, "");
            if matches!(cut, Cut::Connection) { case.or(0).then(Then::HalfClose) } else { case }
        }
        Cut::Connection => Case::new(name, bytes, 500, "").or(400).or(0).then(Then::HalfClose),
        Cut::Length | Cut::Chunked if at < PART.len() => {
            Case::new(name, bytes, 400, "ends before a file begins")
        }
        Cut::Length | Cut::Chunked => Case::new(name, bytes, 500, "\"retryable\":true"),
    }
}

/// What is missing is sent well formed; the digest of the whole then shows whether a byte of framing got into the image.
#[test]
fn a_form_that_is_cut_anywhere_stores_its_file_or_nothing() {
    let world = World::start(&[]);
    let form_bytes = PART.len() + FILE_BYTES + CLOSE.len();
    let slots = 3 * (form_bytes + 1);
    let image_bytes = slots * FILE_BYTES;
    let job = world.submit("cut", &[]).unwrap();
    let cuts = [Cut::Connection, Cut::Length, Cut::Chunked];
    let cases = (0..slots).map(|slot| cut_form(&job, slot, image_bytes, slot / 3, cuts[slot % 3]));
    walk(&world, cases.collect());

    let image: Vec<u8> = (0..slots).flat_map(|slot| file_at(slot * FILE_BYTES)).collect();
    let state = world.state(&job);
    let stored = state["storedBytes"].as_u64().unwrap();
    let whole_files = 2 * (CLOSE.len() + 1) * FILE_BYTES;
    assert!(stored >= whole_files as u64 && stored < image_bytes as u64, "{stored}");
    let mut last = String::new();
    for range in state["missing"].as_array().unwrap() {
        let bound = |name: &str| usize::try_from(range[name].as_u64().unwrap()).unwrap();
        let (start, end) = (bound("start"), bound("end"));
        let place = format!("bytes {start}-{}/{image_bytes}", end - 1);
        let put = request("PUT", &job.path, &[("Content-Range", &place)], &image[start..end]);
        let answer = exchange(world.address(), &put, Then::Wait);
        assert_eq!(answer.status, 200, "{}", answer.body);
        last = answer.body;
    }
    let ended: serde_json::Value = serde_json::from_str(&last).unwrap();
    assert_eq!(ended["sha256"], hex(&Sha256::digest(&image)), "not a byte of framing is stored");
    world.end();
}

struct Forms<'a> {
    job: &'a Job,
    cases: Vec<Case>,
}

impl Forms<'_> {
    /// A form under this Content-Type; if it is taken, the word `file` is its file.
    fn typed(&mut self, name: &str, content_type: &str, form: &str, status: u16, words: &str) {
        let at = (self.cases.len() * 4).to_string();
        let headers = [
            ("Content-Type", content_type),
            ("X-IMAGE-SIZE", "4000"),
            ("X-SLICE-OFFSET", at.as_str()),
            ("X-SLICE-SIZE", "4"),
        ];
        let bytes = request("POST", &self.job.path, &headers, form);
        self.cases.push(Case::new(name, bytes, status, words));
    }

    fn form(&mut self, name: &str, form: &str, status: u16, words: &str) {
        self.typed(name, "multipart/form-data; boundary=B", form, status, words);
    }
}

const FILE: &str = "Content-Disposition: form-data; name=f; filename=x\r\n\r\nfile\r\n";
const FIELD: &str = "Content-Disposition: form-data; name=note\r\n\r\nfilename=no\r\n";
const NO_FILE: &str = "no part of it has a file name";
const NONE_BEGINS: &str = "ends before a file begins";

fn parts(forms: &mut Forms<'_>) {
    let nested = format!(
        "--B\r\nContent-Disposition: form-data; name=n\r\nContent-Type: multipart/mixed; boundary=N\r\n\r\n\
         --N\r\n{FILE}--N--\r\n--B--\r\n"
    );
    let many = format!("--B\r\n{FIELD}").repeat(100);
    for (name, form, status, words) in [
        ("fields before", format!("--B\r\n{FIELD}--B\r\n{FILE}--B--\r\n"), 200, ""),
        ("fields behind", format!("--B\r\n{FILE}--B\r\n{FIELD}--B--\r\n"), 200, ""),
        ("two files", format!("--B\r\n{FILE}--B\r\n{FILE}--B--\r\n"), 200, ""),
        ("100 fields before", format!("{many}--B\r\n{FILE}--B--\r\n"), 200, ""),
        ("300 fields before", format!("{many}{many}{many}--B\r\n{FILE}--B--\r\n"), 400, "16 KiB"),
        ("a preamble", format!("hello\r\n--B\r\n{FILE}--B--\r\n"), 200, ""),
        ("no close", format!("--B\r\n{FILE}"), 200, ""),
        ("an empty part before", format!("--B\r\n\r\n\r\n--B\r\n{FILE}--B--\r\n"), 200, ""),
        ("an empty file name", "--B\r\nContent-Disposition: form-data; filename=\"\"\r\n\r\nfile\r\n--B--\r\n".to_owned(), 200, ""),
        ("an encoded file name", "--B\r\nContent-Disposition: form-data; filename*=UTF-8''..%2fx\r\n\r\nfile\r\n--B--\r\n".to_owned(), 200, ""),
        ("a name that goes up", "--B\r\nContent-Disposition: form-data; filename=\"../../x\"\r\n\r\nfile\r\n--B--\r\n".to_owned(), 200, ""),
        ("no file", format!("--B\r\n{FIELD}--B--\r\n"), 400, NO_FILE),
        ("no part", "--B--\r\n".to_owned(), 400, NO_FILE),
        ("no headers", "--B\r\n\r\nfile\r\n--B--\r\n".to_owned(), 400, NO_FILE),
        ("nothing", String::new(), 400, NONE_BEGINS),
        ("another boundary", format!("--C\r\n{FILE}--C--\r\n"), 400, NONE_BEGINS),
        ("a boundary that goes on", format!("--BB\r\n{FILE}--BB--\r\n"), 400, NONE_BEGINS),
        ("nested", nested, 400, NO_FILE),
        ("line feeds only", format!("--B\r\n{FILE}--B--\r\n").replace("\r\n", "\n"), 400, NONE_BEGINS),
        ("carriage returns only", format!("--B\r\n{FILE}--B--\r\n").replace("\r\n", "\r"), 400, NONE_BEGINS),
        ("an open quote", "--B\r\nContent-Disposition: form-data; filename=\"x\r\n\r\nfile\r\n--B--\r\n".to_owned(), 400, "cannot be read"),
        ("base64", format!("--B\r\nContent-Transfer-Encoding: base64\r\n{FILE}--B--\r\n"), 400, "encoded"),
        ("a part header of 15 KiB", format!("--B\r\nX: {}\r\n{FILE}--B--\r\n", "x".repeat(15 << 10)), 200, ""),
        ("a part header of 17 KiB", format!("--B\r\nX: {}\r\n{FILE}--B--\r\n", "x".repeat(17 << 10)), 400, "16 KiB"),
        ("a part header of 1 MiB", format!("--B\r\nX: {}", "x".repeat(1 << 20)), 400, "16 KiB"),
        ("NUL in a part header", format!("--B\r\nX: \0\r\n{FILE}--B--\r\n"), 200, ""),
        ("no colon in a part header", format!("--B\r\nnothing\r\n{FILE}--B--\r\n"), 200, ""),
        ("a file that is too short", "--B\r\nContent-Disposition: form-data; filename=x\r\n\r\nfil\r\n--B--".to_owned(), 200, ""),
        ("a body that is too short", "--B\r\nContent-Disposition: form-data; filename=x\r\n\r\nfil".to_owned(), 500, "\"retryable\":true"),
    ] {
        forms.form(name, &form, status, words);
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn boundaries(forms: &mut Forms<'_>) {
    let of = |boundary: &str| format!("--{boundary}\r\n{FILE}--{boundary}--\r\n");
    let mut long = String::new();
    for at in 0..20 {
        let _ = write!(long, "{at:010}");
    }
    for (name, content_type, form, status, words) in [
        ("quoted", "multipart/form-data; boundary=\"B\"".to_owned(), of("B"), 200, ""),
        (
            "quoted with a blank",
            "multipart/form-data; boundary=\"B C\"".to_owned(),
            of("B C"),
            200,
            "",
        ),
        (
            "70 characters",
            format!("multipart/form-data; boundary={}", &long[..70]),
            of(&long[..70]),
            200,
            "",
        ),
        (
            "71 characters",
            format!("multipart/form-data; boundary={}", &long[..71]),
            of(&long[..71]),
            200,
            "",
        ),
        ("200 characters", format!("multipart/form-data; boundary={long}"), of(&long), 200, ""),
        (
            "201 characters",
            format!("multipart/form-data; boundary={long}1"),
            of(&long),
            400,
            "boundary",
        ),
        (
            "among other parameters",
            "Multipart/Form-Data; charset=utf-8; Boundary=B; x=y".to_owned(),
            of("B"),
            200,
            "",
        ),
        ("missing", "multipart/form-data".to_owned(), of("B"), 400, "boundary"),
        ("empty", "multipart/form-data; boundary=".to_owned(), of(""), 400, "boundary"),
        (
            "empty and quoted",
            "multipart/form-data; boundary=\"\"".to_owned(),
            of(""),
            400,
            "boundary",
        ),
        ("an open quote", "multipart/form-data; boundary=\"B".to_owned(), of("B"), 400, "boundary"),
        (
            "a line end inside",
            "multipart/form-data; boundary=\"B\r\n C\"".to_owned(),
            of("B"),
            400,
            "",
        ),
        (
            "an own header inside",
            "multipart/form-data; boundary=\"B\r\nX: y\"".to_owned(),
            of("B"),
            400,
            "boundary",
        ),
        ("mixed", "multipart/mixed; boundary=B".to_owned(), of("B"), 415, "multipart/form-data"),
        (
            "a form of the other kind",
            "application/x-www-form-urlencoded".to_owned(),
            "a=b".to_owned(),
            415,
            "",
        ),
        ("no type at all", String::new(), of("B"), 415, ""),
        ("a type of noise", "multipart/form-data\u{202e}; boundary=B".to_owned(), of("B"), 415, ""),
    ] {
        forms.typed(name, &content_type, &form, status, words);
    }
}

#[test]
fn forms_of_every_shape_are_taken_or_refused_in_words() {
    let world = World::start(&[]);
    let job = world.submit("shapes", &[]).unwrap();
    let mut forms = Forms { job: &job, cases: Vec::new() };
    parts(&mut forms);
    boundaries(&mut forms);
    walk(&world, forms.cases);
    world.end();
}
