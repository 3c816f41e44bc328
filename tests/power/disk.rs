//! A small ext4 on a loop device, and its power switch.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long a file system may stay busy after its last user was killed.
const BUSY_MAX: Duration = Duration::from_secs(20);

/// EXT4_IOC_SHUTDOWN without flushing the log: what is not on the device at this moment never gets there.
const SWITCH: &str = "
import fcntl, os, struct, sys
mount = os.open(sys.argv[1], os.O_RDONLY)
print('ready', flush=True)
sys.stdin.readline()
fcntl.ioctl(mount, 0x8004587d, struct.pack('I', 2))
print('cut', flush=True)
";

/// Runs a tool to its end; what it printed.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {told}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Whether this machine can mount a file. Where it cannot, says so; `REQUIRE_LOOP=1` makes that a failure.
pub(crate) fn can_mount() -> bool {
    if std::env::var_os("POWER_HAS_ITS_OWN_SUITE").is_some() {
        println!("left to the suite of its own");
        return false;
    }
    let root = rustix::process::getuid().is_root();
    let missing = if !root {
        "root"
    } else if !Path::new("/dev/loop-control").exists() {
        "loop devices"
    } else {
        return true;
    };
    println!("DID NOT RUN: no {missing} here");
    assert!(std::env::var_os("REQUIRE_LOOP").is_none(), "this test needs {missing}");
    false
}

/// An empty ext4 in a file.
pub(crate) fn make_file_system(image: &Path, mib: u64) {
    File::create(image).unwrap().set_len(mib << 20).unwrap();
    // Without lazy initialisation, so that nothing but the test writes later.
    let options = "lazy_itable_init=0,lazy_journal_init=0";
    run("mkfs.ext4", &["-q", "-F", "-E", options, image.to_str().unwrap()]);
}

/// A mounted file system; unmounted and removed when dropped.
pub(crate) struct Disk {
    folder: TempDir,
    source: PathBuf,
    mounted: bool,
}

impl Disk {
    /// Makes and mounts a new one.
    pub(crate) fn new(mib: u64) -> Self {
        let folder = tempfile::Builder::new().prefix("ls-power-").tempdir().unwrap();
        let image = folder.path().join("image");
        make_file_system(&image, mib);
        Self::of(folder, image)
    }

    /// Mounts what is there already: a file or a device with a file system.
    pub(crate) fn of(folder: TempDir, source: PathBuf) -> Self {
        fs::create_dir_all(folder.path().join("m")).unwrap();
        let mut disk = Self { folder, source, mounted: false };
        disk.mount();
        disk
    }

    /// Where its files are.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("m")
    }

    /// The server's data directory on it.
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Mounts it; after a power cut the file system replays its journal.
    pub(crate) fn mount(&mut self) {
        let (source, path) = (self.source.display().to_string(), self.path());
        let option = if self.source.starts_with("/dev") { "rw" } else { "loop" };
        run("mount", &["-t", "ext4", "-o", option, &source, path.to_str().unwrap()]);
        self.mounted = true;
    }

    /// Unmounts it, waiting for whoever was killed a moment ago.
    pub(crate) fn unmount(&mut self) {
        let begun = Instant::now();
        loop {
            let tried = Command::new("umount").arg(self.path()).output().unwrap();
            if tried.status.success() {
                break;
            }
            let told = String::from_utf8_lossy(&tried.stderr);
            assert!(begun.elapsed() < BUSY_MAX, "{told}");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.mounted = false;
    }

    /// The switch, ready to be used without delay.
    pub(crate) fn switch(&self) -> Switch {
        let mut child = Command::new("python3")
            .args(["-c", SWITCH])
            .arg(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed");
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        expect_line(&mut lines, "ready");
        Switch { child, lines }
    }

    /// Power that comes back: unmounts and mounts again.
    pub(crate) fn power_on(&mut self) {
        self.unmount();
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: a failing test may still have a server on it, which is killed later.
            let _ = Command::new("umount").arg("-l").arg(self.path()).output();
        }
    }
}

fn expect_line(lines: &mut BufReader<ChildStdout>, expected: &str) {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), expected, "the power switch");
}

/// The power switch of one file system.
pub(crate) struct Switch {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Switch {
    /// Cuts the power. The file system fails every change from now on.
    pub(crate) fn cut(mut self) {
        self.child.stdin.take().unwrap().write_all(b"cut\n").unwrap();
        expect_line(&mut self.lines, "cut");
        assert!(self.child.wait().unwrap().success(), "the power switch");
    }
}
