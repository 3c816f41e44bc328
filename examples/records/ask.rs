//! Clients that ask one query after the other over a connection that stays open.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// A kind of query: its name, who asks, and the paths that are asked in turn.
struct Kind {
    name: &'static str,
    who: &'static str,
    paths: Vec<String>,
}

/// Asks every kind of query; a row of percentiles for each.
pub(super) fn ask(port: u16, filled: &Value, clients: usize, requests: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    for who in ["user", "admin"] {
        let token = filled[who].as_str().unwrap();
        for kind in kinds(who, filled) {
            // Once without counting: connections open, caches are warm.
            measure(port, token, &kind, clients, requests / 10 + clients);
            let begun = Instant::now();
            let mut times = measure(port, token, &kind, clients, requests);
            let took = begun.elapsed();
            times.sort_unstable();
            let at = |per_mille: usize| {
                let index = (times.len() * per_mille / 1000).min(times.len() - 1);
                times[index].as_secs_f64() * 1000.0
            };
            let rate = f64::from(u32::try_from(times.len()).unwrap()) / took.as_secs_f64();
            rows.push(json!({
                "query": kind.name, "who": kind.who, "clients": clients, "requests": times.len(),
                "p50": at(500), "p99": at(990), "max": at(1000), "rate": rate,
            }));
        }
    }
    rows
}

fn kinds(who: &'static str, filled: &Value) -> Vec<Kind> {
    let strings = |name: &str| -> Vec<String> {
        let values = filled[name].as_array().unwrap().iter();
        values.map(|value| value.as_str().unwrap().to_owned()).collect()
    };
    let jobs = |rest: &str| format!("/zstack/v1/longjobs?limit=20&replyWithCount=true{rest}");
    let images = |rest: &str| format!("/zstack/v1/images?limit=20&replyWithCount=true{rest}");
    let each = |name: &str, path: &dyn Fn(&str) -> String| -> Vec<String> {
        strings(name).iter().map(|text| path(text)).collect()
    };
    let ids = if who == "user" { "user_image_ids" } else { "image_ids" };
    let details = |id: &str| format!("/zstack/v1/images/upload-job/details/{id}");
    let kinds: [(&'static str, Vec<String>); 16] = [
        ("details", each(ids, &details)),
        ("jobs", vec![jobs("")]),
        ("jobs sort=-createDate", vec![jobs("&sort=-createDate")]),
        ("jobs sort=+lastOpDate", vec![jobs("&sort=%2BlastOpDate")]),
        ("jobs sort=-lastOpDate", vec![jobs("&sort=-lastOpDate")]),
        ("jobs state=Suspended", vec![jobs("&q=state%3DSuspended")]),
        ("jobs state=Succeeded", vec![jobs("&q=state%3DSucceeded")]),
        ("jobs state=Running", vec![jobs("&q=state%3DRunning&sort=-createDate")]),
        ("jobs apiId=", each("api_ids", &|id| jobs(&format!("&q=apiId%3D{id}")))),
        ("jobs __systemTag__=", each("tags", &|tag| jobs(&format!("&q=__systemTag__%3D{tag}")))),
        ("jobs name~=debian-12%", vec![jobs("&q=name~%3Ddebian-12%25")]),
        ("jobs name~=%25", vec![jobs("&q=name~%3D%2525%25")]),
        ("images", vec![images("")]),
        ("images sort=-createDate", vec![images("&sort=-createDate")]),
        ("images status=Ready", vec![images("&q=status%3DReady")]),
        ("images name=", each("names", &|name| images(&format!("&q=name%3D{name}")))),
    ];
    let kind = |(name, paths)| Kind { name, who, paths };
    kinds.into_iter().map(kind).collect()
}

/// Asks so often, all clients together; how long each answer took.
fn measure(port: u16, token: &str, kind: &Kind, clients: usize, requests: usize) -> Vec<Duration> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|client| {
                scope.spawn(move || {
                    let mut wire = Wire::open(port);
                    let numbers = (client..requests).step_by(clients);
                    let ask = |number: usize| {
                        let path = &kind.paths[number % kind.paths.len()];
                        let begun = Instant::now();
                        wire.get(path, token);
                        begun.elapsed()
                    };
                    numbers.map(ask).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

struct Wire {
    reader: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Wire {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        Self { reader: BufReader::new(stream), body: Vec::new() }
    }

    fn get(&mut self, path: &str, token: &str) {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: OAuth {token}\r\n\r\n"
        );
        self.reader.get_mut().write_all(head.as_bytes()).unwrap();
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{path}: {line}");
        let mut length = 0;
        loop {
            line.clear();
            self.reader.read_line(&mut line).unwrap();
            let lower = line.trim().to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if lower.is_empty() {
                break;
            }
        }
        self.body.resize(length, 0);
        self.reader.read_exact(&mut self.body).unwrap();
        assert!(self.body.starts_with(b"{"), "{path}: no JSON");
    }
}
