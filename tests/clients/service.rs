//! The real executable on one port, over one data directory, through restarts.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

use crate::shared::{PASSWORD, random::Random, runtime};

/// A service that keeps its address when it is started again.
pub(crate) struct Service {
    data: tempfile::TempDir,
    port: u16,
    settings: Vec<(String, String)>,
    child: Option<Child>,
    /// A session of its admin.
    pub(crate) token: String,
}

impl Service {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these settings in its environment.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = tempfile::tempdir().unwrap();
        let mut service = Self { data, port, settings, child: None, token: String::new() };
        service.begin();
        service.token = service.log_in();
        service
    }

    /// Starts it over the same data.
    pub(crate) fn begin(&mut self) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_longshore"))
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.port), "--data-dir"])
            .arg(self.data_dir())
            .env_clear()
            .env("LONGSHORE_ADMIN_PASSWORD", PASSWORD)
            .env("LONGSHORE_STORAGE__FREE_BYTES_MIN_PERCENT", "0")
            .env("LONGSHORE_DRAIN_SECS", "5")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server can be started");
        let lines = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let (tell, told) = std::sync::mpsc::channel();
        // Reads on for as long as the server lives: a full pipe would stop it.
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if line.contains("listening address=") {
                    let _ = tell.send(());
                }
            }
        });
        told.recv_timeout(Duration::from_secs(30)).expect("the server listens");
        self.child = Some(child);
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM; it ends by itself.
    pub(crate) fn terminate(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where it keeps everything.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data.path().join("data")
    }

    /// Its records.
    pub(crate) fn database(&self) -> PathBuf {
        self.data_dir().join("longshore.db")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where uploads are made.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}/uploads", self.base())
    }

    fn log_in(&self) -> String {
        let password = longshore::domain::tag::hex(&Sha512::digest(PASSWORD));
        let body = json!({"logInByAccount": {"accountName": "admin", "password": password}});
        let url = format!("{}/zstack/v1/accounts/login", self.base());
        let answer: Value = runtime().block_on(async {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            http.put(url).json(&body).send().await.unwrap().json().await.unwrap()
        });
        answer["inventory"]["uuid"].as_str().expect("a session").to_owned()
    }

    /// What the upload URL says.
    pub(crate) fn state(&self, url: &str) -> Value {
        assert!(url.starts_with(&self.base()), "{url} is not of this service");
        runtime().block_on(async {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            http.get(url).send().await.unwrap().json().await.unwrap()
        })
    }

    /// Jobs that were ever made.
    pub(crate) fn jobs(&self) -> usize {
        let url = format!("{}/zstack/v1/longjobs", self.base());
        let answer: Value = runtime().block_on(async {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            let request = http.get(url).header("authorization", format!("OAuth {}", self.token));
            request.send().await.unwrap().json().await.unwrap()
        });
        answer["inventories"].as_array().map_or(0, Vec::len)
    }

    /// SHA-256 of all images, once there is one and it is Ready.
    pub(crate) fn ready_sums(&self) -> Vec<String> {
        let url = format!("{}/zstack/v1/images", self.base());
        let begun = Instant::now();
        loop {
            let answer: Value = runtime().block_on(async {
                let http = reqwest::Client::builder().no_proxy().build().unwrap();
                let request =
                    http.get(&url).header("authorization", format!("OAuth {}", self.token));
                request.send().await.unwrap().json().await.unwrap()
            });
            let images = answer["inventories"].as_array().cloned().unwrap_or_default();
            if !images.is_empty() && images.iter().all(|image| image["status"] == "Ready") {
                let sums =
                    images.iter().map(|image| image["sha256Sum"].as_str().unwrap().to_owned());
                return sums.collect();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The upload becomes an image, and the image is the file. A client that learns from a HEAD that all its bytes are there may be done
    /// a moment before.
    pub(crate) fn is_stored(&self, url: &str, file: &File) {
        let begun = Instant::now();
        let mut state = self.state(url);
        while state["state"] == "Running" && begun.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(20));
            state = self.state(url);
        }
        assert_eq!(state["state"], "Succeeded", "{state}");
        assert_eq!(state["length"], file.length, "{state}");
        assert_eq!(state["sha256"], file.sha256.as_str(), "{state}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A file of random bytes.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
    pub(crate) sha256: String,
    _dir: tempfile::TempDir,
}

impl File {
    pub(crate) fn of(length: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("source.img");
        let bytes = Random(length as u64).bytes(length);
        fs::write(&path, &bytes).unwrap();
        let sha256 = longshore::domain::tag::hex(&Sha256::digest(&bytes));
        Self { path, length: length as u64, sha256, _dir: dir }
    }
}
