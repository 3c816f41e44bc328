//! Runs of the command line: to their end, or watched while they go.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::server::signal;

/// No command of these tests takes longer.
const RUN_MAX: Duration = Duration::from_mins(1);

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Asserts the exit code, showing what was said.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    /// Asserts that standard error has these words.
    #[track_caller]
    pub(crate) fn complains(self, words: &str) -> Self {
        assert!(self.err.contains(words), "no [{words}] in:\n{}", self.err);
        self
    }

    /// Standard output as events, one per line.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let object = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
            assert!(value["event"].is_string(), "{line}");
            value
        };
        self.out.lines().map(object).collect()
    }

    /// The only event of that name.
    #[track_caller]
    pub(crate) fn event(&self, name: &str) -> Value {
        let found: Vec<_> = self.events().into_iter().filter(|e| e["event"] == name).collect();
        assert_eq!(found.len(), 1, "{name} in:\n{}\n{}", self.out, self.err);
        found[0].clone()
    }
}

/// Standard output of one JSON value.
#[track_caller]
pub(crate) fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap()
}

/// A run that goes on; killed when dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    out: Vec<String>,
    err: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(mut command: Command, input: &str) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command line can be started");
        // A command that reads no input may have closed it already.
        let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("stdout is piped"));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let err = std::thread::spawn(move || {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { child, lines, out: Vec::new(), err: Some(err) }
    }

    /// Returns the first event of a `--json` run, already seen or still to come, for which `wanted` holds.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + RUN_MAX;
        let mut seen = 0;
        loop {
            while let Some(line) = self.out.get(seen) {
                seen += 1;
                let event: Value = serde_json::from_str(line).unwrap();
                if wanted(&event) {
                    return event;
                }
            }
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.out.push(line),
                Err(why) => panic!("{why}: no such event in\n{}", self.out.join("\n")),
            }
        }
    }

    /// Waits until the server has confirmed so many bytes.
    #[track_caller]
    pub(crate) fn wait_stored(&mut self, bytes: u64) {
        self.wait_for(|event| event["storedBytes"].as_u64().is_some_and(|stored| stored >= bytes));
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        signal(&self.child, Signal::INT);
    }

    /// SIGKILL, and what it had said until then.
    pub(crate) fn kill(mut self) -> Ran {
        self.child.kill().unwrap();
        self.end()
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> Ran {
        let end = Instant::now() + RUN_MAX;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.out.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    let err = self.err.take().expect("ended once").join().unwrap();
                    panic!("no end within {RUN_MAX:?}:\n{}\n{err}", self.out.join("\n"));
                }
            }
        }
        let status = self.child.wait().unwrap();
        let err = self.err.take().expect("ended once").join().unwrap();
        let mut out = self.out.join("\n");
        if !out.is_empty() {
            out.push('\n');
        }
        Ran { code: status.code(), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the operating system's own tool says of a file.
pub(crate) fn sum_of(tool: &str, path: &std::path::Path) -> String {
    let output =
        Command::new(tool).stdin(File::open(path).unwrap()).output().expect("coreutils are there");
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}
