//! A file system whose device writes down every write and flush: QEMU's blklogwrites, exported by FUSE, behind a loop device.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::log;
use crate::disk::{Disk, make_file_system, run};

const DISK_MIB: u64 = 128;
/// Entries and their data; sparse.
const LOG_MIB: u64 = 4096;
const EXPORT_MAX: Duration = Duration::from_secs(20);

/// A block device that a daemon of QEMU serves from a graph of its drivers; gone when dropped.
pub(crate) struct Exported {
    daemon: Child,
    device: Option<String>,
}

impl Exported {
    /// Serves the node `top` of the graph as a loop device. `folder` is for the mount point of the export.
    pub(crate) fn new(folder: &Path, graph: &[String], top: &str) -> Self {
        let file = folder.join("export");
        File::create(&file).unwrap();
        let mut command = Command::new("qemu-storage-daemon");
        for node in graph {
            command.args(["--blockdev", node]);
        }
        let export =
            format!("fuse,id=export,node-name={top},mountpoint={},writable=on", file.display());
        command.args(["--export", &export]).stdin(Stdio::null());
        let daemon = command
            .spawn()
            .expect("qemu-storage-daemon (Debian: qemu-utils, in Debian 12 qemu-system-common)");
        let mut exported = Self { daemon, device: None };
        let begun = Instant::now();
        while fs::metadata(&file).unwrap().len() == 0 {
            assert!(begun.elapsed() < EXPORT_MAX, "the export does not come up");
            assert!(exported.daemon.try_wait().unwrap().is_none(), "qemu-storage-daemon ended");
            std::thread::sleep(Duration::from_millis(10));
        }
        exported.device = Some(run("losetup", &["-f", "--show", file.to_str().unwrap()]));
        exported
    }

    pub(crate) fn device(&self) -> PathBuf {
        PathBuf::from(self.device.as_ref().unwrap())
    }

    /// Takes the device away and lets the daemon write down what it still has to.
    fn end(&mut self) {
        if let Some(device) = self.device.take() {
            let _ = Command::new("losetup").args(["-d", &device]).output();
            // Detached with the last closing, which may be a moment later.
            std::thread::sleep(Duration::from_millis(50));
        }
        let pid = Pid::from_raw(self.daemon.id().cast_signed()).expect("a child has a pid");
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.daemon.wait();
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        self.end();
    }
}

/// A mounted file system whose device is logged.
pub(super) struct Recorder {
    /// Before the device, which it sits on.
    pub(super) disk: Disk,
    exported: Exported,
    log: Arc<File>,
    folder: TempDir,
}

/// What a recording leaves: the device as it was at the beginning, and its log.
pub(super) struct Recorded {
    pub(super) start: PathBuf,
    pub(super) log: log::Log,
    pub(super) folder: TempDir,
}

/// In memory where that is possible: a replay makes thousands of copies.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let named = |folder: &Path| tempfile::Builder::new().prefix("ls-replay-").tempdir_in(folder);
    named(memory).unwrap_or_else(|_| named(&std::env::temp_dir()).unwrap())
}

impl Recorder {
    pub(super) fn new() -> Self {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let (base, log) = (path("base"), path("log"));
        make_file_system(&base, DISK_MIB);
        copy(&base, &path("start"));
        File::create(&log).unwrap().set_len(LOG_MIB << 20).unwrap();
        let graph = [
            format!("driver=file,node-name=file,filename={}", base.display()),
            "driver=raw,node-name=raw,file=file".to_owned(),
            format!("driver=file,node-name=logfile,filename={}", log.display()),
            "driver=raw,node-name=lograw,file=logfile".to_owned(),
            format!(
                "driver=blklogwrites,node-name=top,file=raw,log=lograw,log-sector-size={},log-super-update-interval=1",
                log::SECTOR
            ),
        ];
        let exported = Exported::new(folder.path(), &graph, "top");
        let mount = tempfile::Builder::new().prefix("ls-power-").tempdir().unwrap();
        let disk = Disk::of(mount, exported.device());
        let log = Arc::new(File::open(log).unwrap());
        Self { disk, exported, log, folder }
    }

    /// Tells how many entries the log has.
    pub(super) fn position(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let log = Arc::clone(&self.log);
        move || log::length(&log)
    }

    /// Ends the recording; nobody may use the file system any more. What unmounting writes is not part of it.
    pub(super) fn end(self) -> Recorded {
        let Self { mut disk, exported, log: _, folder } = self;
        disk.unmount();
        drop(exported);
        let log = log::Log::read(&folder.path().join("log"));
        Recorded { start: folder.path().join("start"), log, folder }
    }
}

/// A sparse copy.
pub(super) fn copy(from: &Path, to: &Path) {
    run("cp", &["--sparse=always", from.to_str().unwrap(), to.to_str().unwrap()]);
}
