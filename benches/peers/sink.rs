//! The floor of `benches/peers/run`: an HTTP server that does nothing with a body but what its mode says.
//!
//! ```text
//! peer_sink discard|file|fdatasync|sha256|sha256sync FOLDER     prints `listening 127.0.0.1:PORT`
//! ```
//! One thread for each connection, one buffer, no queue, no record of anything: whatever a service costs beyond this is its own.
//! Takes `PUT /NAME` with `Content-Length` and, for a part, `Content-Range: bytes A-B/TOTAL`. With `fdatasync` every request ends
//! with one; with `sha256` the bytes of a name are hashed in the order of its requests, which come on one connection.
#![expect(clippy::print_stdout, reason = "a measuring tool says where it listens")]
#![expect(clippy::unwrap_used, reason = "a tool for measurements ends at the first surprise")]

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};

const BUFFER_BYTES: usize = 256 << 10;

#[derive(Clone, Copy)]
struct Mode {
    writes: bool,
    hashes: bool,
    syncs: bool,
}

impl Mode {
    fn of(name: &str) -> Self {
        let (writes, hashes, syncs) = match name {
            "discard" => (false, false, false),
            "file" => (true, false, false),
            "fdatasync" => (true, false, true),
            "sha256" => (true, true, false),
            "sha256sync" => (true, true, true),
            _ => panic!("discard, file, fdatasync, sha256 or sha256sync, not {name}"),
        };
        Self { writes, hashes, syncs }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, folder] = &arguments[..] else { panic!("peer_sink MODE FOLDER") };
    let (mode, folder) = (Mode::of(mode), Arc::new(PathBuf::from(folder)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("listening {}", listener.local_addr().unwrap());
    for stream in listener.incoming() {
        let (stream, folder) = (stream.unwrap(), Arc::clone(&folder));
        std::thread::spawn(move || serve(&stream, mode, &folder));
    }
}

/// What a request says of its body.
struct Request {
    name: String,
    offset: u64,
    length: u64,
    total: u64,
}

fn serve(stream: &TcpStream, mode: Mode, folder: &Path) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, stream);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut digests: HashMap<String, Sha256> = HashMap::new();
    while let Some(request) = read_head(&mut reader) {
        let file = mode.writes.then(|| open(&folder.join(&request.name)));
        let mut digest = mode.hashes.then(|| digests.remove(&request.name).unwrap_or_default());
        let (mut at, end) = (request.offset, request.offset + request.length);
        while at < end {
            let most = BUFFER_BYTES.min(usize::try_from(end - at).unwrap_or(BUFFER_BYTES));
            // A client that left ends the connection here.
            let Ok(read @ 1..) = reader.read(&mut buffer[..most]) else { return };
            if let Some(digest) = &mut digest {
                digest.update(&buffer[..read]);
            }
            if let Some(file) = &file {
                file.write_all_at(&buffer[..read], at).unwrap();
            }
            at += read as u64;
        }
        if let Some(file) = file.as_ref().filter(|_| mode.syncs) {
            file.sync_data().unwrap();
        }
        let mut sum = String::new();
        match digest {
            Some(digest) if end == request.total => sum = first_byte(digest),
            Some(digest) => drop(digests.insert(request.name, digest)),
            None => {}
        }
        let answer =
            format!("HTTP/1.1 201 Created\r\nX-Digest: {sum}\r\nContent-Length: 0\r\n\r\n");
        if (&mut &*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Enough of the digest that it has to be computed.
fn first_byte(digest: Sha256) -> String {
    digest.finalize()[0].to_string()
}

fn open(path: &Path) -> File {
    OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap()
}

/// `None` at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    next_line(reader, &mut line).ok().filter(|&read| read > 0)?;
    let path = line.split(' ').nth(1)?.trim_start_matches('/').replace(['/', '.'], "_");
    let mut request = Request { name: path, offset: 0, length: 0, total: 0 };
    let mut range = None;
    loop {
        next_line(reader, &mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => request.length = value.parse().ok()?,
            "content-range" => {
                let (span, total) = value.trim_start_matches("bytes ").split_once('/')?;
                range = Some((span.split_once('-')?.0.parse().ok()?, total.parse().ok()?));
            }
            _ => {}
        }
    }
    (request.offset, request.total) = range.unwrap_or((0, request.length));
    Some(request)
}

fn next_line(reader: &mut impl BufRead, line: &mut String) -> io::Result<usize> {
    line.clear();
    reader.read_line(line)
}
