//! What a process of this machine costs: CPU time and memory, as the kernel counts them under `/proc`.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The kernel shows CPU time to programs in this unit on every platform that we build for (`USER_HZ`).
const TICKS_PER_SEC: f64 = 100.0;
/// State of a socket that waits for connections in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// CPU seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cpu {
    /// In the program.
    pub user: f64,
    /// In the kernel for it.
    pub system: f64,
}

impl Cpu {
    /// Of this process since its start.
    pub fn own() -> io::Result<Self> {
        Self::at("/proc/self/stat")
    }

    /// Of a process since its start.
    pub fn of(pid: u32) -> io::Result<Self> {
        Self::at(&format!("/proc/{pid}/stat"))
    }

    fn at(path: &str) -> io::Result<Self> {
        of_stat(&fs::read_to_string(path)?).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// What was used since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user: (self.user - earlier.user).max(0.0),
            system: (self.system - earlier.system).max(0.0),
        }
    }

    /// Both together.
    pub fn total(self) -> f64 {
        self.user + self.system
    }
}

/// CPU time from a line of `/proc/PID/stat`. The name in brackets may hold blanks and brackets.
fn of_stat(line: &str) -> Option<Cpu> {
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some(Cpu { user: ticks()? / TICKS_PER_SEC, system: ticks()? / TICKS_PER_SEC })
}

/// Memory of a process in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// Most that ever was, since the process started.
    pub peak: u64,
}

impl Memory {
    /// Of a process.
    pub fn of(pid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
        };
        match (field("VmRSS:"), field("VmHWM:")) {
            (Some(resident), Some(peak)) => Ok(Self { resident, peak }),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The name of a process.
pub fn name_of(pid: u32) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).map(|name| name.trim_end().to_owned())
}

/// The process that listens on a port of this machine, or in words why it is not known.
pub fn listener(port: u16) -> Result<u32, String> {
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // A machine without IPv6 has no second table.
        if let Ok(text) = fs::read_to_string(table) {
            inodes.extend(text.lines().filter_map(|line| listening_inode(line, port)));
        }
    }
    if inodes.is_empty() {
        return Err(format!(
            "no process of this machine listens on port {port} where we can see it"
        ));
    }
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .map_err(|error| format!("/proc cannot be read: {error}"))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids.into_iter().find(|&pid| holds(pid, &wanted)).ok_or_else(|| {
        format!(
            "what listens on port {port} belongs to another user or container; give --server-pid"
        )
    })
}

fn holds(pid: u32, wanted: &[String]) -> bool {
    // Files of other users cannot be looked at, which is no error here.
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).any(|target| {
        target.to_str().is_some_and(|target| wanted.iter().any(|wanted| wanted == target))
    })
}

/// The inode of a line of `/proc/net/tcp` that is a socket listening on `port` for loopback or for every address.
fn listening_inode(line: &str, port: u16) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace();
    let local = address(fields.nth(1)?)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    let ours = local.ip().is_loopback() || local.ip().is_unspecified();
    (state == LISTENING && local.port() == port && ours).then_some(inode)
}

/// An address as `/proc/net/tcp` writes it: 32-bit words in the machine's own order, in hex.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip: IpAddr = if ip.len() == 8 {
        Ipv4Addr::from(word(0)?).into()
    } else {
        let mut bytes = [0; 16];
        for (n, four) in bytes.chunks_exact_mut(4).enumerate() {
            four.copy_from_slice(&word(8 * n)?);
        }
        let ip = Ipv6Addr::from(bytes);
        ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let line = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 75 0 0 20 0 1";
        assert_eq!(of_stat(line), Some(Cpu { user: 2.5, system: 0.75 }));
        assert_eq!(of_stat("12 (x) S 1"), None);
        let used = Cpu { user: 3.0, system: 1.0 }.since(Cpu { user: 1.0, system: 0.5 });
        assert!((used.total() - 2.5).abs() < 1e-9);
    }

    #[test]
    fn this_process_is_found_by_its_socket_and_measured() {
        let listener_of_ours = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener_of_ours.local_addr().unwrap().port();
        let pid = std::process::id();
        assert_eq!(listener(port), Ok(pid));
        let memory = Memory::of(pid).unwrap();
        assert!(memory.peak >= memory.resident && memory.resident > 1 << 20, "{memory:?}");
        assert!(Cpu::of(pid).is_ok() && name_of(pid).is_ok());
        drop(listener_of_ours);
        assert!(listener(port).unwrap_err().contains(&port.to_string()));
    }

    #[test]
    fn only_listening_sockets_that_loopback_reaches_count() {
        if cfg!(target_endian = "big") {
            return;
        }
        let line = |local: &str, state: &str| {
            format!(
                "  0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0  0 4711 1"
            )
        };
        for (local, state, found) in [
            ("0100007F:1F90", "0A", true),
            ("00000000:1F90", "0A", true),
            ("00000000000000000000000001000000:1F90", "0A", true),
            ("0000000000000000FFFF00000100007F:1F90", "0A", true),
            ("0100007F:1F90", "01", false),
            ("0100007F:1F91", "0A", false),
            ("0200A8C0:1F90", "0A", false),
        ] {
            let inode = listening_inode(&line(local, state), 8080);
            assert_eq!(inode, found.then_some(4711), "{local} {state}");
        }
    }
}
