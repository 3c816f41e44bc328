//! The real executable as a child process, killed without warning.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a server may take to listen.
const START_MAX: Duration = Duration::from_secs(30);

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// `http://127.0.0.1:<port>`
    pub(crate) base: String,
    /// From the start of the process to its listening.
    pub(crate) started_in: Duration,
}

impl Server {
    /// Starts it over a data directory, on a free port.
    pub(crate) fn spawn(data_dir: &Path) -> Self {
        let begun = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_longshore"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .env_clear()
            .env("LONGSHORE_ADMIN_PASSWORD", super::PASSWORD)
            .env("LONGSHORE_UPLOADS__BODY_IDLE_SECS", "10")
            // The tests have to pass on a disk that is nearly full.
            .env("LONGSHORE_STORAGE__FREE_BYTES_MIN_PERCENT", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server can be started");
        let lines = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let (sender, receiver) = std::sync::mpsc::channel();
        // Reads on for as long as the server lives: a full pipe would stop it.
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if line.contains("ERROR") || line.contains("panicked") {
                    println!("server: {line}");
                }
                if let Some((_, rest)) = line.split_once("listening address=") {
                    let _ = sender.send(rest.trim().to_owned());
                }
            }
        });
        let Ok(address) = receiver.recv_timeout(START_MAX) else {
            let _ = child.kill();
            panic!("the server did not listen within {START_MAX:?}");
        };
        Self { child, base: format!("http://{address}"), started_in: begun.elapsed() }
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
