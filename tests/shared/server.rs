//! The real executable as a child process, killed without warning.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

/// How long a server may take to listen.
const START_MAX: Duration = Duration::from_secs(30);
/// Lines of its log that are kept for a test that fails.
const LINES_MAX: usize = 40;

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// `http://127.0.0.1:<port>`
    pub(crate) base: String,
    /// From the start of the process to its listening.
    pub(crate) started_in: Duration,
    /// The newest lines of its log.
    pub(crate) log: Arc<Mutex<VecDeque<String>>>,
}

impl Server {
    /// Starts it over a data directory, on a free port.
    pub(crate) fn spawn(data_dir: &Path) -> Self {
        let server = Self::try_spawn(data_dir, &[], Told::Errors);
        server.unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts it with these variables on top; where it does not listen, the end of its log.
    pub(crate) fn try_spawn(
        data_dir: &Path,
        environment: &[(&str, &str)],
        told: Told,
    ) -> Result<Self, String> {
        let begun = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_longshore"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .env_clear()
            .env("LONGSHORE_ADMIN_PASSWORD", super::PASSWORD)
            .env("LONGSHORE_UPLOADS__BODY_IDLE_SECS", "10")
            // The tests have to pass on a disk that is nearly full.
            .env("LONGSHORE_STORAGE__FREE_BYTES_MIN_PERCENT", "0")
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server can be started");
        let lines = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let (sender, receiver) = mpsc::channel();
        let log = Arc::<Mutex<VecDeque<String>>>::default();
        let kept = Arc::clone(&log);
        // Reads on for as long as the server lives: a full pipe would stop it.
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if line.contains("panicked") || told == Told::Errors && line.contains("ERROR") {
                    println!("server: {line}");
                }
                if let Some((_, rest)) = line.split_once("listening address=") {
                    let _ = sender.send(rest.trim().to_owned());
                }
                let mut kept = kept.lock().unwrap();
                if kept.len() == LINES_MAX {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        });
        let Ok(address) = receiver.recv_timeout(START_MAX) else {
            let _ = child.kill();
            let _ = child.wait();
            let lines = Vec::from(log.lock().unwrap().clone()).join("\n");
            return Err(format!("the server did not listen within {START_MAX:?}:\n{lines}"));
        };
        let base = format!("http://{address}");
        Ok(Self { child, base, started_in: begun.elapsed(), log })
    }

    /// Waits until it is gone by itself, at most so long; whether it is.
    pub(crate) async fn gone(mut self, at_most: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < at_most {
            if self.child.try_wait().expect("a child can be waited for").is_some() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Which lines of its log a server shows at once. A panic is always shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Whatever it calls an error.
    Errors,
    /// None: errors are what the test is about.
    Panics,
}
