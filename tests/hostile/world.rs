//! A service under attack, an upload that minds its own business meanwhile, and what has to be true at the end.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Once,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use longshore::domain::{
    account::Caller,
    ids::{AccountUuid, ImageUuid, UploadUuid},
    tag::hex,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

use crate::{
    app::{PASSWORD, RunningApp},
    wire::{Answer, Then, exchange, request},
};

/// Panics of this process outside of its own tests.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Panics that a test wants, in a thread of this name.
static CONTROL_PANICS: AtomicUsize = AtomicUsize::new(0);
const CONTROL: &str = "control";

/// Counts every panic of a thread that is no test's: theirs are complaints.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let ours = panic.location().is_some_and(|at| at.file().starts_with("tests/"));
            let is_control = std::thread::current().name() == Some(CONTROL);
            if !ours {
                let counter = if is_control { &CONTROL_PANICS } else { &PANICS };
                counter.fetch_add(1, Ordering::Relaxed);
            }
            before(panic);
        }));
    });
}

/// A service, a session, and a good upload on its way.
pub(crate) struct World {
    /// Before the service, so that it ends before it.
    good: Option<Good>,
    pub(crate) app: RunningApp,
    pub(crate) token: String,
    panics_before: usize,
}

/// A job and where its bytes go.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) uuid: String,
    /// Path of the upload URL.
    pub(crate) path: String,
}

impl World {
    /// With a good upload that goes on until [`end`](Self::end).
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let mut world = Self::start_idle(settings);
        let job = world.submit("the good one", &[]).expect("a good job");
        world.good = Some(Good::start(world.address(), job));
        world
    }

    /// Without one.
    pub(crate) fn start_idle(settings: &[(&str, &str)]) -> Self {
        count_panics();
        let app = RunningApp::start(settings);
        let token = log_in(app.address, "admin", PASSWORD);
        let panics_before = PANICS.load(Ordering::Relaxed);
        Self { app, token, good: None, panics_before }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.app.address
    }

    pub(crate) fn authorization(&self) -> String {
        format!("OAuth {}", self.token)
    }

    /// A well-formed request with the session.
    pub(crate) fn request(&self, method: &str, path: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
        request(method, path, &[("Authorization", &self.authorization())], body)
    }

    pub(crate) fn is_alive(&self) -> bool {
        let answer = exchange(self.address(), &request("GET", "/healthz", &[], ""), Then::Wait);
        answer.status == 200 && answer.body == "alive\n"
    }

    /// Sends JSON with the session, and answers the result of the call, which may come later.
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let answer = exchange(self.address(), &self.request(method, path, body), Then::Wait);
        self.result(&answer)
    }

    /// The result of a call that was answered, polled for if it was accepted.
    pub(crate) fn result(&self, answer: &Answer) -> (u16, Value) {
        let value = |answer: &Answer| serde_json::from_str(&answer.body).unwrap_or(Value::Null);
        if answer.status != 202 {
            return (answer.status, value(answer));
        }
        let location = value(answer)["location"].as_str().expect("a location").to_owned();
        let path = format!("/{}", location.splitn(4, '/').nth(3).unwrap());
        let begun = Instant::now();
        loop {
            let poll = exchange(self.address(), &request("GET", &path, &[], ""), Then::Wait);
            if poll.status != 202 {
                return (poll.status, value(&poll));
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "the call does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Submits an upload job; the answer's text if it is refused.
    pub(crate) fn submit(&self, image_id: &str, tags: &[String]) -> Result<Job, String> {
        let data = json!({"name": "x", "url": "upload://x", "format": "raw"}).to_string();
        let mut all = vec![format!("uploadImage::{image_id}")];
        all.extend_from_slice(tags);
        let body =
            json!({"params": {"jobName": "APIAddImageMsg", "jobData": data}, "systemTags": all});
        let (status, reply) = self.call("POST", "/zstack/v1/longjobs", &body.to_string());
        if status != 200 {
            return Err(format!("{status} {reply}"));
        }
        let inventory = &reply["inventory"];
        let event: Value = serde_json::from_str(inventory["jobResult"].as_str().unwrap()).unwrap();
        let storage = &event["inventory"]["backupStorageRefs"][0];
        let url = storage["installPath"].as_str().unwrap();
        Ok(Job {
            uuid: inventory["uuid"].as_str().unwrap().to_owned(),
            path: format!("/{}", url.splitn(4, '/').nth(3).unwrap()),
        })
    }

    /// What the upload URL says.
    pub(crate) fn state(&self, job: &Job) -> Value {
        let answer = exchange(self.address(), &request("GET", &job.path, &[], ""), Then::Wait);
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// The end of a table: the good upload is whole, nobody has panicked, every file is known.
    pub(crate) fn end(mut self) {
        if let Some(good) = self.good.take() {
            good.finish();
        }
        let strays = self.strays();
        assert_eq!(strays, Vec::<PathBuf>::new(), "files that no record knows");
        let data = self.app.data_dir();
        drop(self.app);
        assert_eq!(files_below(&data.join("lost+found")), Vec::<PathBuf>::new());
        assert_eq!(PANICS.load(Ordering::Relaxed), self.panics_before, "the service panicked");
    }

    /// Files of uploads and images that no record knows.
    pub(crate) fn strays(&self) -> Vec<PathBuf> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let data = self.app.data_dir();
        let uploads = &self.app.app.uploads;
        let everybody = Caller { account: AccountUuid::random(), admin: true };
        let mut strays = files_below(&data.join("uploads"));
        strays.retain(|path| match stem(path).parse::<UploadUuid>() {
            Ok(upload) => runtime.block_on(uploads.record(upload)).is_err(),
            Err(_) => true,
        });
        let images = files_below(&data.join("images")).into_iter().filter(|path| {
            stem(path)
                .parse::<ImageUuid>()
                .map_or(true, |image| runtime.block_on(uploads.of_image(everybody, image)).is_err())
        });
        strays.extend(images);
        strays
    }
}

fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    name.split('.').next().unwrap().to_owned()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { files_below(&path) } else { vec![path] }
        })
        .collect()
}

/// A session of an account.
pub(crate) fn log_in(address: SocketAddr, name: &str, password: &str) -> String {
    let password = hex(&Sha512::digest(password));
    let body = json!({"logInByAccount": {"accountName": name, "password": password}}).to_string();
    let login = request("PUT", "/zstack/v1/accounts/login", &[], body);
    let answer = exchange(address, &login, Then::Wait);
    let reply: Value = serde_json::from_str(&answer.body).unwrap();
    reply["inventory"]["uuid"].as_str().unwrap_or_else(|| panic!("{}", answer.body)).to_owned()
}

/// An upload as it should be: a chunk every few milliseconds until it is told to come to its end.
struct Good {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Drop for Good {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Of a test that has failed already, nothing more is wanted.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

const GOOD_CHUNK_BYTES: usize = 10_007;

impl Good {
    fn start(address: SocketAddr, job: Job) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut digest = Sha256::new();
            let mut at = 0;
            loop {
                let skipped = (0..=250).cycle().skip(at % 251);
                let chunk: Vec<u8> = skipped.take(GOOD_CHUNK_BYTES).collect();
                digest.update(&chunk);
                let is_last = stopping.load(Ordering::Relaxed);
                let end = at + chunk.len();
                let total = if is_last { end.to_string() } else { "*".to_owned() };
                let range = format!("bytes {at}-{}/{total}", end - 1);
                let put = request("PUT", &job.path, &[("Content-Range", &range)], &chunk);
                let answer = exchange(address, &put, Then::Wait);
                assert_eq!(answer.status, 200, "the good upload at {at}: {}", answer.body);
                let state: Value = serde_json::from_str(&answer.body).unwrap();
                assert_eq!(state["offset"], end, "the good upload");
                at = end;
                if is_last {
                    assert_eq!(state["state"], "Succeeded", "the good upload");
                    assert_eq!(state["sha256"], hex(&digest.finalize()), "the good upload");
                    return at;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { stop, thread: Some(thread) }
    }

    fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let bytes = self.thread.take().unwrap().join().expect("the good upload went well");
        assert!(bytes >= 2 * GOOD_CHUNK_BYTES, "it ran through all of it: {bytes}");
    }
}

/// Negative controls: a panic of the service is counted, and a file that no record knows is found.
#[test]
fn the_end_notices_a_panic_and_a_stray() {
    let world = World::start(&[]);
    assert_eq!(world.strays(), Vec::<PathBuf>::new());
    let shard = world.app.data_dir().join("uploads/00");
    std::fs::create_dir_all(&shard).unwrap();
    let stray = shard.join(format!("{}.data", UploadUuid::random()));
    std::fs::write(&stray, b"x").unwrap();
    assert_eq!(world.strays(), vec![stray.clone()]);
    std::fs::remove_file(stray).unwrap();
    world.end();

    let bytes: Vec<u8> = Vec::new();
    // Inside a library, as a panic of the service would be.
    let thread = std::thread::Builder::new().name(CONTROL.to_owned());
    let panics = thread.spawn(move || bytes::Bytes::from(bytes).slice(1..2)).unwrap();
    assert!(panics.join().is_err());
    assert_eq!(CONTROL_PANICS.load(Ordering::Relaxed), 1);
}
