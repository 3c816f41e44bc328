//! A stand-in for the service: the calls that a client makes, over raw TCP, with faults by script.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use sha2::Digest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{domain::tag::hex, wire::problem::Problem};

/// What happens to a slice instead of being stored.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// The connection is cut after so many bytes of the body.
    CutAfter(usize),
    /// The body is read and this is the answer.
    Answer(u16, String, Vec<(&'static str, String)>),
    /// The slice is stored, but the connection is cut before the answer.
    LoseAnswer,
    /// The request is never answered and its body not read.
    Silence,
}

impl Fault {
    pub(super) fn problem(problem: &Problem) -> Self {
        let body = serde_json::to_string(problem).unwrap();
        Self::Answer(problem.status, body, Vec::new())
    }
}

#[derive(Default)]
pub(super) struct Service {
    pub(super) bytes: Vec<u8>,
    pub(super) stored: Vec<bool>,
    pub(super) job_state: &'static str,
    pub(super) submitted: u32,
    pub(super) faults: VecDeque<Fault>,
    /// Method, path and content range of every request, in order of arrival.
    pub(super) log: Vec<String>,
    /// Generation of the upload URL; an older one is 404.
    pub(super) generation: u32,
    pub(super) session: Option<&'static str>,
    pub(super) wrong_digest: bool,
    /// Called after each stored slice with the number of stored slices.
    pub(super) image_content: Vec<u8>,
    pub(super) download_cut_after: Option<usize>,
    pub(super) earlier: Option<Vec<u8>>,
}

impl Service {
    pub(super) fn slices(&self) -> Vec<String> {
        let ranges = self.log.iter().filter_map(|line| line.strip_prefix("PUT /data/"));
        ranges
            .map(|line| line.split_once(' ').map_or(line, |(_, range)| range).to_owned())
            .collect()
    }

    pub(super) fn count(&self, begin: &str) -> usize {
        self.log.iter().filter(|line| line.starts_with(begin)).count()
    }

    fn complete(&self) -> bool {
        !self.stored.is_empty() && self.stored.iter().all(|&stored| stored)
    }

    fn state(&self) -> Value {
        let offset = self.stored.iter().take_while(|&&stored| stored).count();
        let mut missing: Vec<(usize, usize)> = Vec::new();
        for (at, _) in self.stored.iter().enumerate().filter(|(_, stored)| !**stored) {
            match missing.last_mut() {
                Some((_, end)) if *end == at => *end = at + 1,
                _ => missing.push((at, at + 1)),
            }
        }
        let missing: Vec<_> =
            missing.iter().map(|(start, end)| json!({"start": start, "end": end})).collect();
        let state = if self.complete() { "Succeeded" } else { self.job_state };
        let mut answer = json!({
            "uploadUuid": "up", "jobUuid": "job1", "imageUuid": "img1", "state": state,
            "stage": "receiving", "stagePercent": 0, "length": self.stored.len(),
            "offset": offset, "storedBytes": self.stored.iter().filter(|&&s| s).count(),
            "missing": missing,
        });
        if self.complete() {
            let digest = hex(&sha2::Sha256::digest(&self.bytes));
            answer["sha256"] =
                if self.wrong_digest { "0".repeat(64).into() } else { digest.into() };
        }
        answer
    }
}

pub(super) struct Stub {
    pub(super) service: Arc<Mutex<Service>>,
    pub(super) address: String,
    accept: JoinHandle<()>,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

impl Stub {
    pub(super) async fn start(service: Service) -> Self {
        Self::listen(Arc::new(Mutex::new(service)), "127.0.0.1:0").await
    }

    /// Stops listening and cuts every connection; the records stay.
    pub(super) async fn stop(self) -> (Arc<Mutex<Service>>, String) {
        self.accept.abort();
        // Connections are children of the accept task's set and end with it.
        while !self.accept.is_finished() {
            tokio::task::yield_now().await;
        }
        (Arc::clone(&self.service), self.address.clone())
    }

    pub(super) async fn listen(service: Arc<Mutex<Service>>, address: &str) -> Self {
        let listener = loop {
            // The port of a stub that was just stopped may need a moment.
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        };
        let address = listener.local_addr().unwrap().to_string();
        let (records, base) = (Arc::clone(&service), format!("http://{address}"));
        let accept = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&records), base.clone()));
            }
        });
        Self { service, address, accept }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

struct Head {
    method: String,
    path: String,
    length: usize,
    range: Option<(usize, usize)>,
    digest: Option<String>,
    session: Option<String>,
    from: usize,
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> Option<Head> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(text).unwrap();
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let find = |name: &str| {
        let mut fields = text.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    assert_eq!(find("transfer-encoding"), None, "a slice has its length in the head");
    let range = find("content-range").map(|text| {
        let (range, total) = text.strip_prefix("bytes ").unwrap().split_once('/').unwrap();
        let (start, last) = range.split_once('-').unwrap();
        assert!(total.parse::<usize>().is_ok());
        (start.parse().unwrap(), last.parse::<usize>().unwrap() + 1)
    });
    let from = find("range")
        .map_or(0, |text| text.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap());
    Some(Head {
        method,
        path,
        length: find("content-length").map_or(0, |text| text.parse().unwrap()),
        range,
        digest: find("content-digest"),
        session: find("authorization"),
        from,
    })
}

async fn serve(stream: TcpStream, service: Arc<Mutex<Service>>, base: String) {
    let mut stream = BufReader::new(stream);
    while let Some(head) = read_head(&mut stream).await {
        let range = head.range.map_or(String::new(), |(a, b)| format!(" {a}-{b}"));
        let fault = {
            let mut service = service.lock().unwrap();
            service.log.push(format!("{} {}{range}", head.method, head.path));
            if head.method == "PUT" && head.path.starts_with("/data") {
                service.faults.pop_front()
            } else {
                None
            }
        };
        let mut body = vec![0; head.length];
        match &fault {
            Some(Fault::CutAfter(bytes)) => {
                let _ = stream.read_exact(&mut body[..*bytes]).await;
                return;
            }
            Some(Fault::Silence) => {
                tokio::time::sleep(std::time::Duration::from_mins(1)).await;
                return;
            }
            _ => {}
        }
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let (status, text, headers) = match fault {
            Some(Fault::Answer(status, text, headers)) => (status, text.into_bytes(), headers),
            Some(Fault::LoseAnswer) => {
                let _ = answer(&service, &head, &body, &base);
                return;
            }
            _ => answer(&service, &head, &body, &base),
        };
        let mut reply = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", text.len());
        for (name, value) in headers {
            reply.extend([name, ": ", &*value, "\r\n"]);
        }
        reply += "\r\n";
        let cut = (head.path.ends_with("/content"))
            .then(|| service.lock().unwrap().download_cut_after.take())
            .flatten();
        let sent = &text[..cut.unwrap_or(text.len()).min(text.len())];
        if stream.write_all(reply.as_bytes()).await.is_err()
            || stream.write_all(sent).await.is_err()
            || cut.is_some()
        {
            return;
        }
    }
}

type Reply = (u16, Vec<u8>, Vec<(&'static str, String)>);

fn ok(value: &Value) -> Reply {
    (200, value.to_string().into_bytes(), Vec::new())
}

fn answer(service: &Mutex<Service>, head: &Head, body: &[u8], base: &str) -> Reply {
    let service = &mut *service.lock().unwrap();
    let path = head.path.split('?').next().unwrap();
    if let Some(generation) = path.strip_prefix("/data/") {
        return data(service, head, body, generation);
    }
    let wanted = service.session.map(|session| format!("OAuth {session}"));
    if wanted.is_some() && head.session != wanted && !path.ends_with("/login") {
        let error = json!({"error": {"code": "ID.1001", "details": "Session expired"}});
        return (503, error.to_string().into_bytes(), Vec::new());
    }
    control(service, head, path, body, base)
}

fn data(service: &mut Service, head: &Head, body: &[u8], generation: &str) -> Reply {
    if generation != service.generation.to_string() {
        let problem = Problem::new(404, "not_found", "Not found", "no such upload");
        return (404, serde_json::to_vec(&problem).unwrap(), Vec::new());
    }
    if head.method == "PUT" {
        let checksum = crate::client::sender::content_digest(crc32c::crc32c(body));
        assert_eq!(head.digest.as_ref(), Some(&checksum), "every slice has a right checksum");
        let (start, end) = head.range.unwrap();
        service.bytes[start..end].copy_from_slice(body);
        service.stored[start..end].fill(true);
    }
    ok(&service.state())
}

fn control(service: &mut Service, head: &Head, path: &str, body: &[u8], base: &str) -> Reply {
    let rest = path.strip_prefix("/zstack/v1/").unwrap_or(path);
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let image = |content: &[u8]| {
        json!({"uuid": "img1", "name": "disk", "status": "Ready", "actualSize": content.len(),
            "sha256Sum": hex(&sha2::Sha256::digest(content)), "md5Sum": "not calculated"})
    };
    match (head.method.as_str(), rest) {
        ("POST", "longjobs") => {
            let tags = json["systemTags"].as_array().unwrap();
            let size = tags[1].as_str().unwrap().strip_prefix("imageSize::").unwrap();
            let size: usize = size.parse().unwrap();
            service.bytes = vec![0; size];
            service.stored = vec![false; size];
            service.submitted += 1;
            service.job_state = "Running";
            let location = format!("{base}/zstack/v1/api-jobs/a1");
            (202, json!({ "location": location }).to_string().into_bytes(), Vec::new())
        }
        ("GET", "api-jobs/a1") => {
            ok(&json!({"inventory": {"uuid": "job1", "state": service.job_state}}))
        }
        ("GET", "longjobs/job1") => ok(&json!({"inventories": [{"uuid": "job1",
            "state": if service.complete() { "Succeeded" } else { service.job_state },
            "targetResourceUuid": "img1", "jobResult": "{\"detail\":\"as was asked\"}"}]})),
        ("GET", "longjobs") => match &service.earlier {
            Some(_) => ok(&json!({"inventories": [
                {"uuid": "job0", "state": "Succeeded", "targetResourceUuid": "img1"}]})),
            None => ok(&json!({"inventories": []})),
        },
        ("GET", "images/img1") => {
            let content = service.earlier.as_ref().unwrap_or(&service.image_content);
            ok(&json!({"inventories": [image(content)]}))
        }
        ("GET", "/v1/images/img1/samples") => {
            let end = service.stored.iter().take_while(|&&stored| stored).count();
            let sha256 = hex(&sha2::Sha256::digest(&service.bytes[..end]));
            let sample = json!({"start": 0, "end": end, "sha256": sha256});
            ok(&json!({"samples": if end == 0 { Vec::new() } else { vec![sample] }}))
        }
        ("GET", "/images/img1/content") => {
            let text = service.image_content[head.from..].to_vec();
            let total = service.image_content.len();
            let range = format!("bytes {}-{}/{total}", head.from, total.saturating_sub(1));
            let status = if head.from > 0 { 206 } else { 200 };
            (status, text, vec![("Content-Range", range)])
        }
        ("PUT", "longjobs/job1/actions") => {
            service.job_state =
                if json.get("suspendLongJob").is_some() { "Suspended" } else { "Running" };
            ok(&json!({}))
        }
        ("PUT", "accounts/login") => {
            let digest = json["logInByAccount"]["password"].as_str().unwrap();
            assert_eq!(digest.len(), 128);
            ok(&json!({"inventory": {"uuid": "s1", "expiredDate": "later"}}))
        }
        (_, details) if details.starts_with("images/upload-job/details/ls1-") => {
            if service.stored.is_empty() || service.complete() || service.job_state == "Canceled" {
                return ok(&json!({"success": true}));
            }
            let url = format!("{base}/data/{}", service.generation);
            let offset = service.state()["offset"].clone();
            ok(&json!({"success": true, "existingJobDetails": [{"longJobUuid": "job1",
                "longJobState": service.job_state, "imageUuid": "img1",
                "imageUploadUrl": url, "offset": offset}]}))
        }
        other => panic!("the client made a call that the stub does not know: {other:?}"),
    }
}
