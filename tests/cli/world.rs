//! One server, perhaps a slow network to it, one person with files.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    relay::Relay,
    run::{Ran, Running, json},
    server::{PASSWORD, Server, Settings, free_port},
};

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) server: Server,
    pub(crate) relay: Relay,
    data: TempDir,
}

impl World {
    /// A server, and nobody logged in.
    pub(crate) fn new() -> Self {
        Self::with_log("info,actix_http::h1::dispatcher=off")
    }

    /// The same, and the server's log has lines of this level.
    pub(crate) fn with_log(level: &str) -> Self {
        Self::with(level, &[])
    }

    /// A server with these settings, and a session straight to it.
    pub(crate) fn with_settings(settings: Settings) -> Self {
        let world = Self::with("info,actix_http::h1::dispatcher=off", settings);
        world.log_in(world.server.port, "config");
        world
    }

    fn with(level: &str, settings: Settings) -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Server::with(data.path(), free_port(), level, settings);
        let relay = Relay::start(server.port);
        Self { folder: tempfile::tempdir().unwrap(), server, relay, data }
    }

    /// The data directory of the server.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// A server with a session straight to it.
    pub(crate) fn direct() -> Self {
        let world = Self::new();
        world.log_in(world.server.port, "config");
        world
    }

    /// A server with a session over a network that takes `rate` bytes per second from the client.
    pub(crate) fn slow(rate: u64) -> Self {
        let world = Self::new();
        world.log_in(world.relay.port, "config");
        world.relay.up.limit(rate);
        world
    }

    pub(crate) fn address(port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }

    /// Logs in for the configuration folder of that name.
    pub(crate) fn log_in(&self, port: u16, config: &str) {
        let mut command = self.command(config, ["login", &Self::address(port)]);
        command.env("LONGSHORE_PASSWORD", PASSWORD);
        Running::start(command, "").end().ends(0);
    }

    /// The command line in a clean environment, in the folder of the files.
    pub(crate) fn command<A: AsRef<OsStr>>(
        &self,
        config: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.args(args).env_clear().current_dir(self.folder.path());
        command.env("LONGSHORE_CONFIG_DIR", self.path(config));
        command
    }

    /// Begins a command of the person who is logged in.
    pub(crate) fn start<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Running {
        Running::start(self.command("config", args), "")
    }

    /// Runs a command to its end.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        self.start(args).end()
    }

    /// The value that a command with `--json` says.
    #[track_caller]
    pub(crate) fn json<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Value {
        json(&self.run(args).ends(0))
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of pseudo-random bytes that depend on its length.
    pub(crate) fn file(&self, name: &str, length: u64) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes(length)).unwrap();
        path
    }

    /// The session that the person of that folder holds for a server: a secret.
    pub(crate) fn session(&self, config: &str) -> String {
        let kept = fs::read_to_string(self.path(config).join("session.json")).unwrap();
        let kept: Value = serde_json::from_str(&kept).unwrap();
        let sessions = kept["sessions"].as_object().unwrap();
        let session = sessions.values().next().unwrap()["session"].as_str();
        session.unwrap().to_owned()
    }

    /// The newest job.
    pub(crate) fn newest_job(&self) -> Value {
        self.json(["jobs", "list", "--json"])["inventories"][0].clone()
    }
}

/// SplitMix64, so that every run has the same bytes and no compression or sparse file can cheat.
pub(crate) fn bytes(length: u64) -> Vec<u8> {
    let wanted = usize::try_from(length).unwrap();
    let mut bytes = Vec::with_capacity(wanted + 8);
    let mut state = length;
    while bytes.len() < wanted {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes.truncate(wanted);
    bytes
}
