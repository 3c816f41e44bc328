//! Watches the server while a load test runs, where it is a process of this machine.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    report::{Cost, ServerCost},
    usage::{Cpu, Memory, listener, name_of},
};

/// Between two looks at the server's memory.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A server being watched.
pub(super) struct Watch {
    pid: u32,
    name: String,
    begun: Cpu,
    end: Sender<()>,
    peak: JoinHandle<u64>,
}

/// Who listens where the load goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whom {
    /// This process.
    Pid(u32),
    /// Whoever listens on this port of this machine.
    Port(u16),
    /// Somebody on another machine.
    Elsewhere,
}

impl Watch {
    /// Begins; in words why not. Reads `/proc`, so it blocks for some milliseconds.
    pub(super) fn start(whom: Whom) -> Result<Self, String> {
        let pid = match whom {
            Whom::Pid(pid) => pid,
            Whom::Port(port) => listener(port)?,
            Whom::Elsewhere => return Err("it is not on this machine".to_owned()),
        };
        let gone = |error| format!("process {pid} cannot be looked at: {error}");
        let name = name_of(pid).map_err(gone)?;
        let begun = Cpu::of(pid).map_err(gone)?;
        let first = Memory::of(pid).map_err(gone)?.resident;
        let (end, ended) = mpsc::channel();
        let peak = thread::spawn(move || {
            let mut peak = first;
            loop {
                let last =
                    !matches!(ended.recv_timeout(LOOK_EVERY), Err(RecvTimeoutError::Timeout));
                peak = peak.max(Memory::of(pid).map_or(0, |memory| memory.resident));
                if last {
                    return peak;
                }
            }
        });
        Ok(Self { pid, name, begun, end, peak })
    }

    /// Ends, after `stored` bytes were confirmed; in words why nothing is known. Blocks for a moment.
    pub(super) fn finish(self, stored: u64) -> Result<ServerCost, String> {
        let gone = |error| format!("process {} is gone: {error}", self.pid);
        let used = Cpu::of(self.pid).map(|now| now.since(self.begun));
        // A thread that has ended already was told by nobody else.
        let _ = self.end.send(());
        let seen = self.peak.join().unwrap_or(0);
        let memory = Memory::of(self.pid).map_err(gone)?;
        Ok(ServerCost {
            pid: self.pid,
            name: self.name,
            cost: Cost::new(used.map_err(gone)?, stored),
            peak_rss_bytes: seen,
            // The kernel adds up lazily.
            peak_rss_since_start_bytes: memory.peak.max(seen),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_watched_and_a_missing_one_is_told() {
        let watch = Watch::start(Whom::Pid(std::process::id())).unwrap();
        let memory = vec![1_u8; 64 << 20];
        thread::sleep(3 * LOOK_EVERY);
        assert_eq!(memory.iter().rev().take(3).map(|&one| u32::from(one)).sum::<u32>(), 3);
        let cost = watch.finish(1 << 30).unwrap();
        assert!(cost.peak_rss_bytes > 64 << 20, "{cost:?}");
        assert!(cost.peak_rss_since_start_bytes >= cost.peak_rss_bytes, "{cost:?}");
        // No process has this number: it is beyond the kernel's limit.
        let words = Watch::start(Whom::Pid(1 << 30)).err().unwrap();
        assert!(words.contains("cannot be looked at"), "{words}");
        assert!(Watch::start(Whom::Elsewhere).is_err());
    }
}
