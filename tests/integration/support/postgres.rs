//! One private PostgreSQL server per test run.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::OnceLock,
};

/// PostgreSQL refuses to run as root: the owner of this folder, made by the package, runs it.
const OWNED_BY_POSTGRES: &str = "/var/lib/postgresql";

/// Starts the server, says so, waits until its input closes, and stops it. Its input is a pipe to the test run, which the kernel
/// closes however the run ends, SIGKILL included.
const WATCH: &str = r#"
bin=$1 dir=$2
"$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off \
    -c synchronous_commit=off -c full_page_writes=off -c max_connections=300 >"$dir/log" 2>&1 &
server=$!
tries=0
until "$bin/pg_isready" -q -h "$dir"; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ] || ! kill -0 $server 2>/dev/null; then break; fi
    sleep 0.1
done
"$bin/pg_isready" -q -h "$dir" && echo ready || { echo failed; cat "$dir/log" >&2; }
cat >/dev/null
kill -INT $server
wait $server
rm -rf "$dir"
"#;

struct Server {
    /// Held for as long as the process lives; its end is the server's end.
    _alive: ChildStdin,
    socket_dir: PathBuf,
}

/// Folder of the server's socket; the server is started by the first call.
pub(crate) fn socket_dir() -> &'static Path {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let started = SERVER.get_or_init(|| match start() {
        Ok(server) => server,
        Err(error) => panic!(
            "this test needs PostgreSQL (Debian: apt-get install postgresql), and as it is the \
             server did not start: {error}"
        ),
    });
    &started.socket_dir
}

fn start() -> io::Result<Server> {
    let bin = newest_bin()?;
    let owner = fs::metadata(OWNED_BY_POSTGRES)?;
    let as_owner = |program: &Path| {
        let mut command = Command::new(program);
        // Not as root means: as whoever runs the tests.
        if rustix::process::getuid().is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        // Ctrl-C goes to the tests; the server ends with the pipe.
        command.current_dir("/").process_group(0);
        command
    };
    // Short, because a socket's path has at most 107 bytes. Removed by the watcher, which outlives this process.
    let dir = tempfile::Builder::new().prefix("ls-pg-").tempdir_in("/tmp")?.keep();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
    if rustix::process::getuid().is_root() {
        chown(&dir, Some(owner.uid()), Some(owner.gid()))?;
    }
    let init = as_owner(&bin.join("initdb"))
        .args(["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"])
        .arg("-D")
        .arg(dir.join("data"))
        .output()?;
    if !init.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&init.stderr).into_owned()));
    }
    let mut watcher = as_owner(Path::new("/bin/sh"))
        .args(["-c", WATCH, "watch"])
        .args([&bin, &dir])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(alive), Some(says)) = (watcher.stdin.take(), watcher.stdout.take()) else {
        return Err(io::Error::other("the watcher has no pipes"));
    };
    let mut line = String::new();
    BufReader::new(says).read_line(&mut line)?;
    if line.trim() != "ready" {
        return Err(io::Error::other(format!("the watcher said [{}]", line.trim())));
    }
    Ok(Server { _alive: alive, socket_dir: dir })
}

fn newest_bin() -> io::Result<PathBuf> {
    let mut found = fs::read_dir("/usr/lib/postgresql")?
        .filter_map(|version| {
            let version = version.ok()?;
            let number: u32 = version.file_name().to_str()?.parse().ok()?;
            let bin = version.path().join("bin");
            bin.join("postgres").exists().then_some((number, bin))
        })
        .collect::<Vec<_>>();
    found.sort();
    found.pop().map(|(_, bin)| bin).ok_or_else(|| io::Error::other("no server is installed"))
}
