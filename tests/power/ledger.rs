//! What the server has acknowledged, written down by the client the moment it knew, with the position of the device's log at
//! that moment where there is one.

use std::{
    ops::Range,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::shared::files::sum_of;

/// One upload, as its client knows it.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) source: Arc<Source>,
    /// Path of the upload URL, once creating was acknowledged.
    pub(crate) path: Option<String>,
    pub(crate) stored: Vec<Range<u64>>,
    /// The image's uuid, once an answer said that it is Ready.
    pub(crate) finished: Option<String>,
    pub(crate) discard: Discard,
}

/// What is to become an image.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) bytes: Arc<Vec<u8>>,
    sums: OnceLock<[String; 2]>,
}

impl Source {
    /// MD5 and SHA-256 by the operating system's own tools.
    pub(crate) fn sums(&self) -> &[String; 2] {
        self.sums.get_or_init(|| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &*self.bytes).unwrap();
            ["md5sum", "sha256sum"].map(|tool| sum_of(tool, file.path()))
        })
    }
}

/// How far a client came with giving an upload up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discard {
    NotAsked,
    /// Asked without an answer: both ends are right.
    Asked,
    Acknowledged,
}

enum Fact {
    Begun(Arc<Source>),
    Created(String),
    Stored(Range<u64>),
    Finished(String),
    Discard(Discard),
}

/// Shared by all tasks of the client.
#[derive(Clone)]
pub(crate) struct Ledger {
    facts: Arc<Mutex<Vec<(u64, usize, Fact)>>>,
    /// Where the log of the device stands.
    position: Arc<dyn Fn() -> u64 + Send + Sync>,
    uploads: Arc<Mutex<usize>>,
}

impl Ledger {
    /// With what tells the position of the device's log, or another clock.
    pub(crate) fn with_log(position: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { facts: Arc::default(), position: Arc::new(position), uploads: Arc::default() }
    }

    fn note(&self, upload: usize, fact: Fact) {
        // Asked now, and the device may be ahead of it: what was acknowledged is in the log before this.
        let position = (self.position)();
        self.facts.lock().unwrap().push((position, upload, fact));
    }

    /// Before an upload is asked for; its number.
    pub(crate) fn begin(&self, name: &str, bytes: &Arc<Vec<u8>>) -> usize {
        let upload = {
            let mut uploads = self.uploads.lock().unwrap();
            *uploads += 1;
            *uploads - 1
        };
        let (name, bytes) = (name.to_owned(), Arc::clone(bytes));
        self.note(upload, Fact::Begun(Arc::new(Source { name, bytes, sums: OnceLock::new() })));
        upload
    }

    /// Creating was acknowledged.
    pub(crate) fn created(&self, upload: usize, path: &str) {
        self.note(upload, Fact::Created(path.to_owned()));
    }

    /// A slice was acknowledged; answers whether the whole was with it.
    pub(crate) fn stored(&self, upload: usize, range: Range<u64>, state: &Value) -> bool {
        self.note(upload, Fact::Stored(range));
        let finished = state["state"] == "Succeeded";
        if finished {
            let image = state["imageUuid"].as_str().expect("an image");
            self.note(upload, Fact::Finished(image.to_owned()));
        }
        finished
    }

    /// How far discarding came: `Asked` before it is asked.
    pub(crate) fn discard(&self, upload: usize, discard: Discard) {
        self.note(upload, Fact::Discard(discard));
    }

    /// Everything.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries_at(u64::MAX)
    }

    /// What had been acknowledged when the device had got the first `position` entries of its log. What had been asked for by
    /// then may have happened.
    pub(crate) fn entries_at(&self, position: u64) -> Vec<Entry> {
        self.known(position, position)
    }

    /// What had been acknowledged by then, if whatever was asked for later may have happened as well.
    pub(crate) fn certain_at(&self, position: u64) -> Vec<Entry> {
        self.known(position, u64::MAX)
    }

    fn known(&self, acknowledged: u64, asked: u64) -> Vec<Entry> {
        let mut entries: Vec<(usize, Entry)> = Vec::new();
        for (at, upload, fact) in &*self.facts.lock().unwrap() {
            if let Fact::Begun(source) = fact {
                let entry = Entry {
                    source: Arc::clone(source),
                    path: None,
                    stored: Vec::new(),
                    finished: None,
                    discard: Discard::NotAsked,
                };
                entries.push((*upload, entry));
                continue;
            }
            let (_, entry) = entries.iter_mut().find(|(number, _)| number == upload).unwrap();
            let until = match fact {
                Fact::Discard(Discard::Asked) => asked,
                Fact::Begun(_)
                | Fact::Created(_)
                | Fact::Stored(_)
                | Fact::Finished(_)
                | Fact::Discard(_) => acknowledged,
            };
            if *at > until {
                continue;
            }
            match fact {
                Fact::Begun(_) => {}
                Fact::Created(path) => entry.path = Some(path.clone()),
                Fact::Stored(range) => entry.stored.push(range.clone()),
                Fact::Finished(image) => entry.finished = Some(image.clone()),
                Fact::Discard(discard) => entry.discard = *discard,
            }
        }
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Waits until so much has been noted, or for `wait`.
    pub(crate) fn wait_for(&self, facts: usize, wait: Duration) {
        let begun = Instant::now();
        while self.facts.lock().unwrap().len() < facts && begun.elapsed() < wait {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Positions at which a finish or a discard was acknowledged.
    pub(crate) fn ends(&self) -> Vec<u64> {
        let facts = self.facts.lock().unwrap();
        let is_end = |fact: &Fact| match fact {
            Fact::Finished(_) | Fact::Discard(Discard::Acknowledged) => true,
            Fact::Begun(_) | Fact::Created(_) | Fact::Stored(_) | Fact::Discard(_) => false,
        };
        facts.iter().filter(|(_, _, fact)| is_end(fact)).map(|(at, _, _)| *at).collect()
    }
}

/// Sums of acknowledgements.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) created: u64,
    pub(crate) finished: u64,
    pub(crate) discarded: u64,
    pub(crate) bytes: u64,
}

impl Counts {
    /// What these entries hold: nothing is counted that is not checked.
    pub(crate) fn of(entries: &[Entry]) -> Self {
        let mut counts = Self::default();
        for entry in entries {
            counts.created += u64::from(entry.path.is_some());
            counts.finished += u64::from(entry.finished.is_some());
            counts.discarded += u64::from(entry.discard == Discard::Acknowledged);
            counts.bytes += entry.stored.iter().map(|range| range.end - range.start).sum::<u64>();
        }
        counts
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.created += other.created;
        self.finished += other.finished;
        self.discarded += other.discarded;
        self.bytes += other.bytes;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { created, finished, discarded, bytes } = self;
        write!(
            f,
            "acknowledged: {bytes} bytes, {created} created, {finished} finished, {discarded} discarded"
        )
    }
}
