//! The log of a device: every write and flush in order, in the format of the kernel's dm-log-writes, as QEMU's blklogwrites
//! writes it; and the states that a crash could leave.

use std::{
    fs::{File, OpenOptions},
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
};

use crate::shared::random::Random;

const MAGIC: u64 = 0x006a_7366_7773_6872;
/// Bytes of a sector: stated to QEMU, and checked here.
pub(super) const SECTOR: u64 = 512;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

fn number(bytes: &[u8], index: usize) -> u64 {
    u64::from_le_bytes(bytes[index * 8..index * 8 + 8].try_into().unwrap())
}

/// How many entries a log has at this moment.
pub(super) fn length(log: &File) -> u64 {
    let mut head = [0; 24];
    log.read_exact_at(&mut head, 0).unwrap();
    let magic = number(&head, 0);
    assert!(magic == 0 || magic == MAGIC, "not a log of writes: {magic:#x}");
    number(&head, 2)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    /// Kept by the device whatever comes, once it is done.
    WriteThrough,
    /// Everything before it is kept.
    Flush,
}

struct LogEntry {
    kind: Kind,
    /// Where it goes on the device.
    target: u64,
    /// Where its bytes are in the log.
    bytes: Range<u64>,
}

/// A whole log.
pub(super) struct Log {
    file: File,
    entries: Vec<LogEntry>,
}

/// A moment at which the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    /// The device has got so many entries.
    pub(super) position: u64,
    /// `None`: all of them are kept. Else a random part of the writes since the last flush is dropped.
    pub(super) dropping: Option<u64>,
}

impl Log {
    pub(super) fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap();
        let mut entries = Vec::new();
        let mut at = SECTOR;
        for _ in 0..length(&file) {
            let mut head = [0; 32];
            file.read_exact_at(&mut head, at).unwrap();
            let (sector, sectors, flags) = (number(&head, 0), number(&head, 1), number(&head, 2));
            assert_eq!(flags & !(FLUSH | FUA | DISCARD), 0, "a flag that is not known");
            assert_eq!(flags & DISCARD, 0, "mounted without discard");
            let bytes = at + SECTOR..at + SECTOR + sectors * SECTOR;
            at = bytes.end;
            let kind = if sectors == 0 {
                Kind::Flush
            } else if flags & FUA != 0 {
                Kind::WriteThrough
            } else {
                Kind::Write
            };
            entries.push(LogEntry { kind, target: sector * SECTOR, bytes });
        }
        Self { file, entries }
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn flushes(&self) -> usize {
        self.entries.iter().filter(|entry| entry.kind == Kind::Flush).count()
    }

    /// Every prefix, and for every epoch between two flushes `reorderings` random parts of its writes.
    pub(super) fn points(&self, reorderings: u64) -> Vec<Point> {
        let mut points = Vec::new();
        for position in 0..=self.len() {
            points.push(Point { position, dropping: None });
            let ends_epoch = position == self.len()
                || self.entries[position as usize].kind == Kind::Flush && position > 0;
            if ends_epoch {
                let parts = (0..reorderings).map(|part| Some(position * reorderings + part));
                points.extend(parts.map(|dropping| Point { position, dropping }));
            }
        }
        points
    }

    /// The end of what is certainly kept at a position: its last flush.
    fn kept(&self, position: u64) -> u64 {
        let before = &self.entries[..position as usize];
        let flush = before.iter().rposition(|entry| entry.kind == Kind::Flush);
        flush.map_or(0, |flush| flush as u64 + 1)
    }

    fn apply(&self, entry: &LogEntry, device: &File) {
        let mut bytes = vec![0; (entry.bytes.end - entry.bytes.start) as usize];
        self.file.read_exact_at(&mut bytes, entry.bytes.start).unwrap();
        device.write_all_at(&bytes, entry.target).unwrap();
    }
}

/// The device on its way through the log. Goes forward only.
pub(super) struct Player<'a> {
    log: &'a Log,
    device: File,
    done: u64,
}

impl<'a> Player<'a> {
    /// `device` is as it was when the log began.
    pub(super) fn new(log: &'a Log, device: &Path) -> Self {
        let device = OpenOptions::new().write(true).open(device).unwrap();
        Self { log, device, done: 0 }
    }

    /// Brings the device to what is certainly kept at `point`.
    pub(super) fn advance(&mut self, point: Point) {
        let kept = self.log.kept(point.position);
        assert!(kept >= self.done, "points come in order");
        for entry in &self.log.entries[self.done as usize..kept as usize] {
            self.log.apply(entry, &self.device);
        }
        self.done = kept;
    }

    /// Adds to a copy of the device what may be kept of the writes since: all, or a random part. Answers how many were dropped.
    pub(super) fn add_rest(&self, point: Point, copy: &Path) -> u64 {
        let copy = OpenOptions::new().write(true).open(copy).unwrap();
        let mut random = point.dropping.map(Random);
        let mut dropped = 0;
        for entry in &self.log.entries[self.done as usize..point.position as usize] {
            let keep = match (entry.kind, &mut random) {
                (Kind::Write, Some(random)) => random.below(2) == 0,
                (Kind::Write, None) | (Kind::WriteThrough | Kind::Flush, _) => true,
            };
            if keep {
                self.log.apply(entry, &copy);
            } else {
                dropped += 1;
            }
        }
        dropped
    }
}
