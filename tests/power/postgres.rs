//! A PostgreSQL server with its data on the disk whose power is cut, with all its syncs on.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::disk::Disk;

/// PostgreSQL refuses to run as root: the owner of this folder, made by the package, runs it.
const OWNED_BY_POSTGRES: &str = "/var/lib/postgresql";
const START_MAX: Duration = Duration::from_mins(1);

/// The server process; killed when dropped.
pub(crate) struct Postgres {
    bin: PathBuf,
    data: PathBuf,
    socket: TempDir,
    process: Option<Child>,
}

impl Postgres {
    /// Makes a cluster on the disk and starts it.
    pub(crate) fn new(disk: &Disk) -> Self {
        let socket = tempfile::Builder::new().prefix("ls-pg-").tempdir_in("/tmp").unwrap();
        let postgres =
            Self { bin: newest_bin(), data: disk.path().join("pg"), socket, process: None };
        // Another user has to get through to what is his.
        let folder = disk.path().parent().unwrap().to_owned();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).unwrap();
        fs::create_dir(&postgres.data).unwrap();
        let owner = fs::metadata(OWNED_BY_POSTGRES).unwrap();
        for folder in [postgres.data.as_path(), postgres.socket.path()] {
            chown(folder, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let mut init = postgres.command("initdb");
        init.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D"]);
        let made = init.arg(&postgres.data).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut postgres = postgres;
        postgres.start();
        postgres
    }

    fn command(&self, program: &str) -> Command {
        let owner = fs::metadata(OWNED_BY_POSTGRES).unwrap();
        let mut command = Command::new(self.bin.join(program));
        command.uid(owner.uid()).gid(owner.gid()).current_dir("/").process_group(0);
        command
    }

    /// Starts it and waits until it answers; after a crash it recovers first.
    pub(crate) fn start(&mut self) {
        let mut server = self.command("postgres");
        server.arg("-D").arg(&self.data).arg("-k").arg(self.socket.path());
        server.args(["-c", "listen_addresses=", "-c", "fsync=on", "-c", "synchronous_commit=on"]);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(server.spawn().unwrap());
        let begun = Instant::now();
        loop {
            let mut asked = self.command("pg_isready");
            if asked.arg("-q").arg("-h").arg(self.socket.path()).status().unwrap().success() {
                return;
            }
            assert!(begun.elapsed() < START_MAX, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGKILL; its children notice and end.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// For `database_url`.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.socket.path().display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

fn newest_bin() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("Debian: postgresql");
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = versions.map(|version| version.unwrap().path());
    versions.max_by_key(|path| number(path)).expect("a version of PostgreSQL").join("bin")
}
