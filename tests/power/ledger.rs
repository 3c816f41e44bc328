//! What the server has acknowledged, written down by the client the moment it knew.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use serde_json::Value;

/// One upload, as its client knows it.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) bytes: Arc<Vec<u8>>,
    /// Path of the upload URL, once creating was acknowledged.
    pub(crate) path: Option<String>,
    pub(crate) stored: Vec<Range<u64>>,
    /// The image's uuid, once an answer said that it is Ready.
    pub(crate) finished: Option<String>,
    pub(crate) discard: Discard,
}

/// How far a client came with giving an upload up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discard {
    NotAsked,
    /// Asked without an answer: both ends are right.
    Asked,
    Acknowledged,
}

/// Shared by all tasks of the client.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<Entry>>>);

impl Ledger {
    /// Before an upload is asked for; its number.
    pub(crate) fn begin(&self, name: &str, bytes: &Arc<Vec<u8>>) -> usize {
        let mut entries = self.0.lock().unwrap();
        entries.push(Entry {
            name: name.to_owned(),
            bytes: Arc::clone(bytes),
            path: None,
            stored: Vec::new(),
            finished: None,
            discard: Discard::NotAsked,
        });
        entries.len() - 1
    }

    /// Creating was acknowledged.
    pub(crate) fn created(&self, upload: usize, path: &str) {
        self.0.lock().unwrap()[upload].path = Some(path.to_owned());
    }

    /// A slice was acknowledged, and perhaps the whole with it.
    pub(crate) fn stored(&self, upload: usize, range: Range<u64>, state: &Value) {
        let entry = &mut self.0.lock().unwrap()[upload];
        entry.stored.push(range);
        if state["state"] == "Succeeded" {
            entry.finished = Some(state["imageUuid"].as_str().expect("an image").to_owned());
        }
    }

    /// How far discarding came.
    pub(crate) fn discard(&self, upload: usize, discard: Discard) {
        self.0.lock().unwrap()[upload].discard = discard;
    }

    /// Everything so far.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for entry in &*self.0.lock().unwrap() {
            counts.created += u64::from(entry.path.is_some());
            counts.finished += u64::from(entry.finished.is_some());
            counts.discarded += u64::from(entry.discard == Discard::Acknowledged);
            counts.bytes += entry.stored.iter().map(|range| range.end - range.start).sum::<u64>();
        }
        counts
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
