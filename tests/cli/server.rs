//! `longshore serve` as a child process on a port that stays the same over restarts.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

pub(crate) const PASSWORD: &str = "a password of tests";
/// How long a server may take to listen on a busy machine.
const START_MAX: Duration = Duration::from_mins(1);

/// A port that nobody uses now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Sends a signal to a child.
pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a child has a pid");
    kill_process(pid, signal).unwrap();
}

/// A server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    data: PathBuf,
    level: String,
    settings: Settings,
    log: Log,
    pub(crate) port: u16,
}

/// Variables with settings beside those of every test.
pub(crate) type Settings = &'static [(&'static str, &'static str)];

/// The lines that a server has written so far.
type Log = Arc<Mutex<Vec<String>>>;

impl Server {
    pub(crate) fn with(data: &Path, port: u16, level: &str, settings: Settings) -> Self {
        let log = Log::default();
        let child = spawn(data, port, level, settings, &log);
        Self { child, data: data.to_owned(), level: level.to_owned(), settings, log, port }
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM: how it ended, and after how long.
    pub(crate) fn terminate(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        signal(&self.child, Signal::TERM);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, begun.elapsed());
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "the server does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Again over the same data on the same port.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.data, self.port, &self.level, self.settings, &self.log);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(data: &Path, port: u16, level: &str, settings: Settings, log: &Log) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_longshore"))
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(data)
        .env_clear()
        .env("LONGSHORE_ADMIN_PASSWORD", PASSWORD)
        .env("LONGSHORE_LOG_FILTER", level)
        .env("LONGSHORE_STORAGE__FREE_BYTES_MIN_PERCENT", "0")
        .envs(settings.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server can be started");
    let lines = BufReader::new(child.stderr.take().expect("stderr is piped"));
    let (sender, receiver) = std::sync::mpsc::channel();
    let log = Arc::clone(log);
    // Reads on for as long as the server lives: a full pipe would stop it.
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            if line.contains("ERROR") || line.contains("panicked") {
                println!("server: {line}");
            }
            if line.contains("listening address=") {
                let _ = sender.send(());
            }
            log.lock().unwrap().push(line);
        }
    });
    if receiver.recv_timeout(START_MAX).is_err() {
        let _ = child.kill();
        panic!("the server did not listen within {START_MAX:?}");
    }
    child
}
